//! The entries of the journal's chain.

use super::JournalError;
use super::body::Body;
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::relationship::{Register, SetId};
use crate::pseudonym::KeyFingerprint;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// First byte of every entry. An entry of another version is refused.
const FORMAT_VERSION: u8 = 3;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Entry {
    /// The first entry: which register this is and which of its journals, and the pseudonym key it is written with.
    Born {
        register_id: Uuid,
        journal_id: Uuid,
        key: KeyFingerprint,
        /// How often the register was given another key before.
        rekeyings: u32,
    },
    /// A bank began a delivery that has a receipt. Without an end it was abandoned.
    Begun(Begun),
    Published(Publication),
    /// A delivery ended without being published.
    Ended(Ended),
    /// The bodies of these deliveries, all of them files, may be missing from here on: nothing needs them.
    LetGo(Vec<Uuid>),
    /// A body was written again without records that are kept no longer.
    Rewritten(Rewritten),
    /// The set's publications after this position never took effect: another instance had taken over.
    Overtaken(Overtaken),
    /// Another journal of the register has the set's publication at this position.
    Elsewhere(Elsewhere),
}

/// Publications that never took effect: all of a set after a position, up to this entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Overtaken {
    pub(super) bank: u32,
    pub(super) register: Register,
    pub(super) after: u64,
}

/// What is known of another journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elsewhere {
    pub(super) bank: u32,
    pub(super) register: Register,
    pub(super) journal: Uuid,
    pub(super) position: u64,
}

/// A body in the place of a former one, both of them files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Rewritten {
    pub(super) delivery: Uuid,
    /// Names the file.
    pub(super) name: Uuid,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
}

/// A V2 delivery, from its first byte on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    pub(super) bank: u32,
    pub(super) register: Register,
    pub delivery_id: Uuid,
    pub operation: Operation,
    pub received_at: DateTime<Utc>,
}

/// What a bank asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operation {
    WholeSet,
    Changes,
    Rollback,
}

/// One published delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    pub(super) bank: u32,
    pub(super) register: Register,
    /// Counts the publications of the set, from 1, whichever journals they are in.
    pub position: u64,
    /// Of the lease under which it was published: of two at the same position, the greater one stands.
    pub fence: u64,
    pub delivery_id: Uuid,
    pub kind: Kind,
    pub received_at: DateTime<Utc>,
    pub published_at: DateTime<Utc>,
    pub summary: Summary,
    pub(super) body: Body,
}

impl Publication {
    pub fn set(&self) -> Result<SetId, JournalError> {
        set_of(self.bank, self.register)
    }
}

/// A delivery that was not published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    pub(super) bank: u32,
    pub(super) register: Register,
    pub delivery_id: Uuid,
    /// Refused for its lines, rather than broken off.
    pub rejected: bool,
    pub summary: Summary,
}

pub(super) fn set_of(bank: u32, register: Register) -> Result<SetId, JournalError> {
    let bank = OrganizationNumber::from_u32(bank).ok_or(JournalError::Corrupt("bank"))?;
    Ok(SetId { bank, register })
}

/// What a delivery is to the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Replaces everything but the KFR calls that were published after position `carries_after`,
    /// while the whole set was being received: they hold in the new set too.
    WholeSet { carries_after: u64 },
    /// V2 changes of the set as it stands.
    Changes,
    /// KFR calls on the set as it stands.
    Calls,
    /// The set stands again as it stood at position `to`, just before the whole set at `to + 1`.
    Rollback { to: u64 },
}

impl Kind {
    /// Whether the set is made anew, rather than changed as it stands.
    pub fn is_base(self) -> bool {
        match self {
            Self::WholeSet { .. } | Self::Rollback { .. } => true,
            Self::Changes | Self::Calls => false,
        }
    }
}

/// What the receipt of a delivery tells, and what later ones are held against.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub counts: Counts,
    /// Of the decoded body as the bank sent it.
    pub sha256: [u8; 32],
    /// SHA-256 of the bank's `Idempotency-Key`.
    pub idempotency: Option<[u8; 32]>,
    /// The bank's own number of the delivery, `Delivery-Sequence`.
    pub sequence: Option<u64>,
    /// Records of the set that ran on the day, of a whole set or once changes were made.
    pub running: u64,
    /// The first of the rejected lines.
    pub rejects: Vec<Reject>,
    /// What a rollback undid, the whole set first.
    pub discarded: Vec<Uuid>,
}

/// A line that was not taken. Never carries what the line holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// Counted from 1.
    pub line: u64,
    pub code: RejectCode,
    /// The field, as the specification writes it.
    pub parameter: String,
    pub reason: String,
}

/// The error of a rejected line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RejectCode {
    /// KFR-004
    InvalidRecord,
    /// KFR-005
    InvalidCustomer,
    /// KFR-008: there is no record of this identity to end.
    NotFound,
    /// KFR-010
    InvalidDate,
}

/// The counts of a receipt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Lines.
    pub read: u64,
    /// Identities.
    pub stored: u64,
    pub ended: u64,
    pub removed: u64,
    pub rejected: u64,
    pub customers: u64,
    pub accounts: u64,
}

impl Entry {
    pub(super) fn encode(&self) -> Result<Vec<u8>, JournalError> {
        let mut bytes = vec![FORMAT_VERSION];
        bytes.extend(postcard::to_stdvec(self).map_err(|_| JournalError::Corrupt("entry"))?);
        Ok(bytes)
    }

    /// Whether it says the same under another key: all but pseudonyms and what follows from them.
    pub(super) fn is_copy_of(&self, original: &Self) -> bool {
        match (self, original) {
            (Self::Born { .. }, Self::Born { .. }) => true,
            (Self::Published(copy), Self::Published(original)) => {
                let body = original.body.clone();
                Publication { body, ..copy.clone() } == *original
            }
            (Self::Rewritten(copy), Self::Rewritten(original)) => {
                (copy.delivery, copy.name) == (original.delivery, original.name)
            }
            (copy, original) => copy == original,
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, JournalError> {
        match bytes.split_first() {
            Some((&FORMAT_VERSION, rest)) => {
                postcard::from_bytes(rest).map_err(|_| JournalError::Corrupt("entry"))
            }
            _ => Err(JournalError::Corrupt("entry version")),
        }
    }
}
