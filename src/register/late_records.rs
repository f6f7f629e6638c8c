//! Makes up for what could not be recorded: deliveries that took effect while the process ended, or while nothing could
//! be written.

use crate::domain::delivery::DeliveryKind;
use crate::record::{
    DeliveryMark, Endpoint, LateRecord, RecordFault, RecordedDeliveries, Recorder, Unrecorded,
};
use crate::store::{Receipt, Store, StoreError};
use chrono::{DateTime, TimeDelta, Utc};

/// Why it is not known, or not recorded, which deliveries have no record.
#[derive(Debug, thiserror::Error)]
pub enum LateRecordError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Record(#[from] RecordFault),
    #[error(transparent)]
    Unrecorded(#[from] Unrecorded),
    #[error("the search ended in a defect")]
    Panicked,
}

/// Whether a delivery has a record is looked for so far back.
const LOOKED_BACK: TimeDelta = TimeDelta::days(1);
/// The same where other instances go on meanwhile: one that ends is soon started again, or another is.
const LOOKED_BACK_AMONG_OTHERS: TimeDelta = TimeDelta::minutes(30);

/// Records deliveries that took effect before `until` and have no record. Gives how many they were.
pub async fn record_late(
    store: &Store,
    recorder: &Recorder,
    until: DateTime<Utc>,
) -> Result<usize, LateRecordError> {
    let (reader, before) = match store.is_shared() {
        true => (recorder.clone(), LOOKED_BACK_AMONG_OTHERS),
        false => (recorder.clone(), LOOKED_BACK),
    };
    let recorded = tokio::task::spawn_blocking(move || reader.recorded_deliveries(before)).await;
    // Of a record that has just been begun, nothing is known of what came before.
    let Some(recorded) = recorded.map_err(|_| LateRecordError::Panicked)?? else {
        return Ok(0);
    };
    let receipts = store.published_since(recorded.since).await?;
    let found = find_unrecorded(&recorded, receipts, until);
    for late in &found {
        recorder.record_late(late).await?;
    }
    Ok(found.len())
}

fn find_unrecorded(
    recorded: &RecordedDeliveries,
    receipts: Vec<Receipt>,
    until: DateTime<Utc>,
) -> Vec<LateRecord> {
    let late = receipts
        .into_iter()
        .filter(|receipt| receipt.published_at.is_some_and(|at| at < until))
        .filter(|receipt| !recorded.has(receipt.delivery_id, receipt.summary.discarded.first()))
        .filter_map(|receipt| late_record(&receipt));
    late.collect()
}

fn late_record(receipt: &Receipt) -> Option<LateRecord> {
    Some(LateRecord {
        at: receipt.received_at,
        bank: receipt.set.bank,
        endpoint: match receipt.kind {
            DeliveryKind::WholeSet => Endpoint::WholeSet,
            DeliveryKind::Changes => Endpoint::Changes,
            DeliveryKind::Batch => Endpoint::KfrBatch,
            DeliveryKind::Rollback => Endpoint::Rollback,
            DeliveryKind::KfrCalls => return None,
        },
        delivery: DeliveryMark {
            id: receipt.delivery_id,
            sha256: receipt.summary.sha256,
        },
    })
}
