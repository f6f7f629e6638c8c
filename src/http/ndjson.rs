//! One line of a delivery: a relationship record as banks write it, parsed once into a valid one.

use crate::domain::calendar::parse_day;
use crate::domain::identifiers::{AccountNumber, CustomerId, IdentifierRules};
use crate::domain::relationship::{
    Agreement, AgreementId, Interval, Register, Relationship, RelationshipRecord, Role,
};
use crate::journal::{Reject, RejectCode};
use crate::register::delivery::{Identity, Line};
use chrono::NaiveDate;
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

/// A relationship record, one a line.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordLine<'a> {
    /// Fødselsnummer, D-number or organisation number.
    #[serde(rename = "customerID")]
    #[schema(value_type = String, example = "13897210066")]
    #[serde(borrow)]
    customer_id: Text<'a>,
    /// Account number with a valid check digit, when the agreement is an account.
    #[serde(rename = "accountID")]
    #[schema(value_type = Option<String>)]
    account_id: Option<Text<'a>>,
    /// The bank's own reference, 1–64 printable ASCII characters, when it is not. At most one of the two.
    #[serde(rename = "agreementID")]
    #[schema(value_type = Option<String>)]
    agreement_id: Option<Text<'a>>,
    role: RoleName,
    /// Can be credited through NICS. Default: true with `accountID` in KAR, else false. True in KFR is refused.
    creditable: Option<bool>,
    /// Can pay or hold available funds. Default: true for the two owner roles.
    holds_funds: Option<bool>,
    /// First day, inclusive.
    #[schema(value_type = String, format = Date)]
    from_date: Text<'a>,
    /// Last day, inclusive; absent: still running.
    #[schema(value_type = Option<String>, format = Date)]
    to_date: Option<Text<'a>>,
}

/// The customer's role on the agreement.
#[derive(Clone, Copy, ToSchema)]
#[serde(rename_all = "camelCase")]
enum RoleName {
    Owner,
    SecondaryOwner,
    Other,
    Unknown,
}

/// A role is a text and nothing else; what is derived would take an object too.
impl<'de> Deserialize<'de> for RoleName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const NAMES: [&str; 4] = ["owner", "secondaryOwner", "other", "unknown"];
        match &*Text::deserialize(deserializer)? {
            "owner" => Ok(Self::Owner),
            "secondaryOwner" => Ok(Self::SecondaryOwner),
            "other" => Ok(Self::Other),
            "unknown" => Ok(Self::Unknown),
            _ => Err(serde::de::Error::unknown_variant("", &NAMES)),
        }
    }
}

type Fault = (&'static str, String);

/// One change, one a line.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub enum ChangeLine<'a> {
    /// The record stands, in place of one of the same identity.
    #[serde(borrow, deserialize_with = "object")]
    Put(RecordLine<'a>),
    /// The record of this identity ends.
    #[serde(borrow, deserialize_with = "object")]
    End(EndLine<'a>),
    /// The record of this identity goes.
    #[serde(borrow, deserialize_with = "object")]
    Remove(IdentityLine<'a>),
}

/// A JSON object and nothing else; what is derived would take its fields as a bare list too.
fn object<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
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
    deserializer.deserialize_map(Object(PhantomData))
}

/// Which record ends, and when.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EndLine<'a> {
    #[serde(rename = "customerID")]
    #[schema(value_type = String, example = "13897210066")]
    #[serde(borrow)]
    customer_id: Text<'a>,
    #[serde(rename = "accountID")]
    #[schema(value_type = Option<String>)]
    account_id: Option<Text<'a>>,
    #[serde(rename = "agreementID")]
    #[schema(value_type = Option<String>)]
    agreement_id: Option<Text<'a>>,
    #[schema(value_type = String, format = Date)]
    from_date: Text<'a>,
    /// Last day, inclusive.
    #[schema(value_type = String, format = Date)]
    to_date: Text<'a>,
}

/// Which record is meant: its customer, its account or agreement or neither, and its first day.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct IdentityLine<'a> {
    #[serde(rename = "customerID")]
    #[schema(value_type = String, example = "13897210066")]
    #[serde(borrow)]
    customer_id: Text<'a>,
    #[serde(rename = "accountID")]
    #[schema(value_type = Option<String>)]
    account_id: Option<Text<'a>>,
    #[serde(rename = "agreementID")]
    #[schema(value_type = Option<String>)]
    agreement_id: Option<Text<'a>>,
    #[schema(value_type = String, format = Date)]
    from_date: Text<'a>,
}

/// Parses a line of a whole set. The reason of a refusal never repeats the line.
pub fn parse_record(
    number: u64,
    line: &[u8],
    register: Register,
    rules: &IdentifierRules,
) -> Result<Line, Vec<Reject>> {
    let record = parse_json::<RecordLine>(line).and_then(|line| line.into_record(register, rules));
    record.map(Line::Put).map_err(|fault| vec![reject(number, fault)])
}

