//! What keeps the journal's disk from filling up, and tells how full it is.

use crate::domain::calendar::{oslo_day, years_before};
use crate::domain::relationship::SetId;
use crate::index::Index;
use crate::journal::{Freed, JournalInForce};
use crate::register::delivery::Delivery;
use chrono::{NaiveDate, Utc};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the room that the journal takes is told.
const TELL_EVERY: Duration = Duration::from_secs(5);
/// At most this long after the start the journal is looked after for the first time.
const FIRST_UPKEEP: Duration = Duration::from_secs(60);

/// Tells the journal's room and what its sets hold, until shutdown.
pub(super) async fn tell_disk(journal: JournalInForce, index: Index, end: CancellationToken) {
    loop {
        let journal = journal.load();
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
        for (set, known) in &index.state().sets {
            let (bank, register) = (set.bank.to_string(), set.register.name());
            metrics::gauge!("kundeforhold_records", "bank" => bank, "register" => register)
                .set(known.running as f64);
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

/// Looks after what the journal and the index hold.
pub(super) struct Upkeep {
    pub(super) delivery: Delivery,
    pub(super) every: Duration,
    /// What ended longer ago is erased.
    pub(super) closed_years: u32,
}

impl Upkeep {
    /// Runs until shutdown.
    pub(super) async fn run(self, end: CancellationToken) {
        let mut pause = self.every.min(FIRST_UPKEEP);
        let mut erased_on = None;
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = end.cancelled() => return,
            }
            let work = async {
                self.compact().await;
                let today = oslo_day(Utc::now());
                if erased_on != Some(today) && self.erase(years_before(today, self.closed_years)).await {
                    erased_on = Some(today);
                }
            };
            tokio::select! {
                () = work => {}
                () = end.cancelled() => return,
            }
            pause = self.every;
        }
    }

    fn sets(&self) -> Vec<SetId> {
        let journal = self.delivery.journal.as_ref();
        journal.map_or_else(Vec::new, |journal| journal.load().sets())
    }

    async fn compact(&self) {
        let mut all = Freed::default();
        for set in self.sets() {
            match self.delivery.compact(set).await {
                Ok(freed) => {
                    all.bodies += freed.bodies;
                    all.bytes += freed.bytes;
                }
                Err(cause) => tracing::warn!(%cause, %set, "replaced deliveries could not be let go yet"),
            }
        }
        if all.bodies > 0 {
            let Freed { bodies, bytes } = all;
            tracing::info!(bodies, bytes, "replaced deliveries were let go");
        }
    }

    /// Erases what ended before a day; tells whether it went well for all sets.
    async fn erase(&self, before: NaiveDate) -> bool {
        let (mut rows, mut bodies, mut failures) = (0, 0, 0);
        for set in self.sets() {
            let erased = match self.delivery.erase_closed(set, before).await {
                Ok(erased) => {
                    rows += erased;
                    self.delivery.rewrite_closed(set, before).await
                }
                failed => failed,
            };
            match erased {
                Ok(rewritten) => bodies += rewritten,
                Err(cause) => {
                    failures += 1;
                    tracing::warn!(%cause, %set, "what ended long ago could not be erased yet");
                }
            }
        }
        if rows > 0 {
            tracing::info!(rows, %before, "what ended long ago was erased from the index");
        }
        if bodies > 0 {
            tracing::info!(bodies, %before, "what ended long ago was erased from the journal's whole sets");
        }
        failures == 0
    }
}
