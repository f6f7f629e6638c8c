//! The terms as a file: `dsop-services.toml`.

use super::{
    CustomerRule, LookupEndpoint, Mandate, Mandates, OwnershipRule, PeriodRule, Service, Terms,
    UnknownOwnership,
};
use crate::access::caller::{InvalidScope, Scope};
use crate::domain::identifiers::{CustomerKind, InvalidIdentifier, OrganizationNumber};
use serde::de::{Error as _, IntoDeserializer, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use std::collections::HashSet;
use std::fmt;
use std::marker::PhantomData;
use std::num::NonZeroU8;
use std::path::Path;
use toml::Spanned;

/// Longest name of a service, in characters.
const MAX_NAME_CHARACTERS: usize = 64;
/// In the place of a mandate: any.
const ANY_MANDATE: &str = "*";

/// Why terms are refused; those in force stay.
#[derive(Debug, thiserror::Error)]
pub enum TermsFileError {
    #[error("{path} cannot be read: {cause}")]
    Unreadable { path: String, cause: std::io::Error },
    #[error("the service terms are not valid: {0}")]
    Syntax(#[from] toml::de::Error),
    #[error("the service terms are not valid: line {line}: {reason}")]
    Service { line: usize, reason: &'static str },
    #[error("the service terms name no service at all")]
    Empty,
}

impl Terms {
    /// Reads a file; without one, the terms that ship with the program.
    ///
    /// # Errors
    /// When the file cannot be read or is not valid.
    pub fn read(path: Option<&Path>) -> Result<Self, TermsFileError> {
        let Some(path) = path else {
            return Self::parse(super::DEFAULT);
        };
        let unreadable = |cause| TermsFileError::Unreadable {
            path: path.display().to_string(),
            cause,
        };
        Self::parse(&crate::text::read_file(path).map_err(unreadable)?)
    }

    /// Reads a file's text.
    ///
    /// # Errors
    /// With the line of the first thing that is wrong.
    pub fn parse(text: &str) -> Result<Self, TermsFileError> {
        let file: TermsFile = toml::from_str(text)?;
        let mut names = HashSet::new();
        let mut services = Vec::with_capacity(file.service.len());
        for entry in file.service {
            let line = 1 + text
                .bytes()
                .take(entry.span().start)
                .filter(|b| *b == b'\n')
                .count();
            let refused = |reason| TermsFileError::Service { line, reason };
            let service = Service::try_from(entry.into_inner()).map_err(refused)?;
            if !names.insert(service.name.clone()) {
                return Err(refused("another service has the same name"));
            }
            services.push(service);
        }
        // Most likely a file in the middle of being written.
        if services.is_empty() {
            return Err(TermsFileError::Empty);
        }
        Ok(Self { services })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TermsFile {
    #[serde(default)]
    service: Vec<Spanned<ServiceEntry>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ServiceEntry {
    name: Name,
    consumer: OneOrMany<Organization>,
    supplier: Option<Organization>,
    scope: Option<OwnScope>,
    endpoints: OneOrMany<LookupEndpoint>,
    mandate: OneOrMany<MandateEntry>,
    customer: CustomerEntry,
    period: PeriodEntry,
    only_primary_owner: OwnershipRule,
    #[serde(default)]
    unknown_ownership: UnknownOwnership,
    #[serde(default = "enabled")]
    enabled: bool,
}

fn enabled() -> bool {
    true
}

impl TryFrom<ServiceEntry> for Service {
    type Error = &'static str;

    fn try_from(entry: ServiceEntry) -> Result<Self, Self::Error> {
        let listed: Option<Vec<Mandate>> = entry.mandate.0.iter().map(|one| one.0.clone()).collect();
        let mandates = match (listed, entry.mandate.0.len()) {
            (Some(listed), _) => Mandates::Listed(listed),
            (None, 1) => Mandates::Any,
            (None, _) => return Err("the mandate \"*\" stands alone"),
        };
        Ok(Self {
            name: entry.name.0,
            consumers: entry.consumer.0.into_iter().map(|one| one.0).collect(),
            supplier: entry.supplier.map(|one| one.0),
            scope: entry.scope.map(|one| one.0),
            endpoints: entry.endpoints.0,
            mandates,
            customer: entry.customer.into(),
            period: entry.period.into(),
            only_primary_owner: entry.only_primary_owner,
            unknown_ownership: entry.unknown_ownership,
            enabled: entry.enabled,
        })
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let length = text.chars().count();
        let blank = text.trim() != text || text.contains(char::is_control);
        match (1..=MAX_NAME_CHARACTERS).contains(&length) && !blank {
            true => Ok(Self(text)),
            false => Err(format!(
                "a service's name has 1 to {MAX_NAME_CHARACTERS} characters and no blanks around it"
            )),
        }
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Organization(OrganizationNumber);

impl TryFrom<String> for Organization {
    type Error = InvalidIdentifier;

    fn try_from(text: String) -> Result<Self, InvalidIdentifier> {
        OrganizationNumber::parse(&text).map(Self)
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct OwnScope(Scope);

impl TryFrom<String> for OwnScope {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<Self, InvalidScope> {
        Scope::parse(&text).map(Self)
    }
}

/// `None` is any.
#[derive(Deserialize)]
#[serde(try_from = "String")]
struct MandateEntry(Option<Mandate>);

impl TryFrom<String> for MandateEntry {
    type Error = super::mandate::EmptyMandate;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        match text.as_str() {
            ANY_MANDATE => Ok(Self(None)),
            text => Mandate::parse(text).map(|mandate| Self(Some(mandate))),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum CustomerEntry {
    Any,
    Person,
    Organization,
}

impl From<CustomerEntry> for CustomerRule {
    fn from(entry: CustomerEntry) -> Self {
        match entry {
            CustomerEntry::Any => Self::Any,
            CustomerEntry::Person => Self::Only(CustomerKind::Person),
            CustomerEntry::Organization => Self::Only(CustomerKind::Organization),
        }
    }
}

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "a period is \"any\", \"previous calendar year\", \"today only\", { from_years_back = 1 to 255 } \
                 or { from_years_back = 1 to 255, to = \"today\" }"
)]
enum PeriodEntry {
    Named(NamedPeriod),
    Back(YearsBack),
}

#[derive(Deserialize)]
enum NamedPeriod {
    #[serde(rename = "any")]
    Any,
    #[serde(rename = "previous calendar year")]
    PreviousCalendarYear,
    #[serde(rename = "today only")]
    TodayOnly,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct YearsBack {
    from_years_back: NonZeroU8,
    to: Option<ToEntry>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum ToEntry {
    Today,
}

impl From<PeriodEntry> for PeriodRule {
    fn from(entry: PeriodEntry) -> Self {
        match entry {
            PeriodEntry::Named(NamedPeriod::Any) => Self::Any,
            PeriodEntry::Named(NamedPeriod::PreviousCalendarYear) => Self::PreviousCalendarYear,
            PeriodEntry::Named(NamedPeriod::TodayOnly) => Self::TodayOnly,
            PeriodEntry::Back(back) => match back.to {
                None => Self::YearsBack(back.from_years_back),
                Some(ToEntry::Today) => Self::YearsBackToToday(back.from_years_back),
            },
        }
    }
}

/// One value, or a list of them that is not empty.
struct OneOrMany<T>(Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::deserialize(text.into_deserializer()).map(|one| OneOrMany(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut many = Vec::new();
        while let Some(one) = list.next_element()? {
            many.push(one);
        }
        match many.is_empty() {
            true => Err(A::Error::custom("the list must not be empty")),
            false => Ok(OneOrMany(many)),
        }
    }
}
