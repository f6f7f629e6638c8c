//! Erases records that ended longer ago than they are kept, from all versions.

use super::Store;
use super::transaction::Transaction;
use super::upkeep::PAGES_AT_ONCE;
use crate::clock::TrustedClock;
use crate::domain::calendar::{oslo_day, years_before};
use crate::store::StoreError;
use crate::store::format::day_number;
use std::sync::atomic::Ordering;

impl Store {
    /// Erases what ended more than so many years ago. Gives how many rows went. Once that is done for a day, nothing is
    /// left to be erased that day. Reads all rows; not for threads that answer.
    pub fn erase(&self, closed_years: u32, clock: &TrustedClock) -> Result<u64, StoreError> {
        let day = day_number(years_before(oslo_day(clock.now()), closed_years));
        if self.0.erased_before.load(Ordering::Acquire) == day {
            return Ok(0);
        }
        let (rows, are_all) = self.0.runtime.block_on(self.erase_ended_before(day))?;
        if are_all {
            self.0.erased_before.store(day, Ordering::Release);
        }
        Ok(rows)
    }

    /// Gives how many rows went, and whether those were all.
    async fn erase_ended_before(&self, day: i32) -> Result<(u64, bool), StoreError> {
        let (mut erased, mut are_all) = (0, true);
        for first in (0..=self.pages().await?).step_by(PAGES_AT_ONCE as usize) {
            let transaction = Transaction::begin(self, self.0.timeout).await?;
            let (rows, is_whole) = erase_pages(&transaction, first, day).await?;
            if rows > 0 {
                transaction.end().await?;
            }
            erased += rows;
            are_all &= is_whole;
        }
        if erased > 0 {
            self.recount().await?;
        }
        Ok((erased, are_all))
    }
}

/// Under the locks of the sets whose rows go, so that no call writes them back. Those that are in use are left for another
/// time. With a record that is in force all that it was before goes too.
async fn erase_pages(transaction: &Transaction, first: u32, day: i32) -> Result<(u64, bool), StoreError> {
    let of_pages = format!(
        "ctid >= '({first},0)' AND ctid < '({},0)' AND to_day < {day}",
        first.saturating_add(PAGES_AT_ONCE)
    );
    let sets = format!("SELECT DISTINCT set_id FROM relationships WHERE {of_pages}");
    let sets = transaction.client()?.query(&sets, &[]).await?;
    let sets: Vec<i32> = sets.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    if sets.is_empty() {
        return Ok((0, true));
    }
    let free = "SELECT id FROM sets WHERE id = ANY($1) ORDER BY id FOR UPDATE SKIP LOCKED";
    let free = transaction.query(free, &[&sets]).await?;
    let free: Vec<i32> = free.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    let erase = format!(
        "WITH gone AS (
             DELETE FROM relationships WHERE {of_pages} AND set_id = ANY($1)
             RETURNING subject, set_id, agreement, from_day, since, key, until IS NULL AS stood
         ), former AS (
             DELETE FROM relationships r USING gone g
             WHERE g.stood AND r.subject = g.subject AND r.set_id = g.set_id AND r.agreement = g.agreement
                   AND r.from_day = g.from_day AND r.since < g.since
             RETURNING 1
         ), counted AS (
             UPDATE sets s SET records = greatest(s.records - g.stood, 0)
             FROM (SELECT set_id, key, count(*) FILTER (WHERE stood) AS stood FROM gone GROUP BY set_id, key) g
             WHERE s.id = g.set_id AND s.key = g.key
         )
         SELECT (SELECT count(*) FROM gone) + (SELECT count(*) FROM former)"
    );
    let erased = transaction.client()?.query_one(&erase, &[&free]).await?;
    Ok((
        erased.try_get::<_, i64>(0)?.cast_unsigned(),
        free.len() == sets.len(),
    ))
}
