//! Brings the schema of a file up to this program, and refuses what it does not know.

use crate::store::StoreError;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

/// The migrations of the register.
pub(super) const REGISTER: &[Migration] = &[Migration {
    sql: include_str!("schema/0001_register.sql"),
    oldest: 1,
}];

/// A step from one schema to the next. They are numbered from 1.
pub(crate) struct Migration {
    pub(crate) sql: &'static str,
    /// The oldest schema whose program may work on what it leaves.
    pub(crate) oldest: u32,
}

/// Notes each migration with the oldest program that may go on beside it.
const VERSIONS: &str = "CREATE TABLE IF NOT EXISTS schema_versions (
    number INTEGER PRIMARY KEY, oldest INTEGER NOT NULL, at INTEGER NOT NULL)";

/// Does what migrations are missing, each in a transaction.
pub(crate) fn migrate(connection: &mut Connection, migrations: &[Migration]) -> Result<(), StoreError> {
    connection.execute(VERSIONS, [])?;
    check(connection, migrations)?;
    let known = newest(connection)?;
    for (number, migration) in (1_u32..).zip(migrations) {
        if number <= known {
            continue;
        }
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        transaction.execute_batch(migration.sql)?;
        transaction.execute(
            "INSERT INTO schema_versions (number, oldest, at) VALUES (?1, ?2, ?3)",
            (number, migration.oldest, chrono::Utc::now().timestamp_millis()),
        )?;
        transaction.commit()?;
    }
    Ok(())
}

/// Refuses a schema that is too new for this program.
pub(crate) fn check(connection: &Connection, migrations: &[Migration]) -> Result<(), StoreError> {
    let known = migrations.len() as u32;
    let oldest: Option<u32> =
        connection.query_row("SELECT max(oldest) FROM schema_versions", [], |row| row.get(0))?;
    match oldest {
        Some(oldest) if oldest > known => Err(StoreError::Newer {
            found: newest(connection)?,
            known,
        }),
        Some(_) | None => Ok(()),
    }
}

pub(crate) fn newest(connection: &Connection) -> Result<u32, StoreError> {
    let number = "SELECT number FROM schema_versions ORDER BY number DESC LIMIT 1";
    let newest = connection.query_row(number, [], |row| row.get(0)).optional()?;
    Ok(newest.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_brought_up_once_and_a_newer_one_is_refused() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection, REGISTER).unwrap();
        migrate(&mut connection, REGISTER).unwrap();
        assert_eq!(newest(&connection).unwrap(), REGISTER.len() as u32);
        // A later release whose schema this program may still work on, and one whose it may not.
        connection
            .execute("INSERT INTO schema_versions VALUES (98, 1, 0)", [])
            .unwrap();
        assert_eq!(migrate(&mut connection, REGISTER), Ok(()));
        connection
            .execute("INSERT INTO schema_versions VALUES (99, 99, 0)", [])
            .unwrap();
        let refused = migrate(&mut connection, REGISTER).unwrap_err();
        assert_eq!(refused, StoreError::Newer { found: 99, known: 1 });
    }
}
