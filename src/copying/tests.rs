use super::*;
use std::sync::atomic::{AtomicBool, Ordering};

/// Rows, so that a copy without an end does not fill the disk.
const MOST_WRITTEN: usize = 100_000;

fn fast() -> Pace {
    Pace::new(10_000)
}

fn count(connection: &Connection) -> u64 {
    connection
        .query_row("SELECT count(*) FROM t", [], |row| row.get(0))
        .unwrap()
}

/// A file with a write-ahead log, and rows of half a page.
fn database(path: &Path, rows: u64) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "WAL").unwrap();
    connection.pragma_update(None, "synchronous", "OFF").unwrap();
    connection
        .execute_batch("CREATE TABLE t (a INTEGER PRIMARY KEY, b BLOB)")
        .unwrap();
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1)
                INSERT INTO t (b) SELECT randomblob(2000) FROM n";
    connection.execute(fill, [rows]).unwrap();
    connection
}

#[test]
fn a_copy_is_of_one_moment_while_others_write_and_cut_the_log_short() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sqlite");
    let writer = database(&path, 4_000);
    let (done, before) = (AtomicBool::new(false), count(&writer));
    std::thread::scope(|scope| {
        let done = &done;
        scope.spawn(move || {
            let mut written = 0;
            // Two rows at a time: a copy of one moment has an even number of them.
            while !done.load(Ordering::SeqCst) && written < MOST_WRITTEN {
                let both = "INSERT INTO t (b) VALUES (randomblob(2000)), (randomblob(2000))";
                written += writer.execute(both, []).unwrap();
                writer
                    .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))
                    .unwrap();
            }
            assert!(written > 0);
        });
        let scratch = Scratch::take(directory.path(), 0).unwrap();
        let copy = copy(&path, &scratch, "copy.sqlite", &mut fast()).unwrap();
        done.store(true, Ordering::SeqCst);
        check(&copy).unwrap();
        let copied = count(&open_copy(&copy).unwrap());
        assert!(copied >= before && copied.is_multiple_of(2), "{copied}");
        assert_eq!(
            std::fs::read_dir(scratch.directory()).unwrap().count(),
            1,
            "nothing is beside it"
        );
        drop(scratch);
        assert!(!copy.exists());
    });
}

#[test]
fn who_serves_the_file_can_see_that_it_is_copied() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sqlite");
    assert!(!is_being_copied(&path));
    let copying = begin(&path).unwrap();
    assert!(is_being_copied(&path));
    assert!(matches!(begin(&path), Err(CopyError::UnderWay(_))));
    drop(copying);
    assert!(!is_being_copied(&path));
}

#[test]
fn scratch_space_is_for_one_at_a_time_and_what_was_left_goes() {
    let directory = tempfile::tempdir().unwrap();
    let scratch = Scratch::take(directory.path(), 0).unwrap();
    assert!(matches!(
        Scratch::take(directory.path(), 0),
        Err(CopyError::UnderWay(_))
    ));
    let left = scratch.directory().join("left");
    drop(scratch);
    std::fs::write(&left, "by one that was killed").unwrap();
    let scratch = Scratch::take(directory.path(), 1 << 20).unwrap();
    assert!(!left.exists());
    scratch.require(1).unwrap();
    let refused = scratch.require(u64::MAX / 2).unwrap_err();
    assert!(matches!(refused, CopyError::NoRoom { .. }), "{refused}");
}

#[test]
fn a_damaged_page_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.sqlite");
    database(&path, 1_000).close().unwrap();
    check(&path).unwrap();
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    bytes[middle..middle + 100].fill(0xff);
    std::fs::write(&path, bytes).unwrap();
    assert!(check(&path).is_err());
}

#[test]
fn no_more_is_written_in_a_second_than_may_be() {
    let file = tempfile::tempfile().unwrap();
    let (began, mut pace) = (Instant::now(), Pace::new(10));
    let mut out = Paced {
        file: &file,
        pace: &mut pace,
    };
    for _ in 0..5 {
        std::io::Write::write_all(&mut out, &[0; 1 << 20]).unwrap();
    }
    let took = began.elapsed();
    assert!(took > Duration::from_millis(400), "{took:?}");
}
