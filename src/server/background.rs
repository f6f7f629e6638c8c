//! What the server does beside answering, from its start to its end.

use super::disk::{Upkeep, sweep, tell_deeds, tell_record, tell_store};
use super::heads::publish_heads;
use super::refusals::record_turned_away;
use super::upkeep::{WatchedFiles, keep_usage, reload_files, share_usage, upkeep};
use super::wiring::Parts;
use crate::record::RecordPlace;
use crate::register::rekey::Rekeying;
use crate::store::Kept;
use metrics_exporter_prometheus::PrometheusHandle;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(super) struct Background {
    pub(super) files: Vec<WatchedFiles>,
    pub(super) head_every: Duration,
    pub(super) upkeep_every: Duration,
    pub(super) kept: Kept,
    pub(super) closed_years: u32,
    pub(super) prometheus: PrometheusHandle,
}

impl Background {
    /// Starts all of it. `reload` asks for files to be read again.
    pub(super) fn start(self, parts: &Parts, reload: Arc<Notify>, end: &CancellationToken) -> TaskTracker {
        let (tasks, end) = (TaskTracker::new(), || end.clone());
        let (keys, keys_end) = (Arc::clone(&parts.readiness.keys), end());
        tasks.spawn(async move { keys.run(keys_end).await });
        if let Some(cache) = parts.cache.clone() {
            tasks.spawn(cache.run(end()));
        }
        tasks.spawn(reload_files(self.files, reload, end()));
        let recorder = || parts.readiness.recorder.clone();
        tasks.spawn(upkeep(parts.store.clone(), recorder(), self.prometheus, end()));
        tasks.spawn(publish_heads(recorder(), self.head_every, end()));
        let limits = Arc::clone(parts.lookup.limits());
        tasks.spawn(record_turned_away(Arc::clone(&limits), recorder(), end()));
        if let RecordPlace::Sqlite(record) = parts.readiness.recorder.place() {
            tasks.spawn(tell_record(record.clone(), end()));
        }
        let store = || parts.store.clone();
        tasks.spawn(tell_store(store(), parts.space.clone(), end()));
        match parts.store.file() {
            Some(register) => {
                tasks.spawn(tell_deeds(register.to_owned(), end()));
                tasks.spawn(keep_usage(register.to_owned(), limits, end()));
            }
            None => drop(tasks.spawn(share_usage(store(), limits, end()))),
        }
        tasks.spawn(sweep(store(), end()));
        let rekeying = Rekeying {
            store: store(),
            workers: parts.workers.clone(),
            space: parts.space.clone(),
        };
        tasks.spawn(rekeying.run(end()));
        let upkeep = Upkeep {
            store: store(),
            workers: parts.workers.clone(),
            every: self.upkeep_every,
            kept: self.kept,
            closed_years: self.closed_years,
        };
        tasks.spawn(upkeep.run(end()));
        tasks
    }
}
