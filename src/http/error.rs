//! The only map from errors to the wire: status, code and message of both families,
//! Norwegian `ERR-…` for agencies and English `KFR-…` for banks.

mod banks;
mod terms;

use crate::access::authenticator::AuthenticationError;
use crate::access::caller::Scope;
use crate::access::limits::OverLimit;
use crate::access::terms::{OutsideTerms, Term};
use crate::domain::participants::Coverage;
use crate::record::{Conclusion, ListedBanks};
use crate::register::lookup::{
    AccountAnswer, Fault, FaultKind, OwnServices, ParticipantStatus, Refusal, RelationshipsAnswer,
};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderValue};
use banks::BankError;
use chrono::{SecondsFormat, Utc};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;
use uuid::Uuid;

/// Seconds after which a caller may try again what is unavailable now.
const RETRY_AFTER_SECONDS: u64 = 2;

/// One thing that is wrong with a request. The value sent is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Detail {
    #[schema(example = "fromDate")]
    pub parameter: String,
    /// A whole sentence.
    #[schema(example = "fromDate must be a day, YYYY-MM-DD.")]
    pub reason: String,
}

impl Detail {
    /// What is to be said of a parameter.
    pub fn new(parameter: impl Into<String>, predicate: impl AsRef<str>) -> Self {
        let parameter = parameter.into();
        let reason = sentence(&parameter, predicate.as_ref());
        Self { parameter, reason }
    }

    /// A sentence that stands by itself.
    pub fn said(parameter: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            parameter: parameter.into(),
            reason: reason.into(),
        }
    }
}

/// What is said of a parameter, as a whole sentence.
pub fn sentence(parameter: &str, predicate: &str) -> String {
    match parameter {
        "body" | "line" | "query" => format!("The {parameter} {predicate}."),
        _ => format!("{parameter} {predicate}."),
    }
}

impl From<Fault> for Detail {
    fn from(fault: Fault) -> Self {
        Self::new(fault.parameter, fault.reason)
    }
}

/// The body of every error.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    #[schema(example = "ERR-003")]
    pub error_code: &'static str,
    #[schema(example = "Ugyldig periode eller datoformat")]
    pub error_message: &'static str,
    #[schema(example = "2026-11-20T21:30:00.000Z", format = DateTime)]
    pub timestamp: String,
    #[serde(rename = "correlationID")]
    pub correlation_id: Uuid,
    /// All that is wrong at once.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<Detail>,
    /// Under `/kar-ws/api/v1` only, with 401.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub status_code: Option<u16>,
    /// Under `/kar-ws/api/v1` only, with 401.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub message: Option<&'static str>,
}

/// An error as it goes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub status: StatusCode,
    pub code: &'static str,
    pub message: &'static str,
    pub details: Vec<Detail>,
    /// `WWW-Authenticate` of a 401, and of a 403 for a missing scope.
    challenge: Option<String>,
    /// `Retry-After` of a 429 or 503, in seconds.
    retry_after: u64,
    /// A conflict that passes by itself tells `Retry-After` too.
    passes: bool,
}

impl Problem {
    const fn new(status: StatusCode, code: &'static str, message: &'static str) -> Self {
        Self {
            status,
            code,
            message,
            details: Vec::new(),
            challenge: None,
            retry_after: RETRY_AFTER_SECONDS,
            passes: false,
        }
    }

