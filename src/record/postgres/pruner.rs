//! Prunes, as the role that owns the tables: who serves cannot.

use super::ALONE;
use super::session::{Session, query};
use super::table::append_head;
use crate::record::fault::TableError;
use crate::record::heads::Mark;
use crate::record::index::BATCH_ENTRIES;
use crate::record::keys::RecordKey;
use crate::record::places::place;
use crate::store::PostgresServer;
use std::time::Duration;

/// Longest wait for a place in the list of heads.
const LISTED_WITHIN: Duration = Duration::from_secs(60);
/// Rows that are removed together.
const ROWS_PER_STEP: i64 = 2_000;

/// A connection that prunes.
pub(in crate::record) struct Pruner(Session);

impl Pruner {
    pub(in crate::record) fn open(server: &PostgresServer) -> Result<Self, TableError> {
        Session::open(server).map(Self)
    }

    pub(in crate::record) fn list(&mut self, mark: Mark, key: &RecordKey) -> Result<bool, TableError> {
        self.0.transact(LISTED_WITHIN, async |client| {
            client.batch_execute(ALONE).await?;
            let pruned =
                "SELECT 1 FROM record.heads WHERE chain = $1 AND event = $2 AND sequence >= $3 LIMIT 1";
            let (chain, event) = (i64::from(mark.chain), i16::from(mark.event.number()));
            let sequence = mark.head.sequence.cast_signed();
            if !query(client, pruned, &[&chain, &event, &sequence])
                .await?
                .is_empty()
            {
                return Ok(false);
            }
            append_head(client, mark, key).await.map(|_| true)
        })
    }

    pub(in crate::record) fn remove(&self, chain: u32, through: u64) -> Result<(), TableError> {
        let (first, last) = (place(chain, 0), place(chain, through));
        self.remove_rows(
            "DELETE FROM record.entries WHERE place IN
             (SELECT place FROM record.entries WHERE place BETWEEN $1 AND $2 LIMIT $3)",
            first,
            last,
        )?;
        let Some(gone) = (through / BATCH_ENTRIES).checked_sub(1) else {
            return Ok(());
        };
        let last = place(chain, gone);
        self.remove_rows(
            "DELETE FROM record_found_by WHERE (batch, key, sequence) IN
             (SELECT batch, key, sequence FROM record_found_by WHERE batch BETWEEN $1 AND $2 LIMIT $3)",
            first,
            last,
        )?;
        self.remove_rows(
            "DELETE FROM record_days WHERE (day, consumer, batch) IN
             (SELECT day, consumer, batch FROM record_days WHERE batch BETWEEN $1 AND $2 LIMIT $3)",
            first,
            last,
        )
    }

    fn remove_rows(&self, sql: &str, first: i64, last: i64) -> Result<(), TableError> {
        while self.0.execute(sql, &[&first, &last, &ROWS_PER_STEP])? == ROWS_PER_STEP.cast_unsigned() {}
        Ok(())
    }
}
