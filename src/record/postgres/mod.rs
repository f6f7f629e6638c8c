//! The record of use in a PostgreSQL database. All of its SQL for PostgreSQL is here.
//!
//! Any number of processes write, a chain each. That two on one chain cannot both be right is seen to by the key of the
//! entries: both want the same place. Which chain a process goes on with is only a matter of good order, told by beats.
//! The list of heads is one for all, and added to by one at a time.

mod beat;
mod pruner;
mod reader;
mod session;
mod table;

pub(super) use beat::Beat;
pub(super) use pruner::Pruner;
pub(super) use reader::Reader;
pub(super) use table::Table;

use super::chain::{Hash, Head};
use super::fault::TableError;
use super::heads::{Event, ListEnd, Listed, Mark};
use tokio_postgres::Row;
use tokio_postgres::types::FromSql;

/// One adds to the list of heads at a time. Held until the end of the transaction.
const ALONE: &str = "SELECT pg_advisory_xact_lock(7510, 3)";
const LIST_END: &str = "SELECT number, mac FROM record.heads ORDER BY number DESC LIMIT 1";
const LAST: &str =
    "SELECT place, hash FROM record.entries WHERE place > $1 AND place < $2 ORDER BY place DESC LIMIT 1";
const INSERT_HEAD: &str = "
    INSERT INTO record.heads (number, event, chain, instance, sequence, hash, at, key, mac)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// A row of `LIST_END`.
fn list_end_of(row: &Row) -> Result<ListEnd, TableError> {
    Ok(ListEnd {
        number: number(row, 0)?,
        mac: hash(row, 1)?,
    })
}

fn listed_of(row: &Row) -> Result<Listed, TableError> {
    Ok(Listed {
        number: number(row, 0)?,
        mark: Mark {
            event: u8::try_from(get::<i16>(row, 1)?)
                .map_err(|_| TableError::Damaged("a head"))
                .and_then(Event::of_number)?,
            chain: small(row, 2)?,
            instance: get(row, 3)?,
            head: Head {
                sequence: number(row, 4)?,
                hash: hash(row, 5)?,
            },
            at: get(row, 6)?,
        },
        key: bytes(row, 7)?,
        mac: hash(row, 8)?,
    })
}

fn get<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Result<T, TableError> {
    row.try_get(column).map_err(|_| TableError::Damaged("a row"))
}

fn number(row: &Row, column: usize) -> Result<u64, TableError> {
    get::<i64>(row, column).map(i64::cast_unsigned)
}

fn small(row: &Row, column: usize) -> Result<u32, TableError> {
    u32::try_from(get::<i64>(row, column)?).map_err(|_| TableError::Damaged("a row"))
}

fn hash(row: &Row, column: usize) -> Result<Hash, TableError> {
    bytes(row, column)
}

fn bytes<const N: usize>(row: &Row, column: usize) -> Result<[u8; N], TableError> {
    let bytes: &[u8] = get(row, column)?;
    bytes.try_into().map_err(|_| TableError::Damaged("a row"))
}
