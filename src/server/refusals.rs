//! Records how many calls were turned away, once their minute is over.

use crate::access::limits::{Limits, TurnedAway};
use crate::record::Recorder;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often it is looked whether a minute is over.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Goes on to the end, and then records what the last minute had.
pub(super) async fn record_turned_away(limits: Arc<Limits>, recorder: Recorder, end: CancellationToken) {
    while end
        .run_until_cancelled(tokio::time::sleep(LOOK_EVERY))
        .await
        .is_some()
    {
        record(&limits, &recorder, Utc::now()).await;
    }
    record(&limits, &recorder, DateTime::<Utc>::MAX_UTC).await;
}

async fn record(limits: &Limits, recorder: &Recorder, now: DateTime<Utc>) {
    for turned_away in limits.refusals().take(now) {
        tracing::warn!(
            consumer = %turned_away.consumer,
            calls = turned_away.calls,
            "a consumer was refused too often in a minute, and further calls were turned away"
        );
        let TurnedAway {
            consumer,
            minute,
            calls,
        } = turned_away;
        if let Err(cause) = recorder.record_turned_away(consumer, minute, calls).await {
            tracing::error!(%cause, "calls that were turned away could not be recorded yet");
            limits.refusals().give_back(turned_away);
        }
    }
}
