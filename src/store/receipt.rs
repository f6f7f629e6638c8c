//! What a bank gets for a delivery.

use crate::domain::delivery::{Counts, DeliveryKind, DeliveryState, Reject};
use crate::domain::relationship::SetId;
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

/// A delivery's receipt. Only the store makes it, from rows that are committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub delivery_id: Uuid,
    pub set: SetId,
    pub kind: DeliveryKind,
    pub state: DeliveryState,
    pub received_at: DateTime<Utc>,
    pub published_at: Option<DateTime<Utc>>,
    /// Why it was rejected or abandoned.
    pub reason: Option<String>,
    /// Of single KFR calls: their day, and how many they are.
    pub calls: Option<(NaiveDate, u64)>,
    pub summary: Summary,
    /// Records of the set, once it was published.
    pub records: Option<u64>,
    pub(super) _from_rows: FromRows,
}

/// Nothing outside the store makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FromRows;

/// What is told of a delivery once its body was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    pub counts: Counts,
    /// Of the decoded body as the bank sent it, once it was read to its end.
    pub sha256: Option<[u8; 32]>,
    /// The bank's own number of the delivery, `Delivery-Sequence`.
    pub sequence: Option<u64>,
    /// What a rollback undid, the whole set first.
    pub discarded: Vec<Uuid>,
}

/// A V2 delivery, from its first byte on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begun {
    pub delivery_id: Uuid,
    pub set: SetId,
    pub kind: DeliveryKind,
    pub received_at: DateTime<Utc>,
}

/// The delivery that an idempotency key is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUse {
    pub delivery_id: Uuid,
    /// Of the decoded body.
    pub sha256: [u8; 32],
}

/// How a delivery ends without being published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryEnd {
    /// The bank was refused, for its lines or for what they are at odds with.
    Rejected {
        reason: String,
        summary: Summary,
        /// The first of its rejected lines.
        rejects: Vec<Reject>,
        /// SHA-256 of its `Idempotency-Key`, if the refusal binds it.
        idempotency: Option<[u8; 32]>,
    },
    /// It was broken off.
    Abandoned { reason: String },
}

/// Kinds and states as rows have them, by their place.
pub(super) const KINDS: [DeliveryKind; 5] = [
    DeliveryKind::WholeSet,
    DeliveryKind::Changes,
    DeliveryKind::Batch,
    DeliveryKind::Rollback,
    DeliveryKind::KfrCalls,
];
pub(super) const STATES: [DeliveryState; 6] = [
    DeliveryState::Receiving,
    DeliveryState::Published,
    DeliveryState::Rejected,
    DeliveryState::Abandoned,
    DeliveryState::RolledBack,
    DeliveryState::Superseded,
];

pub(super) fn number_of<T: PartialEq>(all: &[T], one: T) -> usize {
    all.iter().position(|known| *known == one).unwrap_or(all.len())
}
