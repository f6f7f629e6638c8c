//! What a bank delivers: relationship records and their identity within the bank's set.

use super::calendar::Period;
use super::identifiers::{AccountNumber, CustomerId, OrganizationNumber};
use chrono::NaiveDate;
use std::fmt;

/// A register a participant delivers to; the set of a bank in each is kept and replaced separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Register {
    /// Account level: banks in the clearing system NICS.
    #[serde(rename = "KAR")]
    Kar,
    /// Customer level: the rest.
    #[serde(rename = "KFR")]
    Kfr,
}

impl Register {
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kar => "KAR",
            Self::Kfr => "KFR",
        }
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The set of records of one bank in one register.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId {
    pub bank: OrganizationNumber,
    pub register: Register,
}

impl fmt::Display for SetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.bank, self.register)
    }
}

/// A customer's role on an agreement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Primary owner.
    Owner,
    SecondaryOwner,
    /// Disponent or any other role.
    Other,
    /// The bank holds no role history for this interval.
    Unknown,
}

/// What the rules need of one record: the role and the days, without who or which account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Relationship {
    pub role: Role,
    /// The agreement can be credited through NICS.
    pub creditable: bool,
    /// "Account or equivalent that can be used for payment transactions or hold available funds."
    pub holds_funds: bool,
    interval: Interval,
}

/// First and last day, both inclusive; without a last day it is still running.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Interval {
    from: NaiveDate,
    to: Option<NaiveDate>,
}

impl Interval {
    /// `None` when `to` lies before `from`.
    pub fn new(from: NaiveDate, to: Option<NaiveDate>) -> Option<Self> {
        to.is_none_or(|to| from <= to).then_some(Self { from, to })
    }

    pub fn from(&self) -> NaiveDate {
        self.from
    }

    pub fn to(&self) -> Option<NaiveDate> {
        self.to
    }

    pub fn runs_on(&self, day: NaiveDate) -> bool {
        self.from <= day && self.to.is_none_or(|to| day <= to)
    }

    /// Whether it shares a day with the period. Of days after `today` nothing is assumed:
    /// what begins after today never overlaps.
    pub fn overlaps(&self, period: &Period, today: NaiveDate) -> bool {
        self.from <= period.to().min(today) && self.to.is_none_or(|to| period.from() <= to)
    }

    /// Whether its last day lies before `day`.
    pub fn ended_before(&self, day: NaiveDate) -> bool {
        self.to.is_some_and(|to| to < day)
    }
}

impl Relationship {
    pub fn new(role: Role, creditable: bool, holds_funds: bool, interval: Interval) -> Self {
        Self {
            role,
            creditable,
            holds_funds,
            interval,
        }
    }

    pub fn interval(&self) -> Interval {
        self.interval
    }

    /// The same relationship over other days.
    pub fn over(self, interval: Interval) -> Self {
        Self { interval, ..self }
    }
}

/// The bank's own reference of an agreement: 1–64 printable ASCII characters. Masked in `Debug`,
/// since nothing keeps a bank from using an account number.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct AgreementId(Box<str>);

impl AgreementId {
    pub const MAX_LENGTH: usize = 64;

    /// `None` unless 1–64 printable ASCII characters.
    pub fn parse(text: &str) -> Option<Self> {
        let fits =
            (1..=Self::MAX_LENGTH).contains(&text.len()) && text.bytes().all(|b| (0x20..0x7f).contains(&b));
        fits.then(|| Self(text.into()))
    }

    /// What the keyed pseudonyms are made of.
    pub fn to_secret_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for AgreementId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AgreementId(masked)")
    }
}

/// What a record is about: at most one of account and agreement; neither is a relationship at customer level.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Agreement {
    Account(AccountNumber),
    Reference(AgreementId),
    CustomerLevel,
}

/// One customer's role on one agreement at one bank over one interval of days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RelationshipRecord {
    pub customer: CustomerId,
    pub agreement: Agreement,
    pub relationship: Relationship,
}

/// The defaults of a record's flags (specification: `creditable`, `holdsFunds`).
impl RelationshipRecord {
    /// True with an account in KAR, else false.
    pub fn creditable_by_default(register: Register, agreement: &Agreement) -> bool {
        register == Register::Kar && matches!(agreement, Agreement::Account(_))
    }

    /// True for the two owner roles, else false.
    pub fn holds_funds_by_default(role: Role) -> bool {
        matches!(role, Role::Owner | Role::SecondaryOwner)
    }
}
