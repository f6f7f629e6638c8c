//! What the server does beside answering: files read again, the record of use tried again.

use super::Parts;
use super::StartError;
use super::tls::{Port, Tls};
use crate::access::limits::{History, Limits};
use crate::access::terms::{Terms, TermsInForce};
use crate::domain::calendar::oslo_day;
use crate::record::Recorder;
use crate::register::late_records::record_late;
use crate::register::participants::{self, ParticipantsInForce};
use crate::store::Store;
use chrono::{DateTime, TimeDelta, Utc};
use metrics_exporter_prometheus::PrometheusHandle;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

/// How often the files are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(2);
/// How often a record of use that could not be written is tried again, and histograms are folded.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// Whoever is answered later than this after a delivery took effect may find it recorded twice.
const ANSWERED_WITHIN: TimeDelta = TimeDelta::minutes(1);

/// Files, and what stood in them when they were looked at last.
pub(super) struct SeenFiles {
    paths: Vec<PathBuf>,
    /// A digest of each file's content: one of them may be a private key.
    contents: Vec<Option<[u8; 32]>>,
}

impl SeenFiles {
    /// To be looked at before they are put in force: what changes from then on is noticed.
    pub(super) fn look(paths: Vec<PathBuf>) -> Self {
        Self {
            contents: contents(&paths),
            paths,
        }
    }

    fn has_changed(&mut self) -> bool {
        let contents = contents(&self.paths);
        std::mem::replace(&mut self.contents, contents) != self.contents
    }
}

/// Files that are put in force again, together, when one of them changes.
pub(super) struct WatchedFiles {
    seen: SeenFiles,
    governs: Governed,
}

/// What files are put in force for.
enum Governed {
    Participants(PathBuf, ParticipantsInForce, Store),
    Terms(PathBuf, TermsInForce),
    Tls(Tls),
}

impl WatchedFiles {
    pub(super) fn participants(seen: SeenFiles, path: &Path, parts: &Parts) -> Self {
        let participants = parts.delivery.participants().clone();
        let governs = Governed::Participants(path.to_owned(), participants, parts.store.clone());
        Self { seen, governs }
    }

    pub(super) fn terms(seen: SeenFiles, path: &Path, terms: TermsInForce) -> Self {
        let governs = Governed::Terms(path.to_owned(), terms);
        Self { seen, governs }
    }

    pub(super) fn tls(tls: Tls) -> Self {
        Self {
            seen: SeenFiles::look(tls.paths()),
            governs: Governed::Tls(tls),
        }
    }

    /// Puts the files in force if a content is another than at the last look, or if told to anyway.
    fn look(&mut self, anyway: bool) {
        // A file that cannot be read is told once by the attempt below, not at every look.
        if self.seen.has_changed() || anyway {
            self.put_in_force();
        }
    }

    fn put_in_force(&self) {
        let paths: Vec<_> = self
            .seen
            .paths
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        let path = paths.join(", ");
        let replaced = self.governs.replace();
        metrics::gauge!("kundeforhold_file_refused", "file" => self.governs.name()).set(match &replaced {
            Ok(()) => 0.0,
            Err(_) => 1.0,
        });
        match replaced {
            Ok(()) => tracing::info!(%path, "a file was read again"),
            Err(cause) => {
                tracing::error!(%path, %cause, "a file is refused; what it said before stays in force")
            }
        }
    }
}

fn contents(paths: &[PathBuf]) -> Vec<Option<[u8; 32]>> {
    let digest = |path: &PathBuf| Some(Sha256::digest(Zeroizing::new(std::fs::read(path).ok()?)).into());
    paths.iter().map(digest).collect()
}

impl Governed {
    /// As metrics name it.
    fn name(&self) -> &'static str {
        match self {
            Self::Participants(..) => "participants",
            Self::Terms(..) => "terms",
            Self::Tls(tls) => match tls.port {
                Port::Public => "tls",
                Port::Management => "management_tls",
            },
        }
    }

    fn replace(&self) -> Result<(), StartError> {
        match self {
            Self::Participants(path, in_force, store) => {
                Ok(in_force.replace(participants::load(path)?, &store.sets())?)
            }
            Self::Terms(path, terms) => {
                terms.replace(Terms::read(Some(path))?);
                Ok(())
            }
            Self::Tls(tls) => Ok(tls.reload()?),
        }
    }
}

/// Puts changed files in force: when asked, and when their content changes.
pub(super) async fn reload_files(
    mut files: Vec<WatchedFiles>,
    reload: Arc<tokio::sync::Notify>,
    end: CancellationToken,
) {
    loop {
        let asked = tokio::select! {
            () = tokio::time::sleep(RELOAD_EVERY) => false,
            () = reload.notified() => true,
            () = end.cancelled() => return,
        };
        for file in &mut files {
            file.look(asked);
        }
    }
}

