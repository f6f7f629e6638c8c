//! What is asked, as far as it could be read.

use super::{Arrival, LegalContext, Refusal};
use crate::domain::calendar::Period;
use crate::domain::identifiers::{AccountNumber, CustomerId};
use crate::record::Subject;

/// A question as it was asked, valid or not: what could be read of it is recorded either way.
#[derive(Debug)]
pub struct Asked<Q> {
    pub arrival: Arrival,
    pub context: LegalContext,
    pub subject: Option<Subject>,
    pub question: Result<Q, Refusal>,
}

/// `customerRelationships`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationshipsQuestion {
    pub customer: CustomerId,
    pub period: Period,
    /// `None` when the request did not carry the parameter.
    pub only_primary_owner: Option<bool>,
}

/// `accountServicingProvider`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountQuestion {
    pub account: AccountNumber,
    /// Asked at the older path, where an unknown account counts as an invalid one, as published.
    pub as_published: bool,
}

/// Which group of rules a fault breaks; the order is that of precedence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FaultKind {
    CustomerId,
    Period,
    AccountId,
    Request,
}

/// One thing that is wrong with a request. Never repeats the value sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FaultKind,
    /// The header or parameter as the specification writes it.
    pub parameter: &'static str,
    pub reason: String,
}
