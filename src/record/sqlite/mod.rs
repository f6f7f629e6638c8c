//! The record of use in a SQLite file of its own.
//!
//! All SQL of the record is here. One process writes the file; others read beside it, and prune in short transactions.

mod checkpoints;
mod reader;
mod table;

pub(super) use checkpoints::Checkpoints;
pub(super) use reader::{Chunk, Reader};
pub(super) use table::{Pruner, Table, Work};

use super::chain::Head;
use super::fault::TableError;
use super::heads::{Event, ListEnd, Listed, Mark};
use super::index::BatchId;
use crate::store::sqlite_schema::Migration;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

const MIGRATIONS: &[Migration] = &[Migration {
    sql: include_str!("schema/0001_record.sql"),
    oldest: 1,
}];

/// Page cache of each connection. Entries are appended, so there is little to keep.
const CACHE_KIB: usize = 4 << 10;

/// Bits of a place that are the sequence number.
const SEQUENCE_BITS: u32 = 40;

/// Where an entry, or a batch, of a chain is.
fn place(chain: u32, sequence: u64) -> i64 {
    (i64::from(chain) << SEQUENCE_BITS) | sequence.cast_signed()
}

fn chain_of(place: i64) -> u32 {
    u32::try_from(place >> SEQUENCE_BITS).unwrap_or(u32::MAX)
}

fn sequence_of(place: i64) -> u64 {
    (place & ((1 << SEQUENCE_BITS) - 1)).cast_unsigned()
}

fn batch_place(batch: BatchId) -> i64 {
    place(batch.chain, batch.number)
}

fn batch_of(place: i64) -> BatchId {
    BatchId {
        chain: chain_of(place),
        number: sequence_of(place),
    }
}

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
