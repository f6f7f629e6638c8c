//! What lookups are answered with, or why not.

use super::Fault;
use crate::access::caller::Scope;
use crate::access::limits::OverLimit;
use crate::access::terms::OutsideTerms;
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::overview::{Standing, UnregisteredBank};
use crate::domain::participants::Coverage;
use crate::store::StoreError;

/// Why a lookup is not answered with what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Any one of these scopes would do.
    MissingScope(Vec<Scope>),
    /// A bank that does not take part, or asks for another: at the one of its calls whose errors are an agency's.
    NotAdmitted,
    /// All faults at once; never empty.
    Invalid(Vec<Fault>),
    NotAcceptable,
    /// The consumer asks too much at once, or has used up its day.
    TooMany(OverLimit),
    /// It fits no DSOP service of the caller's consumer.
    OutsideTerms(OutsideTerms),
    /// No bank services the account, as far as the coverage says.
    UnknownAccount(Coverage),
    /// The same at the older path.
    UnknownAccountAsPublished,
    Unavailable,
    TimedOut,
    Defect,
}

impl From<StoreError> for Refusal {
    fn from(cause: StoreError) -> Self {
        match cause {
            StoreError::Damaged(_) => Self::Defect,
            StoreError::TimedOut => Self::TimedOut,
            StoreError::SetBusy
            | StoreError::Overloaded
            | StoreError::Full
            | StoreError::Unavailable(_)
            | StoreError::NotReceiving
            | StoreError::OtherKey
            | StoreError::LacksKey
            | StoreError::ClockJumped(_)
            | StoreError::InUse(_)
            | StoreError::Newer { .. }
            | StoreError::Older { .. }
            | StoreError::Settings(_)
            | StoreError::Absent(_)
            | StoreError::HalfRestored(_)
            | StoreError::Closed => Self::Unavailable,
        }
    }
}

impl From<UnregisteredBank> for Refusal {
    fn from(cause: UnregisteredBank) -> Self {
        tracing::error!(%cause, "a lookup met records of an unregistered bank");
        Self::Defect
    }
}

/// The answer to `customerRelationships`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationshipsAnswer {
    pub banks: Vec<ListedBank>,
    /// Whether `ownershipType` is told: the request carried `onlyPrimaryOwner`.
    pub tells_ownership: bool,
    pub coverage: Coverage,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedBank {
    pub organization: OrganizationNumber,
    pub name: String,
    pub standing: Standing,
}

/// The answer to `accountServicingProvider`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountAnswer {
    pub organization: OrganizationNumber,
    pub name: String,
    pub coverage: Coverage,
}
