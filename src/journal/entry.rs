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
const FORMAT_VERSION: u8 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Entry {
    /// The first entry: which register this is, and the pseudonym key it is written with.
    Born {
        register_id: Uuid,
        key: KeyFingerprint,
        /// How often the register was given another key before.
        rekeyings: u32,
    },
    Published(Publication),
}

/// One published delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Publication {
    pub(super) bank: u32,
    pub(super) register: Register,
    /// Counts the publications of the set, from 1.
    pub position: u64,
    pub delivery_id: Uuid,
    pub kind: Kind,
    pub received_at: DateTime<Utc>,
    pub published_at: DateTime<Utc>,
    pub counts: Counts,
    /// Of the decoded body as the bank sent it.
    pub sha256: [u8; 32],
    pub(super) body: Body,
}

impl Publication {
    pub fn set(&self) -> Result<SetId, JournalError> {
        let bank = OrganizationNumber::from_u32(self.bank).ok_or(JournalError::Corrupt("bank"))?;
        Ok(SetId {
            bank,
            register: self.register,
        })
    }
}

/// What a delivery is to the set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Replaces everything but the KFR calls that were published after position `carries_after`,
    /// while the whole set was being received: they hold in the new set too.
    WholeSet { carries_after: u64 },
    /// Changes the set as it stands.
    Changes,
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

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, JournalError> {
        match bytes.split_first() {
            Some((&FORMAT_VERSION, rest)) => {
                postcard::from_bytes(rest).map_err(|_| JournalError::Corrupt("entry"))
            }
            _ => Err(JournalError::Corrupt("entry version")),
        }
    }
}
