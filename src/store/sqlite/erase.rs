//! Erases records that ended longer ago than they are kept, from all versions.

use super::lock::SetLock;
use super::memory::News;
use super::rows::{self, Key};
use super::scan::{Scan, Wanted};
use super::writer::Done;
use super::{Store, sets};
use crate::clock::TrustedClock;
use crate::domain::calendar::{oslo_day, years_before};
use crate::domain::relationship::SetId;
use crate::store::format::day_number;
use crate::store::{SetState, StoreError};
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Rows of a step.
const ROWS_PER_STEP: usize = 500;
/// Longest wait for a set that is in use; then its turn comes with the next upkeep.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(2);

impl Store {
    /// Erases what ended more than so many years ago, and empties the log of it. Gives how many rows went. Once that is
    /// done for a day, nothing is left to be erased that day. Reads all rows; not for threads that answer.
    pub fn erase(&self, closed_years: u32, clock: &TrustedClock) -> Result<u64, StoreError> {
        let day = day_number(years_before(oslo_day(clock.now()), closed_years));
        if self.0.erased_before.load(Ordering::Acquire) == day {
            return Ok(0);
        }
        let (erased, are_all) = self.erase_ended_before(day)?;
        if are_all {
            self.0.erased_before.store(day, Ordering::Release);
        }
        Ok(erased)
    }

    /// Gives how many rows went, and whether those were all.
    fn erase_ended_before(&self, day: i32) -> Result<(u64, bool), StoreError> {
        let sets = self.sets();
        let names: BTreeMap<i64, SetId> = sets.0.iter().map(|(set, state)| (state.id, *set)).collect();
        let (mut scan, mut erased, mut are_all) = (Scan::of(Wanted::EndedBefore(day)), 0, true);
        while let Some(rows) = scan.next_piece(self, |row| row.key().map(Some))? {
            let mut by_set = BTreeMap::<i64, Vec<Key>>::new();
            for row in rows {
                by_set.entry(row.set_id).or_default().push(row);
            }
            for (set_id, rows) in by_set {
                // One that came since is looked at another time.
                let lock = match names.get(&set_id) {
                    Some(set) => self.lock_soon(*set)?,
                    None => None,
                };
                let gone = lock.map(|lock| lock.erase(rows)).transpose()?.flatten();
                are_all &= gone.is_some();
                erased += gone.unwrap_or(0);
            }
        }
        self.truncate_log()?;
        Ok((erased, are_all))
    }

    fn lock_soon(&self, set: SetId) -> Result<Option<SetLock>, StoreError> {
        let since = Instant::now();
        loop {
            let lock = self.try_lock(set)?;
            if lock.is_some() || since.elapsed() > LONGEST_WAIT {
                return Ok(lock);
            }
            std::thread::sleep(PAUSE);
        }
    }
}

impl SetLock {
    /// What was in force is counted no longer. `None`: a rekey is at the set, and would copy what goes; its turn comes
    /// again.
    fn erase(&self, mut rows: Vec<Key>) -> Result<Option<u64>, StoreError> {
        let mut erased = 0;
        while !rows.is_empty() {
            let step = rows.split_off(rows.len().saturating_sub(ROWS_PER_STEP));
            let (set, state) = (self.set, self.state()?);
            let erase = move |connection: &Connection| erase_rows(connection, set, state, &step);
            let done = self.store.0.writer.step(erase)?;
            match done.blocking_recv().map_err(|_| StoreError::Closed)?? {
                Some(gone) => erased += gone,
                None => return Ok(None),
            }
        }
        Ok(Some(erased))
    }
}

fn erase_rows(
    connection: &Connection,
    set: SetId,
    mut state: SetState,
    rows: &[Key],
) -> Result<Done<Option<u64>>, StoreError> {
    if sets::is_mixed(connection, state.id)? {
        return Ok(Done::nothing_new(None));
    }
    let mut gone = 0;
    for row in rows {
        let erased = rows::erase(connection, row)?;
        gone += erased.rows;
        let was_in_force = u64::from(erased.was_in_force);
        state.standing.records = state.standing.records.saturating_sub(was_in_force);
    }
    sets::write(connection, &state)?;
    Ok(Done {
        value: Some(gone),
        news: vec![News::Set(set, state)],
    })
}
