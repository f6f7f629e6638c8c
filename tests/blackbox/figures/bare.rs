//! What SQLite alone does with the very rows that a service has written, in their order, set as the service sets it.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0;
    PRAGMA journal_size_limit = 33554432; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -32768";
const ROWS_PER_STEP: usize = 1_000;
/// Rows that are read beforehand: nothing is read while it is written.
const ROWS_READ: usize = 100_000;
/// How the log is brought into the file meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(200);
const CHECKPOINT_BYTES: u64 = 32 << 20;

type Row = Vec<Value>;

/// Writes the rows of a register into a file of their own; the time that writing took.
pub fn load(register: &Path, directory: &Path) -> Duration {
    let file = directory.join("bare.sqlite");
    let from = Connection::open(register).unwrap();
    let mut to = Connection::open(&file).unwrap();
    let page_bytes: u32 = from.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
    to.pragma_update(None, "page_size", page_bytes).unwrap();
    to.execute_batch(PRAGMAS).unwrap();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| bring_into_file(&file, &ended));
        let took = copy(&from, &mut to, "relationships") + copy(&from, &mut to, "accounts");
        ended.store(true, Ordering::SeqCst);
        let began = Instant::now();
        to.execute_batch("PRAGMA synchronous = FULL; CREATE TABLE published (number INTEGER)")
            .unwrap();
        took + began.elapsed()
    })
}

fn copy(from: &Connection, to: &mut Connection, table: &str) -> Duration {
    let sql = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1";
    let table_as_it_is: String = from.query_row(sql, [table], |row| row.get(0)).unwrap();
    to.execute_batch(&table_as_it_is).unwrap();
    // A table without row ids is read in the order of its primary key.
    let mut all = from.prepare(&format!("SELECT * FROM {table}")).unwrap();
    let columns = all.column_count();
    let insert = format!("INSERT INTO {table} VALUES ({})", vec!["?"; columns].join(", "));
    let mut rows = all
        .query_map([], |row| {
            (0..columns).map(|at| row.get(at)).collect::<Result<Row, _>>()
        })
        .unwrap()
        .map(Result::unwrap);
    let mut took = Duration::ZERO;
    loop {
        let read: Vec<Row> = rows.by_ref().take(ROWS_READ).collect();
        if read.is_empty() {
            return took;
        }
        let began = Instant::now();
        write(to, &insert, &read);
        took += began.elapsed();
    }
}

fn write(connection: &mut Connection, insert: &str, rows: &[Row]) {
    for rows in rows.chunks(ROWS_PER_STEP) {
        let transaction = connection.transaction().unwrap();
        {
            let mut insert = transaction.prepare_cached(insert).unwrap();
            for row in rows {
                insert.execute(params_from_iter(row)).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
}

fn bring_into_file(file: &Path, ended: &AtomicBool) {
    let log = PathBuf::from(format!("{}-wal", file.display()));
    let connection = Connection::open(file).unwrap();
    while !ended.load(Ordering::SeqCst) {
        std::thread::sleep(LOOK_EVERY);
        if std::fs::metadata(&log).is_ok_and(|log| log.len() >= CHECKPOINT_BYTES) {
            let checkpoint = "PRAGMA wal_checkpoint(PASSIVE)";
            connection.query_row(checkpoint, [], |_| Ok(())).unwrap();
        }
    }
}
