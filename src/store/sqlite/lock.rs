//! Who writes a set holds its lock.

use super::writer::Done;
use super::{Store, memory::News, sets};
use crate::domain::relationship::SetId;
use crate::store::{RowKey, SetState, StoreError};
use std::time::{Duration, Instant};
use tokio::sync::OwnedMutexGuard;

/// The right to write a set, until it is dropped. No rows beyond the set's version stand.
pub struct SetLock {
    pub(super) store: Store,
    pub(super) set: SetId,
    _guard: OwnedMutexGuard<()>,
}

impl SetLock {
    pub fn set(&self) -> SetId {
        self.set
    }

    /// How the set stands. Nobody else changes it.
    pub fn state(&self) -> Result<SetState, StoreError> {
        let sets = self.store.sets();
        sets.get(self.set)
            .cloned()
            .ok_or(StoreError::Damaged("a set without a row"))
    }

    /// What its rows are sealed with, for as long as the lock is held.
    pub fn key(&self) -> Result<RowKey, StoreError> {
        self.store.0.keys.get(self.state()?.key)
    }
}

impl Store {
    /// Waits so long for the lock of a set, and for the removal of what a broken-off merge has left in it.
    ///
    /// # Errors
    /// [`StoreError::SetBusy`] when the time is over; a removal under way goes on.
    pub async fn lock(&self, set: SetId, wait: Duration) -> Result<SetLock, StoreError> {
        let since = Instant::now();
        let guard = tokio::time::timeout(wait, self.0.locks.of(set).lock_owned()).await;
        let lock = SetLock {
            store: self.clone(),
            set,
            _guard: guard.map_err(|_| StoreError::SetBusy)?,
        };
        match self.sets().get(set) {
            None => {
                // Held until the row is there, whoever waits.
                let add = move |connection: &rusqlite::Connection| {
                    let state = sets::add(connection, set)?;
                    Ok(Done {
                        value: lock,
                        news: vec![News::Set(set, state)],
                    })
                };
                self.0.writer.short(add).await
            }
            Some(state) if state.merging => {
                let sweep = tokio::task::spawn_blocking(move || lock.sweep());
                let swept = tokio::time::timeout(wait.saturating_sub(since.elapsed()), sweep).await;
                swept
                    .map_err(|_| StoreError::SetBusy)?
                    .map_err(|_| StoreError::Closed)?
            }
            Some(_) => Ok(lock),
        }
    }
    /// The lock of a set that nobody uses just now, once what a broken-off merge has left in it is removed. Not for
    /// threads that answer.
    pub(super) fn try_lock(&self, set: SetId) -> Result<Option<SetLock>, StoreError> {
        let Ok(guard) = self.0.locks.of(set).try_lock_owned() else {
            return Ok(None);
        };
        let lock = SetLock {
            store: self.clone(),
            set,
            _guard: guard,
        };
        match lock.state()?.merging {
            true => lock.sweep().map(Some),
            false => Ok(Some(lock)),
        }
    }
}
