//! What the server does beside answering: files read again, the record of use tried again.

use super::StartError;
use crate::access::limits::{History, Limits};
use crate::access::terms::{Terms, TermsInForce};
use crate::audit::Recorder;
use crate::register::delivery::Delivery;
use crate::register::participants;
use metrics_exporter_prometheus::PrometheusHandle;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(2);
/// How often a record of use that could not be written is tried again, and histograms are folded.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// A file that is put in force again when it changes.
pub(super) struct WatchedFile {
    path: PathBuf,
    last_read: Vec<u8>,
    governs: Governed,
}

/// What a file is put in force for.
enum Governed {
    Participants(Box<Delivery>),
    Terms(TermsInForce),
}

impl WatchedFile {
    pub(super) fn participants(path: &Path, delivery: Delivery) -> Self {
        Self::new(path, Governed::Participants(Box::new(delivery)))
    }

    pub(super) fn terms(path: &Path, terms: TermsInForce) -> Self {
        Self::new(path, Governed::Terms(terms))
    }

    /// The file was put in force at start.
    fn new(path: &Path, governs: Governed) -> Self {
        Self {
            path: path.to_owned(),
            last_read: std::fs::read(path).unwrap_or_default(),
            governs,
        }
    }

    /// Puts the file in force if its content is another than at the last look, or if told to anyway.
    fn look(&mut self, anyway: bool) {
        // A file that cannot be read is told once by the attempt below, not at every look.
        let content = std::fs::read(&self.path).unwrap_or_default();
        if anyway || content != self.last_read {
            self.last_read = content;
            self.put_in_force();
        }
    }

    fn put_in_force(&self) {
        let path = self.path.display();
        match self.governs.replace_from(&self.path) {
            Ok(()) => tracing::info!(%path, "a file was read again"),
            Err(cause) => {
                tracing::error!(%path, %cause, "a file is refused; what it said before stays in force")
            }
        }
    }
}

impl Governed {
    fn replace_from(&self, path: &Path) -> Result<(), StartError> {
        match self {
            Self::Participants(delivery) => {
                let participants = participants::load(path)?;
                let sets = delivery.sets_with_records();
                Ok(delivery.participants.replace(participants, &sets)?)
            }
            Self::Terms(terms) => {
                terms.replace(Terms::read(Some(path))?);
                Ok(())
            }
        }
    }
}

/// Puts changed files in force: when asked, and when their content changes.
pub(super) async fn reload_files(
    mut files: Vec<WatchedFile>,
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

/// Where the counts of consumers' days are kept over a restart. They hold customers as pseudonyms only.
const USAGE_FILE: &str = "usage.json";
/// How often they are written.
const USAGE_EVERY: Duration = Duration::from_secs(60);

/// What consumers' former days were like. Without the file, or with one that cannot be read, nothing is usual yet.
pub(super) fn read_usage(audit: &Path) -> History {
    let text = std::fs::read(audit.join(USAGE_FILE)).unwrap_or_default();
    serde_json::from_slice(&text).unwrap_or_default()
}

/// Keeps the counts of consumers' days: now and then, and at the end.
pub(super) async fn keep_usage(audit: PathBuf, limits: Arc<Limits>, end: CancellationToken) {
    loop {
        let ended = tokio::select! {
            () = tokio::time::sleep(USAGE_EVERY) => false,
            () = end.cancelled() => true,
        };
        let (directory, limits) = (audit.clone(), Arc::clone(&limits));
        let written = tokio::task::spawn_blocking(move || write_usage(&directory, &limits)).await;
        if let Err(cause) = written.unwrap_or_else(|defect| Err(std::io::Error::other(defect))) {
            tracing::warn!(%cause, "the counts of consumers' days cannot be kept");
        }
        if ended {
            return;
        }
    }
}

fn write_usage(audit: &Path, limits: &Limits) -> std::io::Result<()> {
    let counted = serde_json::to_vec(&limits.history())?;
    let mut file = tempfile::NamedTempFile::new_in(audit)?;
    file.write_all(&counted)?;
    file.persist(audit.join(USAGE_FILE))
        .map(|_| ())
        .map_err(|refused| refused.error)
}

/// Tries the record of use again after a fault, and folds histograms.
pub(super) async fn upkeep(recorder: Recorder, prometheus: PrometheusHandle, end: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(UPKEEP_EVERY) => {}
            () = end.cancelled() => return,
        }
        prometheus.run_upkeep();
        if !recorder.writable() && recorder.probe().await {
            tracing::info!("the record of use can be written again");
        }
    }
}
