//! What keeps the disks from filling up, and tells how full they are.

use crate::register::delivery::Space;
use crate::store::{Kept, Store};
use crate::workers::Workers;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the room that is left is told.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// At most this long after the start the store is looked after for the first time.
const FIRST_UPKEEP: Duration = Duration::from_secs(60);
/// How often what a broken-off delivery has left is looked for, and a store that could not be written is tried again.
const SWEEP_EVERY: Duration = Duration::from_secs(2);

/// Tells the room of the store, and what its sets hold, until shutdown.
pub(super) async fn tell_store(store: Store, space: Space, end: CancellationToken) {
    loop {
        match store.bytes().await {
            Ok(bytes) => metrics::gauge!("kundeforhold_store_bytes").set(bytes as f64),
            Err(cause) => tracing::warn!(%cause, "the size of the store cannot be told"),
        }
        let asked = space.clone();
        if let Ok(Ok(bytes)) = tokio::task::spawn_blocking(move || asked.free_bytes()).await {
            metrics::gauge!("kundeforhold_store_free_bytes").set(bytes as f64);
        }
        for (set, state) in store.sets().iter() {
            let (bank, register) = (set.bank.to_string(), set.register.name());
            metrics::gauge!("kundeforhold_records", "bank" => bank, "register" => register)
                .set(state.standing.running as f64);
        }
        tokio::select! {
            () = tokio::time::sleep(TELL_EVERY) => {}
            () = end.cancelled() => return,
        }
    }
}

/// Tells what is left on the disk of the record of use, until shutdown.
pub(super) async fn tell_audit_disk(directory: PathBuf, end: CancellationToken) {
    loop {
        let asked = directory.clone();
        let space = tokio::task::spawn_blocking(move || rustix::fs::statvfs(&asked)).await;
        if let Ok(Ok(space)) = space {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            metrics::gauge!("kundeforhold_audit_free_bytes").set(free as f64);
        }
        tokio::select! {
            () = tokio::time::sleep(TELL_EVERY) => {}
            () = end.cancelled() => return,
        }
    }
}

/// Removes what broken-off deliveries have left, until shutdown: at once after a start, and as soon as there is room
/// after a full disk.
pub(super) async fn sweep(store: Store, end: CancellationToken) {
    loop {
        let writable = store.is_writable() || store.probe().await.is_ok();
        if writable && let Err(cause) = store.sweep().await {
            tracing::warn!(%cause, "what a broken-off delivery has left could not be removed yet");
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            () = end.cancelled() => return,
        }
    }
}

/// Removes from the store what is kept no longer.
pub(super) struct Upkeep {
    pub(super) store: Store,
    pub(super) workers: Workers,
    pub(super) every: Duration,
    pub(super) kept: Kept,
}

impl Upkeep {
    /// Runs until shutdown.
    pub(super) async fn run(self, end: CancellationToken) {
        let mut pause = self.every.min(FIRST_UPKEEP);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = end.cancelled() => return,
            }
            let (store, kept) = (self.store.clone(), self.kept);
            match self.workers.run(move || store.purge(&kept)).await {
                Ok(Ok(0)) => {}
                Ok(Ok(rows)) => tracing::info!(rows, "rows of former versions were removed"),
                Ok(Err(cause)) => {
                    tracing::warn!(%cause, "what is kept no longer could not be removed yet");
                }
                Err(cause) => tracing::error!(%cause, "the removal of what is kept no longer"),
            }
            pause = self.every;
        }
    }
}