/// Parses a line of changes. The reason of a refusal never repeats the line.
pub fn parse_change(
    number: u64,
    line: &[u8],
    register: Register,
    rules: &IdentifierRules,
) -> Result<Line, Vec<Reject>> {
    let change = parse_json::<ChangeLine>(line).and_then(|change| match change {
        ChangeLine::Put(line) => Ok(Line::Put(line.into_record(register, rules)?)),
        ChangeLine::End(line) => line.into_end(rules),
        ChangeLine::Remove(line) => Ok(Line::Remove(line.into_identity(rules)?)),
    });
    change.map_err(|fault| vec![reject(number, fault)])
}

fn parse_json<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Fault> {
    // serde would take the fields as a bare list too.
    match line.trim_ascii_start().starts_with(b"{") {
        true => serde_json::from_slice(line).map_err(|cause| ("line", describe(&cause))),
        false => Err(("line", "is not a JSON object".to_owned())),
    }
}

fn reject(line: u64, (parameter, reason): Fault) -> Reject {
    let code = match parameter {
        "customerID" => RejectCode::InvalidCustomer,
        "fromDate" | "toDate" => RejectCode::InvalidDate,
        _ => RejectCode::InvalidRecord,
    };
    Reject {
        line,
        code,
        parameter: parameter.to_owned(),
        reason,
    }
}

/// What is wrong with the JSON, without quoting any of it: serde's own message would.
fn describe(cause: &serde_json::Error) -> String {
    let what = match cause.classify() {
        serde_json::error::Category::Data => {
            let text = cause.to_string();
            let kinds = [
                ("missing field", "lacks a mandatory field"),
                ("unknown field", "has a field that is not known"),
                ("duplicate field", "has a field twice"),
                (
                    "unknown variant",
                    "has a role or a kind of change that is not known",
                ),
            ];
            kinds
                .iter()
                .find(|(kind, _)| text.starts_with(kind))
                .map_or("has a field of a wrong type", |(_, say)| say)
        }
        _ => "is not a JSON object",
    };
    format!("{what} (column {})", cause.column())
}

impl RecordLine<'_> {
    fn into_record(self, register: Register, rules: &IdentifierRules) -> Result<RelationshipRecord, Fault> {
        let customer = parse_customer(&self.customer_id, rules)?;
        let agreement = parse_agreement(self.account_id.as_deref(), self.agreement_id.as_deref(), rules)?;
        let role = match self.role {
            RoleName::Owner => Role::Owner,
            RoleName::SecondaryOwner => Role::SecondaryOwner,
            RoleName::Other => Role::Other,
            RoleName::Unknown => Role::Unknown,
        };
        if register == Register::Kfr && self.creditable == Some(true) {
            return Err(("creditable", "cannot be true in KFR".to_owned()));
        }
        let creditable = self
            .creditable
            .unwrap_or_else(|| RelationshipRecord::creditable_by_default(register, &agreement));
        let holds_funds = self
            .holds_funds
            .unwrap_or_else(|| RelationshipRecord::holds_funds_by_default(role));
        let interval = parse_interval(&self.from_date, self.to_date.as_deref())?;
        let relationship = Relationship::new(role, creditable, holds_funds, interval);
        Ok(RelationshipRecord {
            customer,
            agreement,
            relationship,
        })
    }
}

impl EndLine<'_> {
    fn into_end(self, rules: &IdentifierRules) -> Result<Line, Fault> {
        let interval = parse_interval(&self.from_date, Some(&self.to_date))?;
        let identity = Identity {
            customer: parse_customer(&self.customer_id, rules)?,
            agreement: parse_agreement(self.account_id.as_deref(), self.agreement_id.as_deref(), rules)?,
            from: interval.from(),
        };
        let to = parse_day_of("toDate", &self.to_date)?;
        Ok(Line::End { identity, to })
    }
}

impl IdentityLine<'_> {
    fn into_identity(self, rules: &IdentifierRules) -> Result<Identity, Fault> {
        Ok(Identity {
            customer: parse_customer(&self.customer_id, rules)?,
            agreement: parse_agreement(self.account_id.as_deref(), self.agreement_id.as_deref(), rules)?,
            from: parse_day_of("fromDate", &self.from_date)?,
        })
    }
}

fn parse_customer(text: &str, rules: &IdentifierRules) -> Result<CustomerId, Fault> {
    CustomerId::parse(text, rules).map_err(|cause| ("customerID", cause.to_string()))
}

