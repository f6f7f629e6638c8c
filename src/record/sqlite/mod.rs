//! The record of use in a SQLite file of its own.
//!
//! All of its SQL for SQLite is here. One process writes the file; others read beside it, and prune in short transactions.

mod checkpoints;
mod pruner;
mod reader;
mod table;

pub(super) use checkpoints::Checkpoints;
pub(super) use pruner::Pruner;
pub(super) use reader::Reader;
pub(super) use table::Table;

use super::chain::Head;
use super::fault::TableError;
use super::heads::{Event, ListEnd, Listed, Mark};
use crate::store::sqlite_schema::Migration;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

const MIGRATIONS: &[Migration] = &[Migration {
    sql: include_str!("schema/0001_record.sql"),
    oldest: 1,
}];

/// Page cache of each connection. Entries are appended, so there is little to keep.
const CACHE_KIB: usize = 4 << 10;

fn list_end(connection: &Connection) -> Result<Option<ListEnd>, TableError> {
    let mut statement =
        connection.prepare_cached("SELECT number, mac FROM heads ORDER BY number DESC LIMIT 1")?;
    let end = statement.query_row([], |row| {
        Ok(ListEnd {
            number: row.get(0)?,
            mac: row.get(1)?,
        })
    });
    Ok(end.optional()?)
}

fn insert_head(connection: &Connection, listed: &Listed) -> Result<(), TableError> {
    let Listed {
        number,
        mark,
        key,
        mac,
    } = listed;
    let mut statement = connection.prepare_cached(
        "INSERT INTO heads (number, event, chain, instance, sequence, hash, at, key, mac)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    statement.execute(params![
        number,
        mark.event.number(),
        mark.chain,
        mark.instance.as_bytes().as_slice(),
        mark.head.sequence,
        mark.head.hash.as_slice(),
        mark.at,
        key.as_slice(),
        mac.as_slice()
    ])?;
    Ok(())
}

fn listed_of(row: &Row) -> Result<Listed, TableError> {
    Ok(Listed {
        number: row.get(0)?,
        mark: Mark {
            event: Event::of_number(row.get(1)?)?,
            chain: row.get(2)?,
            instance: Uuid::from_bytes(row.get(3)?),
            head: Head {
                sequence: row.get(4)?,
                hash: row.get(5)?,
            },
            at: row.get(6)?,
        },
        key: row.get(7)?,
        mac: row.get(8)?,
    })
}
