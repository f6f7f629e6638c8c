//! What keeps the disks from filling up, and tells how full they are.

use crate::backup::{self, Deed, Last};
use crate::register::delivery::Space;
use crate::store::{Kept, Store, StoreError};
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

/// Tells when commands beside the service have made a backup or verified something last, until shutdown; 0: never.
pub(super) async fn tell_deeds(register: PathBuf, end: CancellationToken) {
    loop {
        let asked = register.clone();
        let look = move || {
            [Deed::Backup, Deed::StoreVerify, Deed::RecordVerify].map(|deed| backup::last(&asked, deed))
        };
        if let Ok([made, store, record]) = tokio::task::spawn_blocking(look).await {
            let at = |last: &Option<Last>| last.as_ref().map_or(0.0, |last| last.at.timestamp() as f64);
            let faults = |last: &Option<Last>| last.as_ref().map_or(0.0, |last| last.faults as f64);
            metrics::gauge!("kundeforhold_backup_timestamp_seconds").set(at(&made));
            metrics::gauge!("kundeforhold_backup_bytes")
                .set(made.as_ref().map_or(0.0, |made| made.bytes as f64));
            metrics::gauge!("kundeforhold_backup_seconds")
                .set(made.as_ref().map_or(0.0, |made| made.seconds));
            metrics::gauge!("kundeforhold_store_verified_timestamp_seconds").set(at(&store));
            metrics::gauge!("kundeforhold_store_faults").set(faults(&store));
            metrics::gauge!("kundeforhold_record_verified_timestamp_seconds").set(at(&record));
            metrics::gauge!("kundeforhold_record_faults").set(faults(&record));
        }
        tokio::select! {
            () = tokio::time::sleep(TELL_EVERY) => {}
            () = end.cancelled() => return,
        }
    }
}

/// Tells the room of the record of use, until shutdown.
pub(super) async fn tell_record(record: PathBuf, end: CancellationToken) {
    loop {
        let asked = record.clone();
        let measure = move || (std::fs::metadata(&asked), rustix::fs::statvfs(&asked));
        if let Ok((Ok(file), Ok(space))) = tokio::task::spawn_blocking(measure).await {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            metrics::gauge!("kundeforhold_record_bytes").set(file.len() as f64);
            metrics::gauge!("kundeforhold_record_free_bytes").set(free as f64);
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
    pub(super) closed_years: u32,
}

impl Upkeep {
    /// Runs until shutdown.
    pub(super) async fn run(self, end: CancellationToken) {
        let store = self.store.clone();
        if let Ok(judged) = self.workers.run(move || store.judge_clock()).await {
            tell_clock(&judged);
        }
        let mut pause = self.every.min(FIRST_UPKEEP);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = end.cancelled() => return,
            }
            let (store, kept, closed_years) = (self.store.clone(), self.kept, self.closed_years);
            let done = self.workers.run(move || look_after(&store, &kept, closed_years));
            match done.await {
                Ok(done) => tell(&done),
                Err(cause) => tracing::error!(%cause, "the removal of what is kept no longer"),
            }
            pause = self.every;
        }
    }
}

/// What went, for being over for long, and with former versions.
struct Removed {
    erased: u64,
    purged: u64,
}

/// Removes nothing by a clock that cannot be believed.
fn look_after(store: &Store, kept: &Kept, closed_years: u32) -> Result<Removed, StoreError> {
    let clock = store.judge_clock()?;
    Ok(Removed {
        erased: store.erase(closed_years, &clock)?,
        purged: store.purge(kept, &clock)?,
    })
}

fn tell(done: &Result<Removed, StoreError>) {
    tell_clock(done);
    match done {
        Ok(Removed { erased: 0, purged: 0 }) | Err(StoreError::ClockJumped(_)) => {}
        Ok(Removed { erased, purged }) => {
            tracing::info!(
                erased,
                purged,
                "records that ended long ago, and rows of former versions, were removed"
            );
        }
        Err(cause) => tracing::warn!(%cause, "what is kept no longer could not be removed yet"),
    }
}

fn tell_clock<T>(judged: &Result<T, StoreError>) {
    let has_jumped = matches!(judged, Err(StoreError::ClockJumped(_)));
    metrics::gauge!("kundeforhold_clock_jumped").set(f64::from(u8::from(has_jumped)));
    if let Err(StoreError::ClockJumped(cause)) = judged {
        tracing::error!(%cause, event = "clock_jumped", "the clock of the machine has jumped");
    }
}