fn parse_agreement(
    account: Option<&str>,
    reference: Option<&str>,
    rules: &IdentifierRules,
) -> Result<Agreement, Fault> {
    match (account, reference) {
        (None, None) => Ok(Agreement::CustomerLevel),
        (Some(account), None) => AccountNumber::parse_delivered(account, rules)
            .map(Agreement::Account)
            .map_err(|cause| ("accountID", cause.to_string())),
        (None, Some(reference)) => AgreementId::parse(reference).map(Agreement::Reference).ok_or((
            "agreementID",
            "must be 1 to 64 printable ASCII characters".to_owned(),
        )),
        (Some(_), Some(_)) => Err(("agreementID", "cannot stand beside accountID".to_owned())),
    }
}

fn parse_day_of(parameter: &'static str, text: &str) -> Result<NaiveDate, Fault> {
    parse_day(text).ok_or((parameter, "must be a day, YYYY-MM-DD".to_owned()))
}

fn parse_interval(from: &str, to: Option<&str>) -> Result<Interval, Fault> {
    let from = parse_day_of("fromDate", from)?;
    let to = to.map(|text| parse_day_of("toDate", text)).transpose()?;
    Interval::new(from, to).ok_or(("toDate", "must not lie before fromDate".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str, register: Register) -> Result<RelationshipRecord, Reject> {
        match parse_record(7, line.as_bytes(), register, &IdentifierRules::SYNTHETIC) {
            Ok(Line::Put(record)) => Ok(record),
            Ok(line) => panic!("{line:?}"),
            Err(mut rejects) => Err(rejects.remove(0)),
        }
    }

    #[test]
    fn flags_default_by_register_role_and_agreement() {
        for (extra, register, creditable, holds_funds) in [
            (
                r#""role":"owner","accountID":"86011117947""#,
                Register::Kar,
                true,
                true,
            ),
            (
                r#""role":"owner","accountID":"86011117947""#,
                Register::Kfr,
                false,
                true,
            ),
            (
                r#""role":"secondaryOwner","agreementID":"A-1""#,
                Register::Kar,
                false,
                true,
            ),
            (r#""role":"other""#, Register::Kar, false, false),
            (
                r#""role":"unknown","holdsFunds":true"#,
                Register::Kfr,
                false,
                true,
            ),
            (
                r#""role":"owner","creditable":true,"holdsFunds":false"#,
                Register::Kar,
                true,
                false,
            ),
        ] {
            let line = format!(r#"{{"customerID":"17912099997","fromDate":"2020-01-01",{extra}}}"#);
            let relationship = parse(&line, register).unwrap().relationship;
            assert_eq!(
                (relationship.creditable, relationship.holds_funds),
                (creditable, holds_funds),
                "{extra}"
            );
        }
    }

    #[test]
    fn a_bad_line_is_refused_without_repeating_it() {
        let base = r#""role":"owner","fromDate":"2020-01-01""#;
        for (line, parameter) in [
            (format!(r#"{{"customerID":"17912099998",{base}}}"#), "customerID"),
            (
                format!(r#"{{"customerID":"17912099997","accountID":"86011117949",{base}}}"#),
                "accountID",
            ),
            (
                format!(r#"{{"customerID":"17912099997","agreementID":"",{base}}}"#),
                "agreementID",
            ),
            (
                format!(
                    r#"{{"customerID":"17912099997","agreementID":"a","accountID":"86011117947",{base}}}"#
                ),
                "agreementID",
            ),
            (
                format!(r#"{{"customerID":"17912099997","creditable":true,{base}}}"#),
                "creditable",
            ),
            (
                format!(r#"{{"customerID":"17912099997","toDate":"2019-12-31",{base}}}"#),
                "toDate",
            ),
            (
                format!(r#"{{"customerID":"17912099997","17912099997":1,{base}}}"#),
                "line",
            ),
            (
                r#"{"customerID":"17912099997","role":"17912099997","fromDate":"2020-01-01"}"#.to_owned(),
                "line",
            ),
            (format!(r#"{{"customerID":17912099997,{base}}}"#), "line"),
            (format!(r#"{{"customerID":"17912099997",{base},{base}}}"#), "line"),
            (
                r#"["17912099997",null,null,"owner",null,null,"2020-01-01",null]"#.to_owned(),
                "line",
            ),
            (
                r#"{"customerID":"17912099997","role":{"owner":null},"fromDate":"2020-01-01"}"#.to_owned(),
                "line",
            ),
            ("17912099997".to_owned(), "line"),
            ("{".to_owned(), "line"),
        ] {
            let reject = parse(&line, Register::Kfr).unwrap_err();
            assert_eq!(reject.parameter, parameter, "{line}");
            assert!(
                !reject.reason.contains("1791209999") && !reject.reason.contains("8601111794"),
                "{}",
                reject.reason
            );
        }
    }
}
