//! What consumers ask about, counted by day in Oslo.

use super::identifiers::OrganizationNumber;
use chrono::NaiveDate;
use uuid::Uuid;

/// A customer or case that a consumer asked about on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub consumer: OrganizationNumber,
    pub day: NaiveDate,
    pub what: SeenWhat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeenWhat {
    /// Tells customers apart without naming them: the first bytes of a pseudonym.
    Customer(u64),
    Case(Uuid),
}

impl SeenWhat {
    /// As it is stored: its length says what it is.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::Customer(tag) => tag.to_be_bytes().to_vec(),
            Self::Case(case) => case.as_bytes().to_vec(),
        }
    }

    /// `None` for what was not encoded here.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let customer = || bytes.try_into().ok().map(u64::from_be_bytes).map(Self::Customer);
        customer().or_else(|| bytes.try_into().ok().map(Uuid::from_bytes).map(Self::Case))
    }
}

/// How many distinct customers and cases a consumer asked about on a day that is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FormerDay {
    pub consumer: OrganizationNumber,
    pub day: NaiveDate,
    pub customers: usize,
    pub cases: usize,
}
