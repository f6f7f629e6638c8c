//! One line of a delivery: a relationship record as banks write it, parsed once into a valid one, or all that is
//! wrong with it. What is wrong never repeats the line.

mod faults;
#[cfg(test)]
mod tests;

use crate::domain::calendar::parse_day;
use crate::domain::delivery::LineFault;
use crate::domain::identifiers::{AccountNumber, CustomerId, IdentifierRules};
use crate::domain::relationship::{
    Agreement, AgreementId, Interval, Register, Relationship, RelationshipRecord, Role,
};
use crate::register::delivery::{Identity, Line};
use chrono::NaiveDate;
use faults::{CHANGES, Faults, Fields, RECORD, fault, parse_json};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use utoipa::ToSchema;

/// A text within a line; it is copied only where the line escapes a character.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

// That a mandatory field is missing is told with all else that is wrong, so it is optional to the parser.
/// A relationship record, one a line.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordLine<'a> {
    /// Fødselsnummer, D-number or organisation number.
    #[serde(rename = "customerID")]
    #[schema(value_type = String, example = "13897210066")]
    #[serde(borrow)]
    customer_id: Option<Text<'a>>,
    /// Account number with a valid check digit, when the agreement is an account.
    #[serde(rename = "accountID")]
    #[schema(value_type = Option<String>)]
    account_id: Option<Text<'a>>,
    /// The bank's own reference, 1–64 printable ASCII characters, when it is not. At most one of the two.
    #[serde(rename = "agreementID")]
    #[schema(value_type = Option<String>)]
    agreement_id: Option<Text<'a>>,
    #[schema(value_type = RoleName)]
    role: Option<Text<'a>>,
    /// Can be credited through NICS. Default: true with `accountID` in KAR, else false. True in KFR is refused.
    creditable: Option<bool>,
    /// Can pay or hold available funds. Default: true for the two owner roles.
    holds_funds: Option<bool>,
    /// First day, inclusive.
    #[schema(value_type = String, format = Date)]
    from_date: Option<Text<'a>>,
    /// Last day, inclusive; absent: still running.
    #[schema(value_type = Option<String>, format = Date)]
    to_date: Option<Text<'a>>,
}

/// The customer's role on the agreement.
#[derive(Clone, Copy, ToSchema)]
#[schema(rename_all = "camelCase")]
enum RoleName {
    Owner,
    SecondaryOwner,
    Other,
    Unknown,
}

impl RoleName {
    fn parse(text: &str) -> Option<Self> {
        match text {
            "owner" => Some(Self::Owner),
            "secondaryOwner" => Some(Self::SecondaryOwner),
            "other" => Some(Self::Other),
            "unknown" => Some(Self::Unknown),
            _ => None,
        }
    }

    fn role(self) -> Role {
        match self {
            Self::Owner => Role::Owner,
            Self::SecondaryOwner => Role::SecondaryOwner,
            Self::Other => Role::Other,
            Self::Unknown => Role::Unknown,
        }
    }
}

/// One change, one a line.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
pub enum ChangeLine<'a> {
    /// The record stands, in place of one of the same identity.
    Put(RecordLine<'a>),
    /// The record of this identity ends.
    End(EndLine<'a>),
    /// The record of this identity goes.
    Remove(IdentityLine<'a>),
}

/// The changes that a line holds: one, if it is right.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Changes<'a> {
    #[serde(borrow, default, deserialize_with = "object")]
    put: Option<RecordLine<'a>>,
    #[serde(borrow, default, deserialize_with = "object")]
    end: Option<EndLine<'a>>,
    #[serde(borrow, default, deserialize_with = "object")]
    remove: Option<IdentityLine<'a>>,
}

impl<'a> Changes<'a> {
    fn only(self) -> Result<ChangeLine<'a>, Vec<LineFault>> {
        match (self.put, self.end, self.remove) {
            (Some(record), None, None) => Ok(ChangeLine::Put(record)),
            (None, Some(end), None) => Ok(ChangeLine::End(end)),
            (None, None, Some(identity)) => Ok(ChangeLine::Remove(identity)),
            (None, None, None) => Err(vec![fault("line", "must hold put, end or remove")]),
            _ => Err(vec![fault(
                "line",
                "holds more than one of put, end and remove; each change is a line of its own",
            )]),
        }
    }
}