    pub const UNKNOWN_RESOURCE: Self = Self::new(StatusCode::NOT_FOUND, "ERR-008", "Ukjent ressurs");
    pub const METHOD: Self = Self::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "ERR-009",
        "Metoden er ikke tillatt",
    );
    pub const HEADERS_TOO_LARGE: Self = Self::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "ERR-009",
        "Forespørselen er for stor",
    );
    pub const SLOW_HEAD: Self = Self::new(
        StatusCode::REQUEST_TIMEOUT,
        "ERR-009",
        "Forespørselen tok for lang tid",
    );
    pub const NO_REQUEST: Self = Self::new(StatusCode::BAD_REQUEST, "ERR-005", "Ugyldig forespørsel");
    pub const DEFECT: Self = Self::new(StatusCode::INTERNAL_SERVER_ERROR, "ERR-500", "Intern feil");
    pub const UNAVAILABLE: Self = Self::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "ERR-503",
        "Tjenesten er midlertidig utilgjengelig",
    );
    pub const NOT_AUTHENTICATED: Self =
        Self::new(StatusCode::UNAUTHORIZED, "ERR-001", "Klient er ikke autentisert");

    /// The answer to a caller of the agencies' endpoints whose token does not hold.
    pub fn not_authenticated(cause: &AuthenticationError) -> Self {
        match cause {
            AuthenticationError::KeysUnavailable => Self::UNAVAILABLE,
            AuthenticationError::Missing
            | AuthenticationError::Unreadable
            | AuthenticationError::Token(_) => Self {
                challenge: Some(challenge(cause)),
                ..Self::NOT_AUTHENTICATED
            },
        }
    }

    /// What HTTP itself cannot read, or waits for too long; with a sentence of what is wrong where that is known.
    pub fn no_request(status: StatusCode, fault: Option<&str>) -> Self {
        let problem = match status {
            StatusCode::REQUEST_TIMEOUT => Self::SLOW_HEAD,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Self::HEADERS_TOO_LARGE,
            _ => Self::NO_REQUEST,
        };
        let details = fault.map(|fault| Detail::said("request", fault));
        problem.with(details.into_iter().collect())
    }

    fn not_authorized() -> Self {
        Self::new(StatusCode::FORBIDDEN, "ERR-001", "Klient er ikke autorisert")
    }

    /// With the scopes any one of which the token must have.
    fn demanding(self, wanted: &[Scope]) -> Self {
        let wanted: Vec<&str> = wanted.iter().map(Scope::as_str).collect();
        let wanted = wanted.join(" ");
        Self {
            challenge: Some(format!("Bearer error=\"insufficient_scope\", scope=\"{wanted}\"")),
            ..self
        }
    }

    /// A system user may deliver, not ask.
    pub fn system_user_not_admitted() -> Self {
        let challenge = "Bearer error=\"invalid_token\", error_description=\"authorization_details is not accepted here\"";
        Self {
            challenge: Some(challenge.to_owned()),
            ..Self::NOT_AUTHENTICATED
        }
    }

    /// The answer to a bank whose token does not hold.
    pub fn bank_not_authenticated(cause: &AuthenticationError) -> Self {
        match cause {
            AuthenticationError::KeysUnavailable => Self::bank(BankError::Unavailable),
            AuthenticationError::Missing
            | AuthenticationError::Unreadable
            | AuthenticationError::Token(_) => Self {
                challenge: Some(challenge(cause)),
                ..Self::bank(BankError::NotAuthenticated)
            },
        }
    }

    /// One of each that the API document can name.
    pub fn samples() -> Vec<Self> {
        let fault = |kind, parameter| Fault {
            kind,
            parameter,
            reason: "is missing".to_owned(),
        };
        let invalid = |kind, parameter| Refusal::Invalid(vec![fault(kind, parameter)]);
        let refusals = [
            Refusal::MissingScope(Vec::new()),
            invalid(FaultKind::CustomerId, "CustomerID"),
            invalid(FaultKind::Period, "fromDate"),
            invalid(FaultKind::AccountId, "AccountID"),
            invalid(FaultKind::Request, "CorrelationID"),
            Refusal::OutsideTerms(OutsideTerms {
                term: Term::Mandate,
                service: Some("Skatt-Kontroll".to_owned()),
                periods: Vec::new(),
            }),
            Refusal::NotAcceptable,
            Refusal::UnknownAccount(Coverage::default()),
            Refusal::TooMany(OverLimit::Rate {
                retry_after: Duration::ZERO,
            }),
            Refusal::TimedOut,
        ];
        let constants = [
            Self::NOT_AUTHENTICATED,
            Self::METHOD,
            Self::HEADERS_TOO_LARGE,
            Self::DEFECT,
            Self::UNAVAILABLE,
        ];
        let of_agencies = constants.into_iter().chain(refusals.iter().map(Self::from));
        of_agencies.chain(BankError::ALL.map(Self::bank)).collect()
    }

    /// The 429 of the agencies' family.
    pub fn too_many(over: OverLimit) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, "ERR-010", "For mange forespørsler").until(over)
    }

    /// The 429 of the banks' family.
    pub fn bank_too_many(over: OverLimit) -> Self {
        Self::bank(BankError::TooMany).until(over)
    }

    /// Rounded up: one that comes back at once would be refused again.
    fn until(self, over: OverLimit) -> Self {
        Self {
            retry_after: over.retry_after().as_secs() + 1,
            ..self
        }
    }

    /// The 503 of the banks' family.
    pub fn bank_unavailable() -> Self {
        Self::bank(BankError::Unavailable)
    }

    fn with(self, details: Vec<Detail>) -> Self {
        Self { details, ..self }
    }

    /// The response, under a mount whose 401 repeats itself in the older form or not.
    pub fn respond(self, correlation_id: Uuid, repeats_401: bool) -> HttpResponse {
        let older = repeats_401 && self.status == StatusCode::UNAUTHORIZED;
        let mut response = HttpResponse::build(self.status);
        if let Some(challenge) = &self.challenge
            && let Ok(value) = HeaderValue::from_str(challenge)
        {
            response.insert_header((header::WWW_AUTHENTICATE, value));
        }
        let passes = matches!(
            self.status,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS
        );
        if passes || self.passes {
            response.insert_header((header::RETRY_AFTER, self.retry_after));
        }
        response.json(self.body(correlation_id, older))
    }

    /// What the response holds.
    pub fn body(self, correlation_id: Uuid, older: bool) -> ErrorBody {
        ErrorBody {
            error_code: self.code,
            error_message: self.message,
            timestamp: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            correlation_id,
            details: self.details,
            status_code: older.then(|| self.status.as_u16()),
            message: older.then_some(self.message),
        }
    }
}

