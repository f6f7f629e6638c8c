//! All that is wrong with a line, told without quoting any of it: only the names of our own fields are ever written.

use crate::domain::delivery::{FaultCode, LineFault};
use serde::Deserialize;
use serde_json::Value;
use std::fmt::Display;
use std::iter::once;

/// What a field may hold.
#[derive(Clone, Copy)]
enum Holds {
    Text,
    Flag,
    Object,
}

/// The fields of all lines.
const FIELDS: [(&str, Holds); 11] = [
    ("customerID", Holds::Text),
    ("accountID", Holds::Text),
    ("agreementID", Holds::Text),
    ("role", Holds::Text),
    ("creditable", Holds::Flag),
    ("holdsFunds", Holds::Flag),
    ("fromDate", Holds::Text),
    ("toDate", Holds::Text),
    ("put", Holds::Object),
    ("end", Holds::Object),
    ("remove", Holds::Object),
];

impl Holds {
    /// An optional field may be null, and a mandatory one that is null is missing.
    fn admits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string() || value.is_null(),
            Self::Flag => value.is_boolean() || value.is_null(),
            Self::Object => value.is_object(),
        }
    }

    fn demand(self) -> &'static str {
        match self {
            Self::Text => "must be a text",
            Self::Flag => "must be true or false",
            Self::Object => "must be an object",
        }
    }
}

/// What is wrong with a line as far as it has been read.
#[derive(Default)]
pub struct Faults(Vec<LineFault>);

impl Faults {
    pub fn note(&mut self, parameter: &'static str, reason: impl Display) {
        self.0.push(fault(parameter, reason));
    }

    pub fn missing(&mut self, parameter: &'static str) {
        self.note(parameter, "is missing");
    }

    /// A mandatory field; one that is missing is noted.
    pub fn present<T>(&mut self, parameter: &'static str, field: Option<T>) -> Option<T> {
        if field.is_none() {
            self.missing(parameter);
        }
        field
    }

    /// What a field was read as; what is wrong with it is noted.
    pub fn good<T, E: Display>(&mut self, parameter: &'static str, read: Result<T, E>) -> Option<T> {
        read.map_err(|reason| self.note(parameter, reason)).ok()
    }

    /// What the line was read as, which is not there unless something was noted.
    pub fn unless_any<T>(self, read: Option<T>) -> Result<T, Vec<LineFault>> {
        read.filter(|_| self.0.is_empty()).ok_or(self.0)
    }
}

pub fn fault(parameter: &'static str, reason: impl Display) -> LineFault {
    let code = match parameter {
        "customerID" => FaultCode::InvalidCustomer,
        "fromDate" | "toDate" => FaultCode::InvalidDate,
        _ => FaultCode::InvalidRecord,
    };
    LineFault {
        code,
        parameter: parameter.to_owned(),
        reason: reason.to_string(),
    }
}

/// Reads a line that must be an object.
///
/// # Errors
/// What is wrong with its form: it is no object, or has fields that are not known, are there twice, or are of a wrong
/// type.
pub fn parse_json<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Result<T, Vec<LineFault>> {
    // serde would take the fields as a bare list too.
    match line.trim_ascii_start().starts_with(b"{") {
        true => serde_json::from_slice(line).map_err(|cause| describe(line, &cause)),
        false => Err(vec![fault("line", "is not a JSON object")]),
    }
}

/// What is wrong with the JSON. The parser's own message would quote it.
fn describe(line: &[u8], cause: &serde_json::Error) -> Vec<LineFault> {
    let at = |what: &str| vec![fault("line", format!("{what} (column {})", cause.column()))];
    if !cause.is_data() {
        return at("is not a JSON object");
    }
    let text = cause.to_string();
    if text.starts_with("unknown field") {
        return match own_name(&text) {
            Some(name) => vec![fault(name, "does not belong here")],
            None => at("has a field that is not known"),
        };
    }
    if text.starts_with("duplicate field") {
        return match own_name(&text) {
            Some(name) => vec![fault(name, "is there twice")],
            None => at("has a field twice"),
        };
    }
    match wrong_types(line) {
        none if none.is_empty() => at("has a field of a wrong type"),
        faults => faults,
    }
}

/// The field that the parser names, if that is one of ours.
fn own_name(message: &str) -> Option<&'static str> {
    let name = message.split('`').nth(1)?;
    FIELDS.iter().map(|(own, _)| *own).find(|own| *own == name)
}

/// All fields that hold what they may not. Reads the line once more, which only a bad one is worth.
fn wrong_types(line: &[u8]) -> Vec<LineFault> {
    let Ok(Value::Object(outer)) = serde_json::from_slice(line) else {
        return Vec::new();
    };
    let inner = ["put", "end", "remove"]
        .iter()
        .filter_map(|name| outer.get(*name)?.as_object());
    let faults_of = |object: &serde_json::Map<String, Value>| {
        let wrong = |(name, holds): &(&'static str, Holds)| {
            let admitted = object.get(*name).is_none_or(|value| holds.admits(value));
            (!admitted).then(|| fault(name, holds.demand()))
        };
        FIELDS.iter().filter_map(wrong).collect::<Vec<_>>()
    };
    once(&outer).chain(inner).flat_map(faults_of).collect()
}
