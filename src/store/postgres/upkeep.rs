//! Removes what is kept no longer, in short transactions.

use super::transaction::{Parameters, Transaction};
use super::{Store, sets};
use crate::clock::TrustedClock;
use crate::store::kept::{before, first_id};
use crate::store::{Kept, SetState, StoreError};
use chrono::TimeDelta;
use uuid::Uuid;

/// Rows that are removed together.
const ROWS_AT_ONCE: i64 = 5_000;
/// Publications that are removed together: each may list half a megabyte of what it changed.
const PUBLICATIONS_AT_ONCE: i64 = 100;
/// Pages of the table of relationships that are looked through together.
pub(super) const PAGES_AT_ONCE: u32 = 2_000;
/// A commit whose outcome is unknown is settled by then.
const COMMITS_KEPT: TimeDelta = TimeDelta::hours(1);

impl Store {
    /// Removes what is kept no longer. Gives how many rows went. Reads all rows; not for threads that answer.
    pub fn purge(&self, kept: &Kept, clock: &TrustedClock) -> Result<u64, StoreError> {
        self.0.runtime.block_on(self.purge_all(kept, clock))
    }

    async fn purge_all(&self, kept: &Kept, clock: &TrustedClock) -> Result<u64, StoreError> {
        let before = |time| before(clock, time);
        let is_raised = self.raise_kept_from(before(kept.rollback)).await?;
        // Whoever rolls back has to be told what goes, so what came after the oldest version has its receipt.
        let receipts = "DELETE FROM deliveries WHERE id IN (
            SELECT d.id FROM deliveries d JOIN sets s ON s.id = d.set_id
            WHERE d.id < $1 AND d.state <> 0 AND s.whole_set IS DISTINCT FROM d.id
                  AND coalesce(d.version, 0) <= s.kept_from LIMIT $2)";
        let first = Uuid::from_bytes(first_id(before(kept.receipts)));
        self.remove(receipts, &[&first, &ROWS_AT_ONCE], ROWS_AT_ONCE)
            .await?;
        let rejects = "DELETE FROM rejects WHERE (delivery, line) IN (
            SELECT delivery, line FROM rejects WHERE delivery < $1 LIMIT $2)";
        let first = Uuid::from_bytes(first_id(before(kept.rejects.min(kept.receipts))));
        self.remove(rejects, &[&first, &ROWS_AT_ONCE], ROWS_AT_ONCE)
            .await?;
        // They come in the order of time. The last one stays.
        let publications = "DELETE FROM publications WHERE number IN (
            SELECT number FROM publications WHERE number < coalesce(
                (SELECT number FROM publications WHERE at >= $1 ORDER BY number LIMIT 1),
                (SELECT max(number) FROM publications)) LIMIT $2)";
        let (at, most) = (before(kept.publications), PUBLICATIONS_AT_ONCE);
        self.remove(publications, &[&at, &most], most).await?;
        let commits = "DELETE FROM commits WHERE id IN (SELECT id FROM commits WHERE at < $1 LIMIT $2)";
        let at = before(COMMITS_KEPT);
        self.remove(commits, &[&at, &ROWS_AT_ONCE], ROWS_AT_ONCE).await?;
        self.sum_up_usage(clock).await?;
        match is_raised {
            true => self.purge_rows().await,
            false => Ok(0),
        }
    }

    /// Until fewer go than may go together.
    async fn remove(&self, sql: &str, parameters: Parameters<'_>, at_once: i64) -> Result<(), StoreError> {
        loop {
            let transaction = Transaction::begin(self, self.0.timeout).await?;
            let removed = transaction.execute(sql, parameters).await?;
            transaction.end().await?;
            if removed < at_once.cast_unsigned() {
                return Ok(());
            }
        }
    }

    /// The oldest version of each set is the one before the oldest whole set that can be rolled back. Gives whether any
    /// was raised.
    async fn raise_kept_from(&self, before: i64) -> Result<bool, StoreError> {
        let mut is_raised = false;
        let sets: Vec<_> = self.sets().iter().map(|(set, _)| set).collect();
        for set in sets {
            // One that is in use is raised another time.
            let Some(lock) = self.try_lock(set).await? else {
                continue;
            };
            let oldest = "SELECT min(version) FROM deliveries
                WHERE set_id = $1 AND kind = 0 AND state IN (1, 5) AND published_at >= $2";
            let oldest = lock
                .transaction
                .query(oldest, &[&sets::id(&lock.state), &before])
                .await?;
            let oldest: Option<i64> = oldest.first().map_or(Ok(None), |row| row.try_get(0))?;
            let version = lock.state.version;
            let kept_from = oldest.map_or(version, |oldest| oldest.cast_unsigned().saturating_sub(1));
            if kept_from <= lock.state.kept_from {
                continue;
            }
            is_raised = true;
            let next = SetState {
                kept_from,
                ..lock.state
            };
            sets::write(&lock.transaction, &next).await?;
            lock.transaction.end().await?;
        }
        if is_raised {
            self.recount().await?;
        }
        Ok(is_raised)
    }

    /// How many pages the table of relationships has.
    pub(super) async fn pages(&self) -> Result<u32, StoreError> {
        let pages = "SELECT pg_relation_size('relationships') / current_setting('block_size')::bigint";
        let pages = self.read_apart(pages, &[]).await?;
        let pages: i64 = pages.first().map_or(Ok(0), |row| row.try_get(0))?;
        // A table has no more than this.
        Ok(u32::try_from(pages).unwrap_or(u32::MAX))
    }

    /// Removes the rows that ended before each set's oldest kept version, page by page.
    async fn purge_rows(&self) -> Result<u64, StoreError> {
        let mut removed = 0;
        for first in (0..=self.pages().await?).step_by(PAGES_AT_ONCE as usize) {
            let delete = format!(
                "DELETE FROM relationships r USING sets s WHERE r.ctid >= '({first},0)' AND r.ctid < '({},0)'
                 AND s.id = r.set_id AND r.until <= s.kept_from",
                first.saturating_add(PAGES_AT_ONCE)
            );
            let transaction = Transaction::begin(self, self.0.timeout).await?;
            removed += transaction.client()?.execute(&delete, &[]).await?;
            transaction.end().await?;
        }
        Ok(removed)
    }
}
