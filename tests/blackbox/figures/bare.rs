//! What SQLite does with the same sorted rows alone.

use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::Connection;
use std::path::Path;
use std::time::{Duration, Instant};

/// Of a customer or account, sealed.
const SEALED_BYTES: usize = 21;
const TAG_BYTES: usize = 8;
const ROWS_A_TRANSACTION: usize = 20_000;
/// As the service sets its connections while it loads.
const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA cache_size = -65536";
const TABLES: &str = "
    CREATE TABLE relationships (
        subject BLOB NOT NULL, set_id INTEGER NOT NULL, agreement BLOB NOT NULL, from_day INTEGER NOT NULL,
        since INTEGER NOT NULL, until INTEGER, terms INTEGER NOT NULL, to_day INTEGER,
        PRIMARY KEY (subject, set_id, agreement, from_day, since)
    ) WITHOUT ROWID;
    CREATE TABLE accounts (
        tag BLOB NOT NULL, set_id INTEGER NOT NULL, subject BLOB NOT NULL, PRIMARY KEY (tag, set_id, subject)
    ) WITHOUT ROWID;";
const INSERT_RELATIONSHIP: &str = "INSERT INTO relationships VALUES (?1, 1, ?2, 18000, 1, NULL, 88, NULL)";
const INSERT_ACCOUNT: &str = "INSERT INTO accounts VALUES (?1, 1, ?2)";

type Sealed = [u8; SEALED_BYTES];

fn sealed(kind: u8, number: u64) -> Sealed {
    let hash = digest(&SHA256, &[&[kind][..], &number.to_be_bytes()].concat());
    *hash.as_ref().first_chunk().unwrap()
}

/// Loads as many records, each of a customer and an account of its own; the time without that of making them.
pub fn load(file: &Path, records: u64) -> Duration {
    let mut rows: Vec<(Sealed, Sealed)> = (0..records).map(|n| (sealed(0, n), sealed(1, n))).collect();
    let mut connection = Connection::open(file).unwrap();
    connection.execute_batch(PRAGMAS).unwrap();
    connection.execute_batch(TABLES).unwrap();
    rows.sort_unstable();
    let mut took = insert(
        &mut connection,
        INSERT_RELATIONSHIP,
        &rows,
        |(subject, account)| (&subject[..], &account[..]),
    );
    rows.sort_unstable_by_key(|(_, account)| *account);
    took += insert(&mut connection, INSERT_ACCOUNT, &rows, |(subject, account)| {
        (&account[..TAG_BYTES], &subject[..])
    });
    took
}

fn insert(
    connection: &mut Connection,
    statement: &str,
    rows: &[(Sealed, Sealed)],
    values: impl Fn(&(Sealed, Sealed)) -> (&[u8], &[u8]),
) -> Duration {
    let began = Instant::now();
    for rows in rows.chunks(ROWS_A_TRANSACTION) {
        let transaction = connection.transaction().unwrap();
        {
            let mut insert = transaction.prepare_cached(statement).unwrap();
            for row in rows {
                insert.execute(values(row)).unwrap();
            }
        }
        transaction.commit().unwrap();
    }
    began.elapsed()
}
