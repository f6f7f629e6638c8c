//! Reads the table beside whoever writes it, in short transactions, so that the log can be brought into the file.

use super::{CACHE_KIB, MIGRATIONS, listed_of};
use crate::record::chain::{Hash, Head};
use crate::record::engine::{Chunk, TakeRow};
use crate::record::fault::{RecordFault, TableError};
use crate::record::heads::Listed;
use crate::record::index::{BatchId, DayRow, IndexRow, Key};
use crate::record::places::{batch_of, batch_place, chain_of, place, sequence_of};
use crate::store::{sqlite_file, sqlite_schema};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, params};
use std::path::Path;

/// Entries that are read in one transaction.
const ENTRIES_PER_READ: usize = 1_024;

/// A connection that reads.
pub(in crate::record) struct Reader(Connection);

impl Reader {
    pub(in crate::record) fn open(path: &Path) -> Result<Self, TableError> {
        if !path.exists() {
            return Err(TableError::absent(path));
        }
        let connection = sqlite_file::open_reader(path, CACHE_KIB)?;
        sqlite_schema::check(&connection, MIGRATIONS)?;
        Ok(Self(connection))
    }

    /// The number of the last migration.
    pub(in crate::record) fn schema(&self) -> Result<u32, TableError> {
        Ok(sqlite_schema::newest(&self.0)?)
    }

    pub(in crate::record) fn heads(&self) -> Result<Vec<Listed>, TableError> {
        let mut statement = self.0.prepare_cached(
            "SELECT number, event, chain, instance, sequence, hash, at, key, mac FROM heads ORDER BY number",
        )?;
        let mut rows = statement.query([])?;
        let mut heads = Vec::new();
        while let Some(row) = rows.next()? {
            heads.push(listed_of(row)?);
        }
        Ok(heads)
    }

    pub(in crate::record) fn chains(&self) -> Result<Vec<u32>, TableError> {
        let mut next = self
            .0
            .prepare_cached("SELECT place FROM entries WHERE place >= ?1 ORDER BY place LIMIT 1")?;
        let mut chains = Vec::new();
        let mut from = i64::MIN;
        while let Some(found) = next.query_row([from], |row| row.get::<_, i64>(0)).optional()? {
            let chain = chain_of(found);
            chains.push(chain);
            from = place(chain.saturating_add(1), 0);
        }
        Ok(chains)
    }

    pub(in crate::record) fn some_entries(
        &self,
        chain: u32,
        after: u64,
        take: &mut TakeRow,
    ) -> Result<Chunk, RecordFault> {
        let mut statement = self.0.prepare_cached(
            "SELECT place, entry, hash FROM entries WHERE place > ?1 AND place < ?2 ORDER BY place LIMIT ?3",
        )
        .map_err(TableError::from)?;
        let range = params![place(chain, after), place(chain + 1, 0), ENTRIES_PER_READ];
        let mut rows = statement.query(range).map_err(TableError::from)?;
        let mut read = 0;
        while let Some(row) = rows.next().map_err(TableError::from)? {
            read += 1;
            let place: i64 = row.get(0).map_err(TableError::from)?;
            let (entry, hash) = (bytes(row.get_ref(1)), bytes(row.get_ref(2)));
            if take(sequence_of(place), entry, hash)?.is_break() {
                return Ok(Chunk::Enough);
            }
        }
        Ok(if read == ENTRIES_PER_READ {
            Chunk::Full
        } else {
            Chunk::Last
        })
    }

    pub(in crate::record) fn entry(
        &self,
        chain: u32,
        sequence: u64,
    ) -> Result<Option<(Vec<u8>, Hash)>, TableError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT entry, hash FROM entries WHERE place = ?1")?;
        let found = statement.query_row([place(chain, sequence)], |row| Ok((row.get(0)?, row.get(1)?)));
        Ok(found.optional()?)
    }

    pub(in crate::record) fn last(&self, chain: u32) -> Result<Option<Head>, TableError> {
        last(&self.0, chain)
    }

    pub(in crate::record) fn indexed(&self, chain: u32) -> Result<u64, TableError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT batches FROM indexed WHERE chain = ?1")?;
        let batches = statement.query_row([chain], |row| row.get(0)).optional()?;
        Ok(batches.unwrap_or(0))
    }

    pub(in crate::record) fn found_by(&self, batch: BatchId, key: Key) -> Result<Vec<u64>, TableError> {
        let mut statement = self.0.prepare_cached(
            "SELECT sequence FROM found_by WHERE batch = ?1 AND key = ?2 ORDER BY sequence",
        )?;
        let found = statement.query_map(params![batch_place(batch), key], |row| row.get(0))?;
        Ok(found.collect::<Result<_, _>>()?)
    }

    pub(in crate::record) fn rows_of(&self, batch: BatchId) -> Result<Vec<IndexRow>, TableError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT key, sequence FROM found_by WHERE batch = ?1 ORDER BY key, sequence")?;
        let rows = statement.query_map([batch_place(batch)], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    pub(in crate::record) fn days(&self) -> Result<Vec<(DayRow, BatchId)>, TableError> {
        let mut statement = self
            .0
            .prepare_cached("SELECT day, consumer, batch FROM days ORDER BY day, consumer, batch")?;
        let days = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), batch_of(row.get(2)?))))?;
        Ok(days.collect::<Result<_, _>>()?)
    }
}

pub(super) fn last(connection: &Connection, chain: u32) -> Result<Option<Head>, TableError> {
    let mut statement = connection.prepare_cached(
        "SELECT place, hash FROM entries WHERE place > ?1 AND place < ?2 ORDER BY place DESC LIMIT 1",
    )?;
    let found = statement.query_row([place(chain, 0), place(chain + 1, 0)], |row| {
        Ok(Head {
            sequence: sequence_of(row.get(0)?),
            hash: row.get(1)?,
        })
    });
    Ok(found.optional()?)
}

/// What is no bytes is no entry: it is then found to be another.
fn bytes<'a>(value: rusqlite::Result<ValueRef<'a>>) -> &'a [u8] {
    match value {
        Ok(ValueRef::Blob(bytes) | ValueRef::Text(bytes)) => bytes,
        _ => &[],
    }
}
