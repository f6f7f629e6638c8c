//! Prunes, perhaps beside the process that writes.

use super::{CACHE_KIB, MIGRATIONS, insert_head, list_end};
use crate::record::fault::TableError;
use crate::record::heads::Mark;
use crate::record::index::BATCH_ENTRIES;
use crate::record::keys::RecordKey;
use crate::record::places::place;
use crate::store::{sqlite_file, sqlite_schema};
use rusqlite::{Connection, TransactionBehavior, params};
use std::path::Path;

/// Rows that are removed together.
const ROWS_PER_STEP: usize = 2_000;

/// A connection that prunes.
pub(in crate::record) struct Pruner(Connection);

impl Pruner {
    pub(in crate::record) fn open(path: &Path) -> Result<Self, TableError> {
        if !path.exists() {
            return Err(TableError::absent(path));
        }
        let connection = sqlite_file::open_writer(path, CACHE_KIB)?;
        sqlite_schema::check(&connection, MIGRATIONS)?;
        // What is removed is overwritten.
        connection.pragma_update(None, "secure_delete", true)?;
        Ok(Self(connection))
    }

    pub(in crate::record) fn list(&mut self, mark: Mark, key: &RecordKey) -> Result<bool, TableError> {
        let transaction = self.0.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let is_pruned: bool = transaction.query_row(
            "SELECT EXISTS (SELECT 1 FROM heads WHERE chain = ?1 AND event = ?2 AND sequence >= ?3)",
            params![mark.chain, mark.event.number(), mark.head.sequence],
            |row| row.get(0),
        )?;
        if !is_pruned {
            insert_head(&transaction, &mark.list(list_end(&transaction)?, key))?;
            transaction.commit()?;
        }
        Ok(!is_pruned)
    }

    pub(in crate::record) fn remove(&self, chain: u32, through: u64) -> Result<(), TableError> {
        let (first, last) = (place(chain, 0), place(chain, through));
        self.remove_rows(
            "DELETE FROM entries WHERE place IN
             (SELECT place FROM entries WHERE place BETWEEN ?1 AND ?2 LIMIT ?3)",
            (first, last),
        )?;
        let Some(gone) = (through / BATCH_ENTRIES).checked_sub(1) else {
            return Ok(());
        };
        let batches = (first, place(chain, gone));
        self.remove_rows(
            "DELETE FROM found_by WHERE (batch, key, sequence) IN
             (SELECT batch, key, sequence FROM found_by WHERE batch BETWEEN ?1 AND ?2 LIMIT ?3)",
            batches,
        )?;
        self.remove_rows(
            "DELETE FROM days WHERE (day, consumer, batch) IN
             (SELECT day, consumer, batch FROM days WHERE batch BETWEEN ?1 AND ?2 LIMIT ?3)",
            batches,
        )
    }

    fn remove_rows(&self, sql: &str, (first, last): (i64, i64)) -> Result<(), TableError> {
        let mut statement = self.0.prepare(sql)?;
        while statement.execute(params![first, last, ROWS_PER_STEP])? == ROWS_PER_STEP {}
        Ok(())
    }
}
