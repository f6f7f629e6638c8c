//! Entries as they stand in the table.

use super::entry::{DeliveryMark, Endpoint, Subject};
use crate::pseudonym::KeyFingerprint;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// First byte of every entry. An entry of another version is refused.
pub(super) const FORMAT_VERSION: u8 = 1;

/// An entry as it stands in the table.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredEntry<'a> {
    /// The key that it was made with.
    pub(super) key: KeyFingerprint,
    /// When the call arrived; microseconds since 1970.
    pub(super) at: i64,
    #[serde(borrow)]
    pub(super) event: StoredEvent<'a>,
}

#[derive(Serialize, Deserialize)]
pub(super) enum StoredEvent<'a> {
    #[serde(borrow)]
    Call(StoredCall<'a>),
    /// Written to find out whether the record can be written.
    Probe,
    #[serde(borrow)]
    Act(StoredAct<'a>),
    Late(StoredReceipt),
    TurnedAway(StoredTurnedAway),
}

/// Calls of one consumer in one minute, whose beginning is the time of the entry.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredTurnedAway {
    pub(super) consumer: u32,
    pub(super) calls: u64,
}

/// What is known of a delivery that took effect without a record.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredReceipt {
    pub(super) endpoint: Endpoint,
    pub(super) bank: u32,
    pub(super) delivery: DeliveryMark,
}

/// Stored in the order of the fields; what is not of the deed is absent.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredAct<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) operator: &'a str,
    pub(super) correlation: Uuid,
    pub(super) sought_case: Option<Uuid>,
    pub(super) sought_correlation: Option<Uuid>,
    pub(super) bank: Option<u32>,
    pub(super) delivery: Option<Uuid>,
    pub(super) status: u16,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredCall<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) consumer: u32,
    pub(super) supplier: Option<u32>,
    pub(super) token_id: Option<&'a str>,
    pub(super) client_amr: Option<&'a str>,
    pub(super) correlation: Uuid,
    pub(super) case: Option<Uuid>,
    pub(super) legal_mandate: Option<&'a str>,
    /// As its pseudonym.
    #[serde(borrow)]
    pub(super) subject: Option<StoredSubject<'a>>,
    /// First and last day, counted from the first of year 1.
    pub(super) period: Option<(i32, i32)>,
    pub(super) only_primary_owner: Option<bool>,
    pub(super) status: u16,
    pub(super) banks: Vec<u32>,
    pub(super) service: Option<&'a str>,
    pub(super) outside_terms: Option<&'a str>,
    pub(super) delivery: Option<DeliveryMark>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StoredSubject<'a> {
    Customer(&'a [u8]),
    Account(&'a [u8]),
}

impl<'a> StoredSubject<'a> {
    /// The subject as `pseudonym`, which is of its kind.
    pub(super) fn of(subject: &Subject, pseudonym: &'a [u8]) -> Self {
        match subject {
            Subject::Customer(_) => Self::Customer(pseudonym),
            Subject::Account(_) => Self::Account(pseudonym),
        }
    }
}

impl<'a> StoredEntry<'a> {
    /// `None` for bytes that no version known here wrote.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&FORMAT_VERSION, entry) => postcard::from_bytes(entry).ok(),
            _ => None,
        }
    }
}