/// Where the counts of consumers' days are kept over a restart, beside the register. They hold customers as
/// pseudonyms only.
const USAGE_FILE: &str = "usage.json";
/// How often they are written.
const USAGE_EVERY: Duration = Duration::from_secs(60);
/// How often they are shared, where there are several instances.
const SHARE_USAGE_EVERY: Duration = Duration::from_secs(2);

/// What consumers' former days were like. Without the file, or with one that cannot be read, nothing is usual yet.
pub(super) fn read_usage(register: &Path) -> History {
    let text = std::fs::read(register.with_file_name(USAGE_FILE)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Keeps the counts of consumers' days: now and then, and at the end.
pub(super) async fn keep_usage(register: PathBuf, limits: Arc<Limits>, end: CancellationToken) {
    loop {
        let ended = tokio::select! {
            () = tokio::time::sleep(USAGE_EVERY) => false,
            () = end.cancelled() => true,
        };
        let (register, limits) = (register.clone(), Arc::clone(&limits));
        let written = tokio::task::spawn_blocking(move || write_usage(&register, &limits)).await;
        if let Err(cause) = written.unwrap_or_else(|defect| Err(std::io::Error::other(defect))) {
            tracing::warn!(%cause, "the counts of consumers' days cannot be kept");
        }
        if ended {
            return;
        }
    }
}

/// Instances on one store tell one another what they have counted: so often, and at the end.
pub(super) async fn share_usage(store: Store, limits: Arc<Limits>, end: CancellationToken) {
    let (mut fresh, mut since) = (Vec::new(), None);
    loop {
        let ended = tokio::select! {
            () = tokio::time::sleep(SHARE_USAGE_EVERY) => false,
            () = end.cancelled() => true,
        };
        fresh.extend(limits.take_fresh());
        match store.exchange_usage(&fresh, oslo_day(Utc::now()), since).await {
            Ok((seen, asked_at)) => {
                limits.learn(&seen);
                fresh.clear();
                since = Some(asked_at);
            }
            Err(cause) => {
                // What came meanwhile may be older than it looks.
                since = None;
                tracing::warn!(%cause, "the counts of consumers' days cannot be shared");
            }
        }
        if ended {
            return;
        }
    }
}

fn write_usage(register: &Path, limits: &Limits) -> std::io::Result<()> {
    let counted = serde_json::to_vec(&limits.history())?;
    let path = register.with_file_name(USAGE_FILE);
    let mut file = tempfile::NamedTempFile::new_in(path.parent().unwrap_or(Path::new(".")))?;
    file.write_all(&counted)?;
    file.persist(path).map(|_| ()).map_err(|refused| refused.error)
}

/// Tries the record of use again after a fault, and folds histograms. At the start, and after a fault, makes up for what
/// could not be recorded.
pub(super) async fn upkeep(
    store: Store,
    recorder: Recorder,
    prometheus: PrometheusHandle,
    end: CancellationToken,
) {
    let started = Utc::now();
    // Where there are other instances, they may just be answering what they have published.
    let mut making_up_at = Some(match store.is_shared() {
        true => started + ANSWERED_WITHIN,
        false => started,
    });
    loop {
        if making_up_at.take_if(|at| *at <= Utc::now()).is_some() {
            make_up(&store, &recorder, started).await;
        }
        tokio::select! {
            () = tokio::time::sleep(UPKEEP_EVERY) => {}
            () = end.cancelled() => return,
        }
        prometheus.run_upkeep();
        if !recorder.writable() && recorder.probe().await {
            tracing::info!("the record of use can be written again");
            // What is just being answered has its record in a moment.
            make_up(&store, &recorder, Utc::now() - ANSWERED_WITHIN).await;
        }
    }
}

async fn make_up(store: &Store, recorder: &Recorder, until: DateTime<Utc>) {
    match record_late(store, recorder, until).await {
        Ok(0) => {}
        Ok(deliveries) => tracing::warn!(
            deliveries,
            event = "recorded_late",
            "deliveries that took effect without a record have one now"
        ),
        Err(cause) => tracing::error!(%cause, "deliveries without a record could not be looked for"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_noticed_once_whenever_it_came() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("terms.toml");
        std::fs::write(&path, "").unwrap();
        let mut seen = SeenFiles::look(vec![path.clone()]);
        assert!(!seen.has_changed());
        std::fs::write(&path, "# changed\n").unwrap();
        assert!(seen.has_changed() && !seen.has_changed());
        std::fs::remove_file(&path).unwrap();
        assert!(seen.has_changed() && !seen.has_changed());
    }
}
