//! All that is wrong with a line, told without quoting any of it: only the names of our own fields are ever written.

use crate::domain::delivery::{FaultCode, LineFault};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Deserializer, Map, Value};
use std::fmt::Display;

type Object = Map<String, Value>;

/// What a field may hold.
#[derive(Clone, Copy)]
pub enum Holds {
    Text,
    Flag,
    /// An object with these fields.
    Object(Fields),
}

const NO_OBJECT: &str = "must be an object";

/// Names, and what they may hold.
pub type Fields = &'static [(&'static str, Holds)];

/// Of a record.
pub const RECORD: Fields = &[
    ("customerID", Holds::Text),
    ("accountID", Holds::Text),
    ("agreementID", Holds::Text),
    ("role", Holds::Text),
    ("creditable", Holds::Flag),
    ("holdsFunds", Holds::Flag),
    ("fromDate", Holds::Text),
    ("toDate", Holds::Text),
];
const END: Fields = &[
    ("customerID", Holds::Text),
    ("accountID", Holds::Text),
    ("agreementID", Holds::Text),
    ("fromDate", Holds::Text),
    ("toDate", Holds::Text),
];
const IDENTITY: Fields = &[
    ("customerID", Holds::Text),
    ("accountID", Holds::Text),
    ("agreementID", Holds::Text),
    ("fromDate", Holds::Text),
];
/// Of a line of changes.
pub const CHANGES: Fields = &[
    ("put", Holds::Object(RECORD)),
    ("end", Holds::Object(END)),
    ("remove", Holds::Object(IDENTITY)),
];

impl Holds {
    /// An optional field may be null, and a mandatory one that is null is missing.
    fn admits(self, value: &Value) -> bool {
        match self {
            Self::Text => value.is_string() || value.is_null(),
            Self::Flag => value.is_boolean() || value.is_null(),
            Self::Object(_) => value.is_object(),
        }
    }

    fn demand(self) -> &'static str {
        match self {
            Self::Text => "must be a text",
            Self::Flag => "must be true or false",
            Self::Object(_) => NO_OBJECT,
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

/// A line that is not of its form.
pub struct Malformed {
    faults: Vec<LineFault>,
    /// The line without what is wrong with its form, if it is an object.
    rest: Option<String>,
}

impl Malformed {
    /// All that is wrong with the line: with its form, and with what `read` finds in the rest of it.
    pub fn and<T>(mut self, read: impl FnOnce(&str) -> Result<T, Vec<LineFault>>) -> Vec<LineFault> {
        let further = self
            .rest
            .as_deref()
            .map(read)
            .and_then(Result::err)
            .unwrap_or_default();
        let is_told = |fault: &LineFault| self.faults.iter().any(|told| told.parameter == fault.parameter);
        let further: Vec<_> = further.into_iter().filter(|fault| !is_told(fault)).collect();
        self.faults.extend(further);
        self.faults
    }
}

/// Reads a line that must be an object with fields of these.
///
/// # Errors
/// When it is no object, or has fields that are not known, are there twice, or are of a wrong type.
pub fn parse_json<'a, T: Deserialize<'a>>(line: &'a [u8], fields: Fields) -> Result<T, Malformed> {
    // serde would take the fields as a bare list too.
    match line.trim_ascii_start().starts_with(b"{") {
        true => serde_json::from_slice(line).map_err(|cause| describe(line, fields, &cause)),
        false => Err(no_object(line, 1)),
    }
}

fn no_object(line: &[u8], column: usize) -> Malformed {
    let what = match std::str::from_utf8(line) {
        Err(_) => "is not UTF-8".to_owned(),
        Ok(_) if holds_several(line) => {
            "holds more than one object; each has to stand on a line of its own".to_owned()
        }
        Ok(_) => format!("is not a JSON object (column {column})"),
    };
    Malformed {
        faults: vec![fault("line", what)],
        rest: None,
    }
}

fn holds_several(line: &[u8]) -> bool {
    let mut objects = Deserializer::from_slice(line).into_iter::<IgnoredAny>();
    let is_first = matches!(objects.next(), Some(Ok(_)));
    let after = line[objects.byte_offset()..].trim_ascii_start();
    let after = after.strip_prefix(b",").unwrap_or(after).trim_ascii_start();
    is_first && after.starts_with(b"{")
}

/// What is wrong with the form. The parser's own message would quote the line.
fn describe(line: &[u8], fields: Fields, cause: &serde_json::Error) -> Malformed {
    let Ok(Value::Object(object)) = serde_json::from_slice(line) else {
        return no_object(line, cause.column());
    };
    let mut faults = Vec::new();
    let text = cause.to_string();
    if text.starts_with("duplicate field") {
        faults.push(match own_name(&text) {
            Some(name) => fault(name, "is there twice"),
            None => fault("line", "has a field twice"),
        });
    }
    let rest = Value::Object(without_faults(object, fields, &mut faults));
    // Of a change that is no object nothing is left to be read.
    let is_change = |fault: &LineFault| CHANGES.iter().any(|(name, _)| *name == fault.parameter);
    let is_readable = !faults
        .iter()
        .any(|fault| is_change(fault) && fault.reason == NO_OBJECT);
    Malformed {
        faults,
        rest: is_readable.then(|| rest.to_string()),
    }
}

/// The field that the parser names, if that is one of ours.
fn own_name(message: &str) -> Option<&'static str> {
    let name = message.split('`').nth(1)?;
    own_names().find(|own| *own == name)
}

fn own_names() -> impl Iterator<Item = &'static str> {
    RECORD.iter().chain(CHANGES).map(|(name, _)| *name)
}

/// An object without what is wrong with its form, which is told.
fn without_faults(object: Object, fields: Fields, faults: &mut Vec<LineFault>) -> Object {
    let mut rest = Object::new();
    for (name, value) in object {
        match (fields.iter().find(|(known, _)| *known == name), value) {
            (None, _) => note_unknown(&name, faults),
            (Some((name, holds)), value) if !holds.admits(&value) => faults.push(fault(name, holds.demand())),
            (Some((_, Holds::Object(fields))), Value::Object(inner)) => {
                rest.insert(name, Value::Object(without_faults(inner, fields, faults)));
            }
            (Some(_), value) => drop(rest.insert(name, value)),
        }
    }
    rest
}

/// A name of ours is told, also when it is nearly written; another one could be anything.
fn note_unknown(name: &str, faults: &mut Vec<LineFault>) {
    let letters = |name: &str| name.replace(['_', '-', ' '], "").to_ascii_lowercase();
    let told = match own_names().find(|own| letters(own) == letters(name)) {
        Some(own) if own == name => fault(own, "does not belong here"),
        Some(own) => fault(own, "is to be written like this, and is not"),
        None => fault("line", "has a field that is not known"),
    };
    if !faults.contains(&told) {
        faults.push(told);
    }
}
