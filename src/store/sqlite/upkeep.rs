//! The removal of what is kept no longer.

use super::memory::News;
use super::writer::Done;
use super::{Store, sets};
use crate::clock::TrustedClock;
use crate::store::kept::{before, first_id};
use crate::store::{Kept, SetState, StoreError};
use rusqlite::{Connection, ToSql, params};

/// Rows that are removed together.
const ROWS_PER_STEP: usize = 2_000;
/// Publications that are removed together: each may list half a megabyte of what it changed.
const PUBLICATIONS_PER_STEP: usize = 100;

impl Store {
    /// Removes what is kept no longer: receipts, rejects, publications, and rows of versions that nobody goes back to.
    /// Gives how many rows went. Reads all rows; not for threads that answer.
    pub fn purge(&self, kept: &Kept, clock: &TrustedClock) -> Result<u64, StoreError> {
        let before = |time| before(clock, time);
        let is_raised = self.raise_kept_from(before(kept.rollback))?;
        // Whoever rolls back has to be told what goes, so what came after the oldest version has its receipt.
        self.purge_lines(
            "DELETE FROM deliveries WHERE id IN (SELECT d.id FROM deliveries d JOIN sets s ON s.id = d.set_id
             WHERE d.id < ?1 AND d.state <> 0 AND s.whole_set IS NOT d.id
             AND coalesce(d.version, 0) <= s.kept_from LIMIT ?2)",
            first_id(before(kept.receipts)),
            ROWS_PER_STEP,
        )?;
        self.purge_lines(
            "DELETE FROM rejects WHERE (delivery, line) IN
             (SELECT delivery, line FROM rejects WHERE delivery < ?1 LIMIT ?2)",
            first_id(before(kept.rejects.min(kept.receipts))),
            ROWS_PER_STEP,
        )?;
        self.purge_publications(before(kept.publications))?;
        match is_raised {
            true => self.purge_rows(),
            false => Ok(0),
        }
    }

    /// They come in the order of time. The last one stays.
    fn purge_publications(&self, before: i64) -> Result<(), StoreError> {
        let first_kept: Option<u64> = self.0.readers.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT coalesce((SELECT number FROM publications WHERE at >= ?1 ORDER BY number LIMIT 1),
                                 (SELECT max(number) FROM publications))",
            )?;
            Ok(statement.query_row([before], |row| row.get(0))?)
        })?;
        self.purge_lines(
            "DELETE FROM publications WHERE number IN (SELECT number FROM publications WHERE number < ?1 LIMIT ?2)",
            first_kept.unwrap_or(0),
            PUBLICATIONS_PER_STEP,
        )
    }

    /// Removes all publications but the last. What was read at an earlier one is not believed after the next start. Not
    /// for threads that answer.
    pub fn forget_publications(&self) -> Result<(), StoreError> {
        self.purge_publications(i64::MAX)
    }

    fn purge_lines(
        &self,
        sql: &'static str,
        end: impl ToSql + Clone + Send + 'static,
        per_step: usize,
    ) -> Result<(), StoreError> {
        loop {
            let end = end.clone();
            let step = self.0.writer.step(move |connection: &Connection| {
                let removed = connection.prepare_cached(sql)?.execute(params![end, per_step])?;
                Ok(Done::nothing_new(removed))
            })?;
            if step.blocking_recv().map_err(|_| StoreError::Closed)?? < per_step {
                return Ok(());
            }
        }
    }

    /// The oldest version of each set is the one before the oldest whole set that can be rolled back. Gives whether any
    /// was raised.
    fn raise_kept_from(&self, before: i64) -> Result<bool, StoreError> {
        let mut raised = false;
        let sets: Vec<_> = self.sets().iter().map(|(set, _)| set).collect();
        for set in sets {
            // One that is in use is raised another time.
            let Some(lock) = self.try_lock(set)? else {
                continue;
            };
            let state = lock.state()?;
            let oldest: Option<u64> = self.0.readers.read(|connection| {
                let oldest = "SELECT min(version) FROM deliveries
                     WHERE set_id = ?1 AND kind = 0 AND state IN (1, 5) AND published_at >= ?2";
                Ok(connection
                    .prepare_cached(oldest)?
                    .query_row((state.id, before), |row| row.get(0))?)
            })?;
            let kept_from = oldest.map_or(state.version, |version| version.saturating_sub(1));
            if kept_from <= state.kept_from {
                continue;
            }
            raised = true;
            let next = SetState { kept_from, ..state };
            let write = self.0.writer.step(move |connection: &Connection| {
                sets::write(connection, &next)?;
                Ok(Done {
                    value: (),
                    news: vec![News::Set(set, next)],
                })
            })?;
            write.blocking_recv().map_err(|_| StoreError::Closed)??;
        }
        Ok(raised)
    }
}
