use super::*;
use crate::store::{Publications, Sets};

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
        let none: Option<Done<()>> = None;
        Ok(none.unwrap())
    };
    assert_eq!(writer.short(panicking).await, Err(StoreError::Closed));
    let again = tokio::time::timeout(Duration::from_secs(5), writer.short(insert)).await;
    assert_eq!(again, Ok(Ok(())));
    assert_eq!(lines(&writer).await, 1);
}
