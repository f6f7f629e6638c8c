//! Brings the register under the next pseudonym key, one set after the other, while all else goes on.

use super::delivery::Space;
use crate::domain::relationship::SetId;
use crate::store::{Store, StoreError};
use crate::workers::{Panicked, Workers};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether a rekey is asked for, and how long a set that is in use is left alone.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long after a failure it is taken up again.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// Longest wait for a set that a delivery is writing; then it is copied anew later.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// What the copy of a record takes of the disk, with what points to it and with its former versions; amply.
const BYTES_PER_RECORD: u64 = 400;

/// Why a rekey stopped. It goes on when it is taken up again.
#[derive(Debug, thiserror::Error)]
pub enum RekeyError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the disk of the store has no room for a copy of {0}")]
    NoRoom(SetId),
    #[error("the disk of the store: {0}")]
    Disk(#[from] std::io::Error),
    #[error(transparent)]
    Panicked(#[from] Panicked),
}

/// What a rekey stands on.
#[derive(Clone)]
pub struct Rekeying {
    pub store: Store,
    /// It takes one thread of them.
    pub workers: Workers,
    pub space: Space,
}

impl Rekeying {
    /// Does the rekeys that are asked for, until shutdown. One that was broken off goes on after the start.
    pub async fn run(self, end: CancellationToken) {
        loop {
            let done = tokio::select! {
                done = self.rekey() => done,
                () = end.cancelled() => return,
            };
            let pause = match done {
                Ok(()) => LOOK_EVERY,
                Err(cause) => {
                    tracing::warn!(%cause, event = "rekey_stopped", "the rekey stopped, and is taken up again");
                    AGAIN_AFTER
                }
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = end.cancelled() => return,
            }
        }
    }

    /// Brings all sets under the next key if that is asked for, and retires the former one.
    pub async fn rekey(&self) -> Result<(), RekeyError> {
        while let Some(sets) = self.store.sets_to_rekey().await? {
            metrics::gauge!("kundeforhold_rekey_sets_left").set(sets.len() as f64);
            if sets.is_empty() {
                self.retire_former_key().await?;
                continue;
            }
            let mut is_any_done = false;
            for set in sets {
                match self.rekey_set(set).await {
                    Ok(()) => is_any_done = true,
                    // It is being written; its turn comes again.
                    Err(RekeyError::Store(StoreError::SetBusy)) => {}
                    Err(cause) => return Err(cause),
                }
            }
            if !is_any_done {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        }
        Ok(())
    }

    async fn rekey_set(&self, set: SetId) -> Result<(), RekeyError> {
        let records = self.store.sets().standing(set).records;
        if !self
            .space
            .has_room_for(records.saturating_mul(BYTES_PER_RECORD))?
        {
            return Err(RekeyError::NoRoom(set));
        }
        let store = self.store.clone();
        let copy = self.workers.run(move || store.copy_under_next_key(set)).await??;
        let Some(copy) = copy else { return Ok(()) };
        let lock = self.store.lock(set, LONGEST_WAIT).await?;
        self.workers.run(move || copy.put_in_force(lock)).await??;
        tracing::info!(%set, event = "set_rekeyed", "a set is under the next pseudonym key");
        let store = self.store.clone();
        Ok(self.workers.run(move || store.clear_other_keys(set)).await??)
    }

    async fn retire_former_key(&self) -> Result<(), RekeyError> {
        self.store.retire_former_key().await?;
        tracing::info!(
            event = "rekeyed",
            "all rows are under the next pseudonym key; the former one is not needed any longer"
        );
        Ok(())
    }
}
