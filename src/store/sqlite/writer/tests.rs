use super::*;
use crate::domain::delivery::PublicationId;
use crate::store::{Changed, Publications, Sets};

fn started() -> Writer {
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch("CREATE TABLE lines (line INTEGER)")
        .unwrap();
    let memory = Memory::new(Sets::default(), Publications::new(1));
    Writer::start(connection, Arc::new(memory)).unwrap()
}

fn insert(connection: &Connection) -> Result<Done<()>, StoreError> {
    connection.execute("INSERT INTO lines VALUES (1)", [])?;
    Ok(Done::nothing_new(()))
}

async fn lines(writer: &Writer) -> u64 {
    let count = |connection: &Connection| {
        let lines = connection.query_row("SELECT count(*) FROM lines", [], |row| row.get(0))?;
        Ok(Done::nothing_new(lines))
    };
    writer.short(count).await.unwrap()
}

#[tokio::test]
async fn what_fails_is_undone_and_what_shares_its_sync_is_not() {
    let writer = started();
    let failing = |connection: &Connection| {
        insert(connection)?;
        Err::<Done<()>, _>(StoreError::NotReceiving)
    };
    let (one, other, third) = tokio::join!(writer.short(insert), writer.short(failing), writer.short(insert));
    assert_eq!(
        (one, other, third),
        (Ok(()), Err(StoreError::NotReceiving), Ok(()))
    );
    assert_eq!(lines(&writer).await, 2);
}

/// Nobody is told that something failed which was committed after all.
#[tokio::test]
async fn work_after_a_fault_that_ended_the_transaction_is_not_done() {
    let writer = started();
    let (go, wait) = std::sync::mpsc::channel();
    let hold = move |connection: &Connection| {
        wait.recv().unwrap();
        insert(connection)
    };
    let held = writer.step(hold).unwrap();
    let ending = |connection: &Connection| {
        connection.execute_batch("ROLLBACK")?;
        Err::<Done<()>, _>(StoreError::Full)
    };
    let (one, other, third, ()) = tokio::join!(
        writer.short(insert),
        writer.short(ending),
        writer.short(insert),
        async { go.send(()).unwrap() }
    );
    assert_eq!(held.await.unwrap(), Ok(()));
    let full = || Err(StoreError::Full);
    assert_eq!((one, other, third), (full(), full(), full()));
    assert_eq!(lines(&writer).await, 1);
}

#[tokio::test]
async fn work_that_panics_is_undone_and_the_thread_goes_on() {
    let writer = started();
    let panicking = |connection: &Connection| {
        insert(connection)?;
        let defect = connection.is_autocommit() || connection.changes() > 0;
        assert!(!defect, "a test's own");
        Ok(Done::nothing_new(()))
    };
    assert_eq!(writer.short(panicking).await, Err(StoreError::Closed));
    let again = tokio::time::timeout(Duration::from_secs(5), writer.short(insert)).await;
    assert_eq!(again, Ok(Ok(())));
    assert_eq!(lines(&writer).await, 1);
}

/// Its cause may be a constraint that is held only then, or a disk.
#[tokio::test]
async fn a_commit_that_fails_leaves_nothing_and_work_goes_on() {
    let connection = Connection::open_in_memory().unwrap();
    let tables = "PRAGMA foreign_keys = ON; CREATE TABLE lines (line INTEGER PRIMARY KEY);
        CREATE TABLE notes (line INTEGER REFERENCES lines (line) DEFERRABLE INITIALLY DEFERRED)";
    connection.execute_batch(tables).unwrap();
    let memory = Arc::new(Memory::new(Sets::default(), Publications::new(1)));
    let writer = Writer::start(connection, Arc::clone(&memory)).unwrap();
    let failing = |connection: &Connection| {
        connection.execute("INSERT INTO lines VALUES (7)", [])?;
        connection.execute("INSERT INTO notes VALUES (8)", [])?;
        let drawn = [0; 8];
        let published = News::Published(PublicationId { number: 1, drawn }, Changed::Any);
        Ok(Done {
            value: (),
            news: vec![published],
        })
    };
    let failed = writer.short(failing).await;
    assert!(matches!(failed, Err(StoreError::Unavailable(_))), "{failed:?}");
    assert!(!writer.is_writable());
    assert_eq!(memory.publications.last(), None, "nobody hears of it");
    assert_eq!(writer.short(insert).await, Ok(()));
    assert!(writer.is_writable());
    assert_eq!(lines(&writer).await, 1);
}

#[tokio::test]
async fn work_that_finds_no_room_is_told_so_and_work_that_does_goes_on() {
    let connection = Connection::open_in_memory().unwrap();
    let tables = "CREATE TABLE lines (line BLOB); PRAGMA max_page_count = 8";
    connection.execute_batch(tables).unwrap();
    let memory = Memory::new(Sets::default(), Publications::new(1));
    let writer = Writer::start(connection, Arc::new(memory)).unwrap();
    let large = |connection: &Connection| {
        insert(connection)?;
        connection.execute("INSERT INTO lines VALUES (zeroblob(100000))", [])?;
        Ok(Done::nothing_new(()))
    };
    let (go, wait) = std::sync::mpsc::channel();
    let hold = move |connection: &Connection| {
        wait.recv().unwrap();
        insert(connection)
    };
    let held = writer.step(hold).unwrap();
    let (one, other, third, ()) = tokio::join!(
        writer.short(insert),
        writer.short(large),
        writer.short(insert),
        async { go.send(()).unwrap() }
    );
    assert_eq!(held.await.unwrap(), Ok(()));
    // A full disk ends the transaction that they share.
    let full = || Err(StoreError::Full);
    assert_eq!((one, other, third), (full(), full(), full()));
    assert_eq!(lines(&writer).await, 1);
    assert_eq!(writer.short(insert).await, Ok(()));
    assert_eq!(lines(&writer).await, 2);
}

#[tokio::test]
async fn what_waits_when_the_store_is_closed_is_done_and_nothing_after_it() {
    let writer = started();
    let (go, wait) = std::sync::mpsc::channel();
    let held = writer.step(move |connection: &Connection| {
        wait.recv().unwrap();
        insert(connection)
    });
    let behind = writer.step(insert).unwrap();
    go.send(()).unwrap();
    writer.close();
    assert_eq!(held.unwrap().await.unwrap(), Ok(()));
    assert_eq!(behind.await.unwrap(), Ok(()));
    assert_eq!(writer.short(insert).await, Err(StoreError::Closed));
    assert_eq!(writer.step(insert).err(), Some(StoreError::Closed));
}
