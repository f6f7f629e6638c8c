//! DSOP service terms: which agency may ask what.
//!
//! - [`Terms::parse`] reads them from TOML; the built-in table is `dsop-services.default.toml`, which also
//!   documents the format.
//! - [`Terms::authorize`] judges a question, which must fit one service of its consumer. No I/O, no clock.
//! - [`TermsInForce`] holds the terms of the moment.

mod file;
mod in_force;
mod judgement;
mod mandate;
mod period;

pub use file::TermsFileError;
pub use in_force::{Enforcement, TermsInForce};
pub use judgement::{OutsideTerms, Permit, Question, Term, Wanted};
pub use mandate::{Mandate, NormalMandate};
pub use period::{AllowedDates, PeriodRule, Today};

use super::caller::{Caller, Scope};
use crate::domain::identifiers::{CustomerKind, OrganizationNumber};
use mandate::SentMandate;
use serde::Deserialize;

/// The terms that ship with the program, in the form of a file.
pub const DEFAULT: &str = include_str!("dsop-services.default.toml");

/// The two lookups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LookupEndpoint {
    CustomerRelationships,
    AccountServicingProvider,
}

/// Whom a service may ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CustomerRule {
    Any,
    Only(CustomerKind),
}

impl CustomerRule {
    fn admits(self, kind: CustomerKind) -> bool {
        match self {
            Self::Any => true,
            Self::Only(admitted) => admitted == kind,
        }
    }
}

/// What `onlyPrimaryOwner` must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum OwnershipRule {
    /// `true`, `false` or absent.
    #[serde(rename = "either")]
    Either,
    #[serde(rename = "true only")]
    TrueOnly,
}

impl OwnershipRule {
    fn admits(self, only_primary_owner: Option<bool>) -> bool {
        self == Self::Either || only_primary_owner == Some(true)
    }
}

/// What becomes of banks that cannot tell the ownership, when only primary owners are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum UnknownOwnership {
    #[default]
    #[serde(rename = "leave out")]
    LeaveOut,
    #[serde(rename = "list")]
    List,
}

/// The legal bases of a service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mandates {
    /// `*`: any, and none. For an operator's test consumers.
    Any,
    /// Never empty.
    Listed(Vec<Mandate>),
}

impl Mandates {
    fn admit(&self, mandate: Option<&SentMandate<'_>>) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => mandate.is_some_and(|mandate| listed.iter().any(|one| mandate.is(one))),
        }
    }
}

/// One DSOP service: what its consumers may ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    pub name: String,
    /// Never empty.
    pub consumers: Vec<OrganizationNumber>,
    /// If named, it must call for the consumer.
    pub supplier: Option<OrganizationNumber>,
    /// If named, it stands in for the general scope.
    pub scope: Option<Scope>,
    /// Never empty.
    pub endpoints: Vec<LookupEndpoint>,
    pub mandates: Mandates,
    /// This and the next two bind `customerRelationships` only: a question about an account has none of them.
    pub customer: CustomerRule,
    pub period: PeriodRule,
    pub only_primary_owner: OwnershipRule,
    pub unknown_ownership: UnknownOwnership,
    pub enabled: bool,
}

impl Service {
    /// Admits any mandate or any period, as no agency's service does.
    pub fn is_wide(&self) -> bool {
        self.mandates == Mandates::Any || self.period == PeriodRule::Any
    }
}

/// All services, in the order of their file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Terms {
    services: Vec<Service>,
}

impl Terms {
    /// All services, the switched-off ones too.
    pub fn all(&self) -> &[Service] {
        &self.services
    }

    /// The enabled services.
    pub fn enabled(&self) -> impl Iterator<Item = &Service> {
        self.services.iter().filter(|service| service.enabled)
    }

    /// The enabled services of a consumer.
    pub fn of(&self, consumer: OrganizationNumber) -> impl Iterator<Item = &Service> {
        self.enabled()
            .filter(move |service| service.consumers.contains(&consumer))
    }

    /// The enabled services of the caller's consumer whose own scope the caller has.
    pub fn opened_by_own_scope<'t>(&'t self, caller: &'t Caller) -> impl Iterator<Item = &'t Service> {
        self.of(caller.consumer).filter(|service| {
            let own = service.scope.as_ref();
            own.is_some_and(|own| caller.scopes.has_any(std::slice::from_ref(own)))
        })
    }
}
