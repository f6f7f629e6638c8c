//! Reads beside those who write.

use super::session::Session;
use super::{bytes, get, listed_of, number, small};
use crate::record::chain::{Hash, Head};
use crate::record::engine::{Chunk, TakeRow};
use crate::record::fault::{RecordFault, TableError};
use crate::record::heads::Listed;
use crate::record::index::{BatchId, DayRow, IndexRow, Key};
use crate::record::places::{batch_of, batch_place, chain_of, place, sequence_of};
use crate::store::PostgresServer;

/// Entries that are read at a time.
const ENTRIES_PER_READ: usize = 1_024;

/// A connection that reads.
pub(in crate::record) struct Reader(Session);

impl Reader {
    pub(in crate::record) fn open(server: &PostgresServer) -> Result<Self, TableError> {
        Session::open(server).map(Self)
    }

    pub(in crate::record) fn heads(&self) -> Result<Vec<Listed>, TableError> {
        let sql = "SELECT number, event, chain, instance, sequence, hash, at, key, mac
            FROM record.heads ORDER BY number";
        self.0.query(sql, &[])?.iter().map(listed_of).collect()
    }

    pub(in crate::record) fn chains(&self) -> Result<Vec<u32>, TableError> {
        let (mut chains, mut from) = (Vec::new(), i64::MIN);
        let next = "SELECT place FROM record.entries WHERE place >= $1 ORDER BY place LIMIT 1";
        while let Some(row) = self.0.query(next, &[&from])?.first() {
            let chain = chain_of(get(row, 0)?);
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
        let sql = "SELECT place, entry, hash FROM record.entries
            WHERE place > $1 AND place < $2 ORDER BY place LIMIT $3";
        let most = ENTRIES_PER_READ as i64;
        let rows = self
            .0
            .query(sql, &[&place(chain, after), &place(chain + 1, 0), &most])?;
        for row in &rows {
            let sequence = sequence_of(get(row, 0)?);
            if take(sequence, get(row, 1)?, get(row, 2)?)?.is_break() {
                return Ok(Chunk::Enough);
            }
        }
        Ok(match rows.len() == ENTRIES_PER_READ {
            true => Chunk::Full,
            false => Chunk::Last,
        })
    }

    pub(in crate::record) fn entry(
        &self,
        chain: u32,
        sequence: u64,
    ) -> Result<Option<(Vec<u8>, Hash)>, TableError> {
        let sql = "SELECT entry, hash FROM record.entries WHERE place = $1";
        let found = self.0.query(sql, &[&place(chain, sequence)])?;
        let found = found.first().map(|row| Ok((get(row, 0)?, bytes(row, 1)?)));
        found.transpose()
    }

    pub(in crate::record) fn last(&self, chain: u32) -> Result<Option<Head>, TableError> {
        super::table::last(&self.0, chain)
    }

    pub(in crate::record) fn indexed(&self, chain: u32) -> Result<u64, TableError> {
        let sql = "SELECT batches FROM record_indexed WHERE chain = $1";
        let found = self.0.query(sql, &[&i64::from(chain)])?;
        found.first().map_or(Ok(0), |row| number(row, 0))
    }

    pub(in crate::record) fn found_by(&self, batch: BatchId, key: Key) -> Result<Vec<u64>, TableError> {
        let sql = "SELECT sequence FROM record_found_by WHERE batch = $1 AND key = $2 ORDER BY sequence";
        let found = self.0.query(sql, &[&batch_place(batch), &i64::from(key)])?;
        found.iter().map(|row| number(row, 0)).collect()
    }

    pub(in crate::record) fn rows_of(&self, batch: BatchId) -> Result<Vec<IndexRow>, TableError> {
        let sql = "SELECT key, sequence FROM record_found_by WHERE batch = $1 ORDER BY key, sequence";
        let found = self.0.query(sql, &[&batch_place(batch)])?;
        let rows = found.iter().map(|row| Ok((small(row, 0)?, number(row, 1)?)));
        rows.collect()
    }

    pub(in crate::record) fn days(&self) -> Result<Vec<(DayRow, BatchId)>, TableError> {
        let sql = "SELECT day, consumer, batch FROM record_days ORDER BY day, consumer, batch";
        let found = self.0.query(sql, &[])?;
        let days = found
            .iter()
            .map(|row| Ok(((get(row, 0)?, small(row, 1)?), batch_of(get(row, 2)?))));
        days.collect()
    }
}
