//! What the server does beside answering: files read again, the record of use tried again.

use crate::audit::Recorder;
use crate::register::delivery::Delivery;
use crate::register::participants;
use metrics_exporter_prometheus::PrometheusHandle;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often the participants file is looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(2);
/// How often a record of use that could not be written is tried again, and histograms are folded.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);

/// Puts a changed participants file in force: when asked, and when its content changes.
pub(super) async fn reload_participants(
    path: PathBuf,
    delivery: Delivery,
    reload: Arc<tokio::sync::Notify>,
    end: CancellationToken,
) {
    let mut last_read = Some(std::fs::read(&path).unwrap_or_default());
    loop {
        tokio::select! {
            () = tokio::time::sleep(RELOAD_EVERY) => {}
            () = reload.notified() => last_read = None,
            () = end.cancelled() => return,
        }
        // A file that cannot be read is told once by the attempt below, not at every look.
        let content = Some(std::fs::read(&path).unwrap_or_default());
        if content != last_read {
            last_read = content;
            reload_once(&path, &delivery);
        }
    }
}

fn reload_once(path: &Path, delivery: &Delivery) {
    let replaced = participants::load(path).and_then(|participants| {
        delivery
            .participants
            .replace(participants, &delivery.sets_with_records())
    });
    match replaced {
        Ok(()) => tracing::info!("the participants file was read again"),
        Err(cause) => {
            tracing::error!(%cause, "the participants file is refused; the former participants stay in force")
        }
    }
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
