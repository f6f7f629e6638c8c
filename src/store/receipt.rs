//! What a bank gets for a delivery.

use crate::domain::delivery::{Counts, DeliveryKind, DeliveryState};
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
