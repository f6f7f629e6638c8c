//! What the server does beside answering, from its start to its end.

use super::disk::{Upkeep, tell_audit_disk, tell_disk};
use super::heads::publish_heads;
use super::next_key::NextKeyWatch;
use super::upkeep::{WatchedFiles, keep_usage, reload_files, upkeep};
use super::wiring::Parts;
use metrics_exporter_prometheus::PrometheusHandle;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(super) struct Background {
    pub(super) files: Vec<WatchedFiles>,
    pub(super) next_key: NextKeyWatch,
    pub(super) lease_time: Duration,
    pub(super) head_every: Duration,
    pub(super) audit_directory: PathBuf,
    pub(super) upkeep_every: Duration,
    pub(super) prometheus: PrometheusHandle,
}

/// When it ends.
#[derive(Clone, Default)]
pub(super) struct Ends {
    /// Of leases, which publications need to their end.
    pub(super) leases: CancellationToken,
    pub(super) all_else: CancellationToken,
}

impl Background {
    /// Starts all of it. `reload` asks for files to be read again.
    pub(super) fn start(self, parts: &Parts, reload: Arc<Notify>, ends: &Ends) -> TaskTracker {
        let (tasks, end) = (TaskTracker::new(), || ends.all_else.clone());
        let (keys, keys_end) = (Arc::clone(&parts.readiness.keys), end());
        tasks.spawn(async move { keys.run(keys_end).await });
        let keeper = || parts.keeper.clone();
        tasks.spawn(keeper().run(end()));
        tasks.spawn(keeper().sweep(end()));
        tasks.spawn(keeper().renew_leases(self.lease_time, ends.leases.clone()));
        tasks.spawn(self.next_key.run(end()));
        tasks.spawn(reload_files(self.files, reload, end()));
        let recorder = || parts.readiness.recorder.clone();
        tasks.spawn(upkeep(recorder(), self.prometheus, end()));
        tasks.spawn(publish_heads(recorder(), self.head_every, end()));
        tasks.spawn(tell_audit_disk(self.audit_directory.clone(), end()));
        let limits = Arc::clone(&parts.lookup.limits);
        tasks.spawn(keep_usage(self.audit_directory, limits, end()));
        let delivery = &parts.delivery;
        if let Some(journal) = &delivery.journal {
            tasks.spawn(tell_disk(journal.clone(), delivery.index.clone(), end()));
            let upkeep = Upkeep {
                delivery: delivery.clone(),
                every: self.upkeep_every,
                closed_years: parts.lookup.retention_closed_years,
            };
            tasks.spawn(upkeep.run(end()));
        }
        tasks
    }
}