/// `error_description` names the failed claim, once the signature was found good. Who sent no token made no error.
fn challenge(cause: &AuthenticationError) -> String {
    let claim = match cause {
        AuthenticationError::Token(fault) => fault.claim(),
        AuthenticationError::Unreadable => None,
        AuthenticationError::Missing | AuthenticationError::KeysUnavailable => {
            return "Bearer realm=\"kundeforhold\"".to_owned();
        }
    };
    match claim {
        Some(claim) => {
            format!("Bearer error=\"invalid_token\", error_description=\"{claim} is not accepted\"")
        }
        None => "Bearer error=\"invalid_token\"".to_owned(),
    }
}

impl From<&Refusal> for Problem {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::MissingScope(wanted) => Self::not_authorized().demanding(wanted),
            Refusal::NotAdmitted => Self::not_authorized(),
            Refusal::Invalid(faults) => invalid(faults),
            Refusal::NotAcceptable => {
                Self::new(StatusCode::NOT_ACCEPTABLE, "ERR-009", "Formatet støttes ikke")
            }
            Refusal::TooMany(over) => Self::too_many(*over),
            Refusal::OutsideTerms(outside) => Self::new(
                StatusCode::FORBIDDEN,
                "ERR-007",
                "Forespørselen er ikke tillatt for tjenesten",
            )
            .with(vec![terms::failing(outside)]),
            Refusal::UnknownAccount(_) => Self::new(StatusCode::NOT_FOUND, "ERR-006", "Ukjent kontonummer"),
            Refusal::UnknownAccountAsPublished => invalid(&[Fault {
                kind: FaultKind::AccountId,
                parameter: "AccountID",
                reason: "is known to no bank".to_owned(),
            }]),
            Refusal::Unavailable => Self::UNAVAILABLE,
            Refusal::TimedOut => Self::new(
                StatusCode::GATEWAY_TIMEOUT,
                "ERR-504",
                "Ingen respons fra datakilden",
            ),
            Refusal::Defect => Self::DEFECT,
        }
    }
}

/// The first of the broken rules gives the code, `details` name them all.
fn invalid(faults: &[Fault]) -> Problem {
    let first = faults
        .iter()
        .map(|fault| fault.kind)
        .min()
        .unwrap_or(FaultKind::Request);
    let (code, message) = match first {
        FaultKind::CustomerId => ("ERR-002", "Ugyldig KUNDEID"),
        FaultKind::Period => ("ERR-003", "Ugyldig periode eller datoformat"),
        FaultKind::AccountId => ("ERR-004", "Ugyldig kontonummer"),
        FaultKind::Request => ("ERR-005", "Ugyldig forespørsel"),
    };
    let details = faults.iter().cloned().map(Detail::from).collect();
    Problem::new(StatusCode::BAD_REQUEST, code, message).with(details)
}

fn status_of<A>(conclusion: &Result<A, Refusal>) -> u16 {
    conclusion
        .as_ref()
        .map_or_else(|refusal| Problem::from(refusal).status, |_| StatusCode::OK)
        .as_u16()
}

impl Conclusion for Result<RelationshipsAnswer, Refusal> {
    fn status(&self) -> u16 {
        status_of(self)
    }

    fn banks(&self) -> ListedBanks {
        self.iter()
            .flat_map(|answer| answer.banks.iter().map(|bank| bank.organization))
            .collect()
    }
}

impl Conclusion for Result<AccountAnswer, Refusal> {
    fn status(&self) -> u16 {
        status_of(self)
    }

    fn banks(&self) -> ListedBanks {
        self.iter().map(|answer| answer.organization).collect()
    }

    /// The older path tells of an unknown account by 400.
    fn is_refusal(&self) -> bool {
        let told = matches!(
            self,
            Ok(_) | Err(Refusal::UnknownAccount(_) | Refusal::UnknownAccountAsPublished)
        );
        !told && status_of(self) < 500
    }
}

impl Conclusion for Result<Vec<ParticipantStatus>, Refusal> {
    fn status(&self) -> u16 {
        status_of(self)
    }

    fn banks(&self) -> ListedBanks {
        Vec::new()
    }
}

impl Conclusion for Result<OwnServices, Refusal> {
    fn status(&self) -> u16 {
        status_of(self)
    }

    fn banks(&self) -> ListedBanks {
        Vec::new()
    }
}
