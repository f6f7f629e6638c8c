//! Puts the head of the record of use into the log, where an outside party can keep it.

use crate::record::Recorder;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Publishes the head every now and then. The last one is published by [`Recorder::close`].
pub(super) async fn publish_heads(recorder: Recorder, every: Duration, end: CancellationToken) {
    loop {
        recorder.log_head();
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = end.cancelled() => return,
        }
    }
}