/// A JSON object and nothing else; what is derived would take its fields as a bare list too.
fn object<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    struct Object<T>(PhantomData<T>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map))
        }
    }
    deserializer.deserialize_map(Object(PhantomData)).map(Some)
}

/// Which record ends, and when.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndLine<'a> {
    #[serde(rename = "customerID")]
    #[schema(value_type = String, example = "13897210066")]
    #[serde(borrow)]
    customer_id: Option<Text<'a>>,
    #[serde(rename = "accountID")]
    #[schema(value_type = Option<String>)]
    account_id: Option<Text<'a>>,
    #[serde(rename = "agreementID")]
    #[schema(value_type = Option<String>)]
    agreement_id: Option<Text<'a>>,
    #[schema(value_type = String, format = Date)]
    from_date: Option<Text<'a>>,
    /// Last day, inclusive.
    #[schema(value_type = String, format = Date)]
    to_date: Option<Text<'a>>,
}

/// Which record is meant: its customer, its account or agreement or neither, and its first day.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityLine<'a> {
    #[serde(rename = "customerID")]
    #[schema(value_type = String, example = "13897210066")]
    #[serde(borrow)]
    customer_id: Option<Text<'a>>,
    #[serde(rename = "accountID")]
    #[schema(value_type = Option<String>)]
    account_id: Option<Text<'a>>,
    #[serde(rename = "agreementID")]
    #[schema(value_type = Option<String>)]
    agreement_id: Option<Text<'a>>,
    #[schema(value_type = String, format = Date)]
    from_date: Option<Text<'a>>,
}

/// Parses a line of a whole set.
///
/// # Errors
/// All that is wrong with it.
pub fn parse_record(
    line: &[u8],
    register: Register,
    rules: &IdentifierRules,
) -> Result<Line, Vec<LineFault>> {
    let read = |record: RecordLine| record.into_record(register, rules).map(Line::Put);
    match parse_json(line, RECORD) {
        Ok(record) => read(record),
        Err(malformed) => Err(malformed.and(|rest| read_rest(rest, RECORD, read))),
    }
}

/// Parses a line of changes.
///
/// # Errors
/// All that is wrong with it.
pub fn parse_change(
    line: &[u8],
    register: Register,
    rules: &IdentifierRules,
) -> Result<Line, Vec<LineFault>> {
    let read = |changes: Changes| match changes.only()? {
        ChangeLine::Put(line) => line.into_record(register, rules).map(Line::Put),
        ChangeLine::End(line) => line.into_end(rules),
        ChangeLine::Remove(line) => line.into_identity(rules).map(Line::Remove),
    };
    match parse_json(line, CHANGES) {
        Ok(changes) => read(changes),
        Err(malformed) => Err(malformed.and(|rest| read_rest(rest, CHANGES, read))),
    }
}

/// What is left of a line, whose form is right.
fn read_rest<'r, T: Deserialize<'r>>(
    rest: &'r str,
    fields: Fields,
    read: impl FnOnce(T) -> Result<Line, Vec<LineFault>>,
) -> Result<Line, Vec<LineFault>> {
    match parse_json(rest.as_bytes(), fields) {
        Ok(line) => read(line),
        Err(malformed) => Err(malformed.and(|_| Ok(()))),
    }
}

