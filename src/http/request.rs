//! Reading requests: headers and parameters into typed questions, all faults at once.

use super::headers::{
    self, ACCOUNT_ID, ACCOUNT_INFO_REQUEST_ID, CORRELATION_ID, CUSTOMER_ID, Header, LEGAL_MANDATE,
};
use super::{accept, mandate};
use crate::domain::calendar::{Period, parse_day};
use crate::domain::identifiers::{AccountNumber, CustomerId, IdentifierRules};
use crate::register::lookup::{Arrival, Fault, FaultKind, LegalContext, Refusal};
use actix_web::http::header::HeaderMap;
use actix_web::{HttpMessage, HttpRequest};
use chrono::{NaiveDate, Utc};
use percent_encoding::percent_decode;
use std::borrow::Cow;
use uuid::Uuid;

/// Parameters of a query that are read; no operation knows more than a few.
const MOST_PARAMETERS: usize = 64;

/// Where the lookups are mounted; the older path is more forgiving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mount {
    /// `/v2`
    V2,
    /// `/kar-ws/api/v1`, the path of the service in use before this one.
    KarWs,
}

impl Mount {
    /// The mount that a request's route belongs to.
    pub fn of(request: &HttpRequest) -> Self {
        request.app_data::<Self>().copied().unwrap_or(Self::V2)
    }

    /// A 401 carries `statusCode` and `message` too.
    pub fn repeats_401(self) -> bool {
        self == Self::KarWs
    }
}

/// Bytes of a `Legal-Mandate`, decoded (`access.max_mandate_bytes`).
#[derive(Debug, Clone, Copy)]
pub struct MandateLimit(pub usize);

/// How identifiers are judged here.
pub fn rules_of(request: &HttpRequest) -> IdentifierRules {
    request
        .app_data::<IdentifierRules>()
        .copied()
        .unwrap_or(IdentifierRules::PRODUCTION)
}

/// The moment the request arrived, as [`middleware`](super::middleware) noted it.
pub fn arrival_of(request: &HttpRequest) -> Arrival {
    let noted = request.extensions().get::<Arrival>().copied();
    noted.unwrap_or_else(|| Arrival::new(Utc::now(), Uuid::new_v4()))
}

/// `CorrelationID`, if there is one and it is a UUID.
pub fn correlation_of(headers: &HeaderMap) -> Option<Uuid> {
    let mut values = headers.get_all(&CORRELATION_ID.name);
    match (values.next(), values.next()) {
        (Some(value), None) => parse_uuid(value.to_str().ok()?),
        _ => None,
    }
}

/// A UUID in its hyphenated form, in any letter case.
fn parse_uuid(text: &str) -> Option<Uuid> {
    let text = text.trim_matches([' ', '\t']);
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

/// Reads a request and collects what is wrong with it.
pub struct Reader<'r> {
    request: &'r HttpRequest,
    query: Vec<(Cow<'r, str>, Cow<'r, str>)>,
    rules: IdentifierRules,
    mount: Mount,
    faults: Vec<Fault>,
}

