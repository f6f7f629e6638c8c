//! Who writes a set holds its row locked, in a transaction that is open meanwhile.

use super::rows;
use super::transaction::Transaction;
use super::{Store, sets};
use crate::domain::relationship::SetId;
use crate::pseudonym::{Sealed, SealedAgreement};
use crate::store::{OfAgreement, RowKey, SealedRecord, SetState, StoreError};
use std::time::{Duration, Instant};
use tokio::sync::OwnedMutexGuard;

/// The right to write a set, until it is dropped.
pub struct SetLock {
    pub(super) store: Store,
    pub(super) set: SetId,
    pub(super) state: SetState,
    // Before the guard: who comes next finds the row free.
    pub(super) transaction: Transaction,
    pub(super) guard: OwnedMutexGuard<()>,
}

impl SetLock {
    /// The set.
    pub fn set(&self) -> SetId {
        self.set
    }

    /// How the set stands. Nobody else changes it.
    pub fn state(&self) -> &SetState {
        &self.state
    }

    /// What its rows are sealed with.
    pub fn key(&self) -> Result<RowKey, StoreError> {
        self.store.0.keys.get(self.state.key)
    }

    /// A customer's records of an agreement that are in force.
    pub async fn records_of(
        &self,
        customer: &Sealed,
        agreement: &SealedAgreement,
    ) -> Result<Vec<SealedRecord>, StoreError> {
        rows::of_agreement(&self.transaction, sets::id(&self.state), customer, agreement).await
    }

    /// The same of several agreements, those of each by itself.
    pub async fn records_of_each(
        &self,
        of: &[OfAgreement<'_>],
    ) -> Result<Vec<Vec<SealedRecord>>, StoreError> {
        rows::of_agreements(&self.transaction, sets::id(&self.state), of).await
    }

    /// Whether calls have to hold in a whole set that is being received.
    pub async fn is_receiving_whole_set(&self) -> Result<bool, StoreError> {
        super::publish::is_receiving_whole_set(&self.transaction, sets::id(&self.state)).await
    }
}

impl Store {
    /// Waits so long for the lock of a set.
    pub async fn lock(&self, set: SetId, wait: Duration) -> Result<SetLock, StoreError> {
        let since = Instant::now();
        let guard = tokio::time::timeout(wait, self.0.locks.of(set).lock_owned()).await;
        let guard = guard.map_err(|_| StoreError::SetBusy)?;
        let transaction = Transaction::begin(self, wait.saturating_sub(since.elapsed())).await?;
        Ok(SetLock {
            state: sets::lock(&transaction, set).await?,
            store: self.clone(),
            set,
            transaction,
            guard,
        })
    }

    /// The lock of a set that nobody uses just now.
    pub(super) async fn try_lock(&self, set: SetId) -> Result<Option<SetLock>, StoreError> {
        let Ok(guard) = self.0.locks.of(set).try_lock_owned() else {
            return Ok(None);
        };
        let transaction = Transaction::begin(self, self.0.timeout).await?;
        let state = sets::try_lock(&transaction, set).await?;
        Ok(state.map(|state| SetLock {
            store: self.clone(),
            set,
            state,
            transaction,
            guard,
        }))
    }
}