impl RecordLine<'_> {
    fn into_record(
        self,
        register: Register,
        rules: &IdentifierRules,
    ) -> Result<RelationshipRecord, Vec<LineFault>> {
        let mut faults = Faults::default();
        let customer = read_customer(self.customer_id, rules, &mut faults);
        let agreement = read_agreement(self.account_id, self.agreement_id, rules, &mut faults);
        let role = read_role(self.role, &mut faults);
        if register == Register::Kfr && self.creditable == Some(true) {
            faults.note("creditable", "cannot be true in KFR");
        }
        let from = read_day("fromDate", self.from_date, &mut faults);
        let interval = read_interval(from, self.to_date, &mut faults);
        let read = customer.zip(agreement).zip(role.zip(interval));
        faults.unless_any(read.map(|((customer, agreement), (role, interval))| {
            let creditable = self
                .creditable
                .unwrap_or_else(|| RelationshipRecord::creditable_by_default(register, &agreement));
            let holds_funds = self
                .holds_funds
                .unwrap_or_else(|| RelationshipRecord::holds_funds_by_default(role));
            RelationshipRecord {
                customer,
                agreement,
                relationship: Relationship::new(role, creditable, holds_funds, interval),
            }
        }))
    }
}

impl EndLine<'_> {
    fn into_end(self, rules: &IdentifierRules) -> Result<Line, Vec<LineFault>> {
        let mut faults = Faults::default();
        let customer = read_customer(self.customer_id, rules, &mut faults);
        let agreement = read_agreement(self.account_id, self.agreement_id, rules, &mut faults);
        let from = read_day("fromDate", self.from_date, &mut faults);
        if self.to_date.is_none() {
            faults.missing("toDate");
        }
        let interval = read_interval(from, self.to_date, &mut faults);
        let days = interval.and_then(|interval| Some((interval.from(), interval.to()?)));
        let read = customer.zip(agreement).zip(days);
        faults.unless_any(read.map(|((customer, agreement), (from, to))| Line::End {
            identity: Identity {
                customer,
                agreement,
                from,
            },
            to,
        }))
    }
}

impl IdentityLine<'_> {
    fn into_identity(self, rules: &IdentifierRules) -> Result<Identity, Vec<LineFault>> {
        let mut faults = Faults::default();
        let customer = read_customer(self.customer_id, rules, &mut faults);
        let agreement = read_agreement(self.account_id, self.agreement_id, rules, &mut faults);
        let from = read_day("fromDate", self.from_date, &mut faults);
        let read = customer.zip(agreement).zip(from);
        faults.unless_any(read.map(|((customer, agreement), from)| Identity {
            customer,
            agreement,
            from,
        }))
    }
}

fn read_customer(text: Option<Text>, rules: &IdentifierRules, faults: &mut Faults) -> Option<CustomerId> {
    let text = faults.present("customerID", text)?;
    faults.good("customerID", CustomerId::parse(&text, rules))
}

fn read_agreement(
    account: Option<Text>,
    reference: Option<Text>,
    rules: &IdentifierRules,
    faults: &mut Faults,
) -> Option<Agreement> {
    if account.is_some() && reference.is_some() {
        faults.note("agreementID", "cannot stand beside accountID");
    }
    match (account, reference) {
        (None, None) => Some(Agreement::CustomerLevel),
        (Some(account), _) => {
            let account = AccountNumber::parse_delivered(&account, rules);
            faults.good("accountID", account).map(Agreement::Account)
        }
        (None, Some(reference)) => {
            let reference =
                AgreementId::parse(&reference).ok_or("must be 1 to 64 printable ASCII characters");
            faults.good("agreementID", reference).map(Agreement::Reference)
        }
    }
}

fn read_role(text: Option<Text>, faults: &mut Faults) -> Option<Role> {
    let name = RoleName::parse(&faults.present("role", text)?);
    let name = name.ok_or("must be owner, secondaryOwner, other or unknown");
    faults.good("role", name).map(RoleName::role)
}

fn read_day(parameter: &'static str, text: Option<Text>, faults: &mut Faults) -> Option<NaiveDate> {
    let day = parse_day(&faults.present(parameter, text)?);
    faults.good(parameter, day.ok_or("must be a day, YYYY-MM-DD"))
}

/// From a first day that may have been no day, to a last day if there is one.
fn read_interval(from: Option<NaiveDate>, to: Option<Text>, faults: &mut Faults) -> Option<Interval> {
    let to = match to {
        None => None,
        Some(text) => Some(read_day("toDate", Some(text), faults)?),
    };
    let interval = Interval::new(from?, to).ok_or("must not lie before fromDate");
    faults.good("toDate", interval)
}