impl<'r> Reader<'r> {
    /// `parameters` are the query names that the operation knows; others are faults, since a filter that is
    /// silently dropped tells too much.
    pub fn new(request: &'r HttpRequest, parameters: &[&'static str]) -> Self {
        let rules = rules_of(request);
        let query = parse_query(request.query_string());
        let mut reader = Self {
            request,
            query,
            rules,
            mount: Mount::of(request),
            faults: Vec::new(),
        };
        reader.refuse_misplaced(parameters);
        reader
    }

    /// A name that is not known in the query, and one of ours in the wrong place.
    fn refuse_misplaced(&mut self, parameters: &[&'static str]) {
        let is_known = |name: &str| parameters.iter().any(|known| known.eq_ignore_ascii_case(name));
        if self.query.len() > MOST_PARAMETERS {
            self.fault(FaultKind::Request, "query", "holds more than 64 parameters");
            return;
        }
        let unknown = self.query.iter().filter(|(name, _)| !is_known(name));
        let mut faults: Vec<(&str, &str)> = unknown
            .map(|(name, _)| match headers::find(name) {
                Some(header) => (header.written, "belongs among the headers, not in the query"),
                None => ("query", "holds a parameter that this operation does not know"),
            })
            .collect();
        let in_headers = self
            .request
            .headers()
            .keys()
            .filter_map(headers::misplaced_parameter);
        faults.extend(in_headers.map(|name| (name, "belongs in the query, not among the headers")));
        faults.sort_unstable();
        faults.dedup();
        for (parameter, reason) in faults {
            self.fault(FaultKind::Request, parameter, reason);
        }
    }

    pub fn mount(&self) -> Mount {
        self.mount
    }

    pub fn fault(&mut self, kind: FaultKind, parameter: &'static str, reason: impl Into<String>) {
        self.faults.push(Fault {
            kind,
            parameter,
            reason: reason.into(),
        });
    }

    /// The bytes of a header; `None` when it is absent, or sent twice, which is a fault.
    fn header(&mut self, header: &'static Header) -> Option<&'r [u8]> {
        self.header_or(header, |_| {})
    }

    /// A header that must be there.
    fn required(&mut self, header: &'static Header, kind: FaultKind) -> Option<&'r [u8]> {
        self.header_or(header, |reader| reader.fault(kind, header.written, "is missing"))
    }

    fn header_or(&mut self, header: &'static Header, absent: impl FnOnce(&mut Self)) -> Option<&'r [u8]> {
        let mut values = self.request.headers().get_all(&header.name);
        match (values.next(), values.next()) {
            (None, _) => {
                absent(self);
                None
            }
            (Some(value), None) => Some(value.as_bytes()),
            (Some(_), Some(_)) => {
                self.fault(FaultKind::Request, header.written, "is sent more than once");
                None
            }
        }
    }

    /// The value of a query parameter, its name in any letter case; sent twice is a fault.
    pub fn parameter(&mut self, name: &'static str) -> Option<Cow<'r, str>> {
        let mut values = self
            .query
            .iter()
            .filter(|(sent, _)| sent.eq_ignore_ascii_case(name));
        let first = values.next().map(|(_, value)| value.clone());
        if values.next().is_some() {
            self.fault(FaultKind::Request, name, "is sent more than once");
        }
        first
    }

    /// `CustomerID`.
    pub fn customer(&mut self) -> Option<CustomerId> {
        let value = self.required(&CUSTOMER_ID, FaultKind::CustomerId)?;
        match CustomerId::parse(std::str::from_utf8(value).unwrap_or_default(), &self.rules) {
            Ok(customer) => Some(customer),
            Err(cause) => {
                self.fault(FaultKind::CustomerId, CUSTOMER_ID.written, cause.to_string());
                None
            }
        }
    }

    /// `AccountID`.
    pub fn account(&mut self) -> Option<AccountNumber> {
        let value = self.required(&ACCOUNT_ID, FaultKind::AccountId)?;
        match AccountNumber::parse_lookup_key(std::str::from_utf8(value).unwrap_or_default()) {
            Ok(account) => Some(account),
            Err(cause) => {
                self.fault(FaultKind::AccountId, ACCOUNT_ID.written, cause.to_string());
                None
            }
        }
    }

    /// A header that must be a UUID, and under the older path may be absent.
    fn uuid(&mut self, header: &'static Header, optional: bool) -> Option<Uuid> {
        let value = if optional {
            self.header(header)
        } else {
            self.required(header, FaultKind::Request)
        }?;
        let uuid = parse_uuid(std::str::from_utf8(value).unwrap_or_default());
        if uuid.is_none() {
            self.fault(FaultKind::Request, header.written, "must be a UUID");
        }
        uuid
    }

    /// `CorrelationID`, which must be a UUID where it is sent.
    pub fn correlation(&mut self, optional: bool) {
        self.uuid(&CORRELATION_ID, optional);
    }

    /// Why the agency asks, and the correlation id, which must be a UUID if the mount demands one.
    pub fn legal_context(&mut self) -> LegalContext {
        let forgiving = self.mount == Mount::KarWs;
        self.correlation(forgiving);
        LegalContext {
            case: self.uuid(&ACCOUNT_INFO_REQUEST_ID, forgiving),
            legal_mandate: self.legal_mandate(forgiving),
        }
    }

    fn legal_mandate(&mut self, optional: bool) -> Option<String> {
        let value = if optional {
            self.header(&LEGAL_MANDATE)
        } else {
            self.required(&LEGAL_MANDATE, FaultKind::Request)
        }?;
        let most_bytes = self
            .request
            .app_data::<MandateLimit>()
            .map_or(usize::MAX, |limit| limit.0);
        match mandate::decode(value, most_bytes) {
            Ok(mandate) => Some(mandate),
            Err(cause) => {
                self.fault(FaultKind::Request, LEGAL_MANDATE.written, cause.to_string());
                None
            }
        }
    }

    /// `fromDate` and `toDate`, not reversed, beginning today at the latest. Both default to today where
    /// the mount lets them be absent.
    pub fn period(&mut self, today: NaiveDate, optional: bool) -> Option<Period> {
        let from = self.day("fromDate", today, optional);
        let to = self.day("toDate", today, optional);
        let (from, to) = (from?, to?);
        if from > today {
            self.fault(FaultKind::Period, "fromDate", "must not lie after today");
            return None;
        }
        let period = Period::new(from, to);
        if period.is_none() {
            self.fault(FaultKind::Period, "toDate", "must not lie before fromDate");
        }
        period
    }

    fn day(&mut self, name: &'static str, default: NaiveDate, optional: bool) -> Option<NaiveDate> {
        let Some(text) = self.parameter(name) else {
            if !optional {
                self.fault(FaultKind::Period, name, "is missing");
            }
            return optional.then_some(default);
        };
        let day = parse_day(&text);
        if day.is_none() {
            self.fault(FaultKind::Period, name, "must be a day, YYYY-MM-DD");
        }
        day
    }

    /// `onlyPrimaryOwner`, `true` or `false` in any letter case.
    pub fn only_primary_owner(&mut self) -> Option<bool> {
        let text = self.parameter("onlyPrimaryOwner")?;
        let known = ["true", "false"]
            .into_iter()
            .find(|known| text.eq_ignore_ascii_case(known));
        if known.is_none() {
            self.fault(FaultKind::Request, "onlyPrimaryOwner", "must be true or false");
        }
        known.map(|known| known == "true")
    }

    /// The question if nothing was wrong, and else what was.
    pub fn finish<Q>(self, question: Option<Q>) -> Result<Q, Refusal> {
        match question {
            Some(question) if self.faults.is_empty() => {
                if accept::admits_json(self.request.headers()) {
                    Ok(question)
                } else {
                    Err(Refusal::NotAcceptable)
                }
            }
            _ => Err(Refusal::Invalid(self.faults)),
        }
    }

    /// All that was wrong.
    pub fn into_faults(self) -> Vec<Fault> {
        self.faults
    }
}

/// Names and values of a query string, percent-decoded.
fn parse_query(query: &str) -> Vec<(Cow<'_, str>, Cow<'_, str>)> {
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .take(MOST_PARAMETERS + 1)
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        })
        .collect()
}

fn decode(text: &str) -> Cow<'_, str> {
    if memchr::memchr2(b'+', b'%', text.as_bytes()).is_none() {
        return text.into();
    }
    let spaced = text.replace('+', " ");
    let decoded = percent_decode(spaced.as_bytes()).decode_utf8_lossy();
    decoded.into_owned().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn query_values_are_decoded_whatever_they_hold() {
        let query = "fromDate=2026-01-01&to%44ate=2026%2D01-31&&a+b=%2B+%C3%A6&broken=%FF%zz%&alone";
        let read = parse_query(query);
        let expected = [
            ("fromDate", "2026-01-01"),
            ("toDate", "2026-01-31"),
            ("a b", "+ æ"),
            ("broken", "\u{fffd}%zz%"),
            ("alone", ""),
        ];
        assert_eq!(read, expected.map(|(name, value)| (name.into(), value.into())));
    }

    #[test]
    fn a_correlation_id_is_a_hyphenated_uuid() {
        assert!(parse_uuid("0d1f7a58-6e1a-4f7e-9d4b-000000000001").is_some());
        assert!(parse_uuid("0D1F7A58-6E1A-4F7E-9D4B-00000000000A").is_some());
        for text in [
            "",
            "0d1f7a586e1a4f7e9d4b000000000001",
            "{0d1f7a58-6e1a-4f7e-9d4b-000000000001}",
            "x",
        ] {
            assert!(parse_uuid(text).is_none(), "{text}");
        }
    }
}
