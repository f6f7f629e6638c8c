//! The error table of the lookup API: status, code, text, body and headers of every row, and that nothing
//! sent is ever repeated. ERR-007 and ERR-010 come with the terms of the DSOP services.
//!
//! No call of an agency can be too large in its body, since none is read: of the sizes only 431 is reachable.

mod outages;
mod precedence;
mod questions;
mod rows;
mod secrets;

use crate::harness::ask::Told;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;
use uuid::Uuid;

const NOT_AUTHENTICATED: (u16, &str, &str) = (401, "ERR-001", "Klient er ikke autentisert");
const NOT_AUTHORIZED: (u16, &str, &str) = (403, "ERR-001", "Klient er ikke autorisert");
const CUSTOMER: (u16, &str, &str) = (400, "ERR-002", "Ugyldig KUNDEID");
const PERIOD: (u16, &str, &str) = (400, "ERR-003", "Ugyldig periode eller datoformat");
const ACCOUNT_NUMBER: (u16, &str, &str) = (400, "ERR-004", "Ugyldig kontonummer");
const REQUEST: (u16, &str, &str) = (400, "ERR-005", "Ugyldig forespørsel");
const UNKNOWN_ACCOUNT: (u16, &str, &str) = (404, "ERR-006", "Ukjent kontonummer");
const UNKNOWN_RESOURCE: (u16, &str, &str) = (404, "ERR-008", "Ukjent ressurs");
const METHOD: (u16, &str, &str) = (405, "ERR-009", "Metoden er ikke tillatt");
const NOT_ACCEPTABLE: (u16, &str, &str) = (406, "ERR-009", "Formatet støttes ikke");
const TOO_LARGE: (u16, &str, &str) = (431, "ERR-009", "Forespørselen er for stor");
const DEFECT: (u16, &str, &str) = (500, "ERR-500", "Intern feil");
const UNAVAILABLE: (u16, &str, &str) = (503, "ERR-503", "Tjenesten er midlertidig utilgjengelig");
const TIMED_OUT: (u16, &str, &str) = (504, "ERR-504", "Ingen respons fra datakilden");

/// Asserts the row and all that every error has in common.
#[track_caller]
fn assert_error(told: &Told, (status, code, message): (u16, &str, &str)) {
    assert_eq!(
        (told.status, told.error_code().as_str()),
        (status, code),
        "{}",
        told.text
    );
    let body = told.body();
    assert_eq!(body["errorMessage"], message);
    let mut members: Vec<&str> = body.as_object().unwrap().keys().map(String::as_str).collect();
    members.sort_unstable();
    let mut expected = vec!["correlationID", "errorCode", "errorMessage", "timestamp"];
    if status == 400 {
        expected.insert(1, "details");
        assert_details(&body["details"]);
    }
    assert_eq!(members, expected);
    let timestamp = DateTime::parse_from_rfc3339(body["timestamp"].as_str().unwrap()).unwrap();
    assert!((Utc::now() - timestamp.to_utc()).abs() < TimeDelta::minutes(1));
    let correlation = Uuid::try_parse(body["correlationID"].as_str().unwrap()).unwrap();
    assert_eq!(
        told.header("CorrelationID").map(Uuid::try_parse),
        Some(Ok(correlation))
    );
    assert_common_headers(told);
    assert_headers_of(told, status);
    assert_repeats_nothing(told);
}

#[track_caller]
fn assert_details(details: &Value) {
    let details = details.as_array().unwrap();
    assert!(!details.is_empty());
    for detail in details {
        assert_eq!(detail.as_object().unwrap().len(), 2);
        assert!(detail["parameter"].as_str().is_some_and(|text| !text.is_empty()));
        assert!(detail["reason"].as_str().is_some_and(|text| !text.is_empty()));
    }
}

/// What every answer carries.
#[track_caller]
pub fn assert_common_headers(told: &Told) {
    for (name, value) in [
        ("Content-Type", "application/json"),
        ("Cache-Control", "no-store"),
        ("X-Content-Type-Options", "nosniff"),
        ("X-Frame-Options", "DENY"),
        ("Referrer-Policy", "no-referrer"),
        ("Strict-Transport-Security", "max-age=31536000"),
        (
            "Content-Security-Policy",
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        assert_eq!(told.header(name), Some(value), "{name}");
    }
    assert!(told.header("CorrelationID").is_some());
}

/// The headers that some statuses have and others may not have.
#[track_caller]
fn assert_headers_of(told: &Told, status: u16) {
    // A token that does not hold, or one without the scope.
    let is_challenged = told.error_code() == "ERR-001";
    assert_eq!(told.header("WWW-Authenticate").is_some(), is_challenged);
    assert_eq!(told.header("Allow").is_some(), status == 405);
    let seconds = told
        .header("Retry-After")
        .map(|text| text.parse::<u32>().unwrap());
    assert_eq!(
        seconds.is_some_and(|seconds| seconds > 0),
        status == 503,
        "{seconds:?}"
    );
}

#[track_caller]
fn assert_repeats_nothing(told: &Told) {
    // The day could have been asked about.
    let text = told.text.replace(told.body()["timestamp"].as_str().unwrap(), "");
    for secret in &told.secrets {
        assert!(!text.contains(secret), "{secret} is repeated: {text}");
        let mut values = told.headers.iter().filter(|(name, _)| *name != "correlationid");
        let repeated = values.any(|(_, value)| value.to_str().unwrap().contains(secret));
        assert!(!repeated, "{secret} is repeated in a header");
    }
}
