//! What keeps the journal's disk from filling up, and tells how full it is.

use crate::journal::{Freed, Journal};
use crate::register::delivery::Delivery;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the room that the journal takes is told.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// At most this long after the start the journal is looked after for the first time.
const FIRST_UPKEEP: Duration = Duration::from_secs(60);

/// Tells the journal's room and what its sets hold, until shutdown.
pub(super) async fn tell_disk(journal: Arc<Journal>, end: CancellationToken) {
    loop {
        let told = Arc::clone(&journal);
        let measured = tokio::task::spawn_blocking(move || (told.used_bytes(), told.free_bytes())).await;
        if let Ok((used, free)) = measured {
            let gauges = [
                ("kundeforhold_journal_bytes", used),
                ("kundeforhold_journal_free_bytes", free),
            ];
            for (name, bytes) in gauges {
                match bytes {
                    Ok(bytes) => metrics::gauge!(name).set(bytes as f64),
                    Err(cause) => tracing::warn!(%cause, "the room of the journal cannot be told"),
                }
            }
        }
        for set in journal.sets() {
            let (bank, register) = (set.bank.to_string(), set.register.name());
            metrics::gauge!("kundeforhold_records", "bank" => bank, "register" => register)
                .set(journal.running(set) as f64);
        }
        tokio::select! {
            () = tokio::time::sleep(TELL_EVERY) => {}
            () = end.cancelled() => return,
        }
    }
}

/// Looks after the journal now and then, until shutdown.
pub(super) async fn keep_journal(delivery: Delivery, every: Duration, end: CancellationToken) {
    let mut pause = every.min(FIRST_UPKEEP);
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = end.cancelled() => return,
        }
        tokio::select! {
            () = compact(&delivery) => {}
            () = end.cancelled() => return,
        }
        pause = every;
    }
}

async fn compact(delivery: &Delivery) {
    let Some(journal) = &delivery.journal else { return };
    let mut all = Freed::default();
    for set in journal.sets() {
        match delivery.compact(set).await {
            Ok(freed) => {
                all.bodies += freed.bodies;
                all.bytes += freed.bytes;
            }
            Err(cause) => {
                tracing::warn!(%cause, %set, "replaced deliveries of a set could not be let go yet")
            }
        }
    }
    if all.bodies > 0 {
        let Freed { bodies, bytes } = all;
        tracing::info!(bodies, bytes, "replaced deliveries were let go");
    }
}
