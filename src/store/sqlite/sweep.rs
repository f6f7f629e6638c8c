//! Removes rows: what a broken-off merge has left, and versions that nobody goes back to.

use super::lock::SetLock;
use super::memory::News;
use super::rows::{self, Key};
use super::scan::{Scan, Wanted};
use super::writer::Done;
use super::{Store, sets};
use crate::domain::relationship::SetId;
use crate::store::{SetState, StoreError};
use rusqlite::Connection;
use std::collections::HashMap;
use std::time::Duration;

/// Rows of a step.
const ROWS_PER_STEP: usize = 500;
/// A removal that nobody waits for takes a set that is in use another time.
const NO_WAIT: Duration = Duration::from_millis(10);

/// What becomes of a row.
enum Removal {
    Delete(Key),
    Reopen(Key),
}

impl SetLock {
    /// Undoes what a merge has written that was not published. Takes as long as all rows take to read.
    pub(super) fn sweep(self) -> Result<Self, StoreError> {
        let state = self.state()?;
        let (id, version) = (state.id, state.version);
        // What the merge had queued is written before anybody looks for it.
        let queued = self.store.0.writer.step(|_| Ok(Done::nothing_new(())))?;
        queued.blocking_recv().map_err(|_| StoreError::Closed)??;
        let mut scan = Scan::of(Wanted::Beyond {
            set_id: id,
            key: state.key,
            version,
        });
        while let Some(removals) = scan.next_piece(&self.store, |row| {
            let removal = match row.since > version {
                true => Removal::Delete,
                false => Removal::Reopen,
            };
            row.key().map(|key| Some(removal(key)))
        })? {
            self.store.remove(removals)?;
        }
        let swept = SetState {
            merging: false,
            ..state
        };
        let set = self.set;
        let clear = self.store.0.writer.step(move |connection: &Connection| {
            let calls = "DELETE FROM pending_calls WHERE set_id = ?1 AND version > ?2";
            connection.execute(calls, (id, version))?;
            sets::write(connection, &swept)?;
            Ok(Done {
                value: (),
                news: vec![News::Set(set, swept)],
            })
        })?;
        clear.blocking_recv().map_err(|_| StoreError::Closed)??;
        tracing::info!(%set, event = "set_swept", "what a delivery had begun to write was removed");
        Ok(self)
    }
}

impl Store {
    /// Removes what broken-off merges have left, where nobody else is at it.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        let sets = self.sets();
        let left: Vec<SetId> = sets
            .0
            .iter()
            .filter(|(_, state)| state.merging)
            .map(|(set, _)| *set)
            .collect();
        for set in left {
            match self.lock(set, NO_WAIT).await {
                Ok(_) | Err(StoreError::SetBusy) => {}
                Err(cause) => return Err(cause),
            }
        }
        Ok(())
    }

    /// Removes the rows that ended before each set's oldest kept version. Reads all rows; not for threads that answer.
    pub(super) fn purge_rows(&self) -> Result<u64, StoreError> {
        let sets = self.sets();
        let kept_from: HashMap<i64, u64> = sets.0.values().map(|state| (state.id, state.kept_from)).collect();
        let most = kept_from.values().copied().max().unwrap_or(0);
        let (mut scan, mut removed) = (Scan::of(Wanted::OverAt(most)), 0);
        while let Some(removals) = scan.next_piece(self, |row| {
            let kept_from = kept_from.get(&row.set_id).copied().unwrap_or(0);
            let is_over = row.until.is_some_and(|until| until <= kept_from);
            is_over.then(|| row.key().map(Removal::Delete)).transpose()
        })? {
            removed += removals.len() as u64;
            self.remove(removals)?;
        }
        Ok(removed)
    }

    fn remove(&self, mut removals: Vec<Removal>) -> Result<(), StoreError> {
        while !removals.is_empty() {
            let step = removals.split_off(removals.len().saturating_sub(ROWS_PER_STEP));
            let done = self.0.writer.step(move |connection: &Connection| {
                for removal in &step {
                    match removal {
                        Removal::Delete(key) => rows::remove(connection, key)?,
                        Removal::Reopen(key) => rows::reopen(connection, key)?,
                    }
                }
                Ok(Done::nothing_new(()))
            })?;
            done.blocking_recv().map_err(|_| StoreError::Closed)??;
        }
        Ok(())
    }
}
