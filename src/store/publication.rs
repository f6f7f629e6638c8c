//! What is put in force, and what becomes of a set by it.

use super::{Begun, Changed, Receipt, SealedRecord, SetChange, SetState, Standing, Summary};
use crate::domain::delivery::{Counts, DeliveryKind, Reject};
use crate::domain::relationship::SetId;
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

/// What is done to one record of a set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowWrite {
    /// It stands where none of its identity stood.
    Insert(SealedRecord),
    /// It stands in place of the one of its identity.
    Replace(SealedRecord),
    /// It stands no longer.
    End(SealedRecord),
}

impl RowWrite {
    pub fn record(&self) -> &SealedRecord {
        match self {
            Self::Insert(record) | Self::Replace(record) | Self::End(record) => record,
        }
    }
}

/// What is put in force.
#[derive(Debug, Clone)]
pub struct Publication {
    /// What changes of the rows, but for what a merge has written already. Few.
    pub writes: Vec<RowWrite>,
    /// How the set stands then; when it was delivered to last is added.
    pub standing: Standing,
    pub filing: Filing,
    /// Kept for the whole set that is being received, if there is one.
    pub calls: Vec<SetChange>,
}

/// What the receipt says.
#[derive(Debug, Clone)]
pub enum Filing {
    /// Of a delivery that was [begun](super::SetLock::begin).
    Delivery {
        delivery_id: Uuid,
        kind: DeliveryKind,
        summary: Summary,
        rejects: Vec<Reject>,
        idempotency: Option<[u8; 32]>,
    },
    Batch {
        begun: Begun,
        summary: Summary,
    },
    /// One more call of a day.
    Call {
        day: NaiveDate,
        counts: Counts,
    },
}

/// What was committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    pub receipt: Receipt,
}

pub(super) fn count_published(set: SetId) {
    metrics::counter!("kundeforhold_deliveries_published_total", "bank" => set.bank.to_string()).increment(1);
}

pub(super) fn note_tags(writes: &[RowWrite], changed: &mut Changed) {
    writes.iter().for_each(|write| changed.add_record(write.record()));
}

/// How a set stands once a version is in force.
pub(super) fn next_state(
    state: &SetState,
    version: u64,
    publication: &Publication,
    at: DateTime<Utc>,
) -> SetState {
    let mut standing = publication.standing.clone();
    let mut sequence = None;
    match &publication.filing {
        // What stands again is as fresh as it was.
        Filing::Delivery {
            kind: DeliveryKind::Rollback,
            ..
        } => {}
        Filing::Delivery { summary, .. } => {
            sequence = summary.sequence;
            standing.last_delivery = Some(at);
        }
        Filing::Batch { .. } | Filing::Call { .. } => standing.last_delivery = Some(at),
    }
    SetState {
        version,
        sequence: sequence.unwrap_or(state.sequence),
        standing,
        merging: false,
        ..state.clone()
    }
}
