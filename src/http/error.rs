//! The only map from errors to the wire: status, code and message of both families,
//! Norwegian `ERR-…` for agencies and English `KFR-…` for banks.

mod banks;

use crate::access::authenticator::AuthenticationError;
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
    #[schema(example = "must be a day, YYYY-MM-DD")]
    pub reason: String,
}

impl Detail {
    pub fn new(parameter: impl Into<String>, reason: impl Into<String>) -> Self {
        Self {
            parameter: parameter.into(),
            reason: reason.into(),
        }
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
    /// `WWW-Authenticate` of a 401.
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
            AuthenticationError::Missing | AuthenticationError::Token(_) => Self {
                challenge: Some(challenge(cause)),
                ..Self::NOT_AUTHENTICATED
            },
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
            AuthenticationError::Missing | AuthenticationError::Token(_) => Self {
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
            Refusal::MissingScope,
            invalid(FaultKind::CustomerId, "CustomerID"),
            invalid(FaultKind::Period, "fromDate"),
            invalid(FaultKind::AccountId, "AccountID"),
            invalid(FaultKind::Request, "CorrelationID"),
            Refusal::OutsideTerms(OutsideTerms {
                term: Term::Mandate,
                service: Some("Skatt-Kontroll".to_owned()),
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
        response.json(ErrorBody {
            error_code: self.code,
            error_message: self.message,
            timestamp: Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true),
            correlation_id,
            details: self.details,
            status_code: older.then(|| self.status.as_u16()),
            message: older.then_some(self.message),
        })
    }
}

/// `error_description` names the failed claim, once the signature was found good.
fn challenge(cause: &AuthenticationError) -> String {
    let claim = match cause {
        AuthenticationError::Token(fault) => fault.claim(),
        AuthenticationError::Missing | AuthenticationError::KeysUnavailable => None,
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
            Refusal::MissingScope => Self::new(StatusCode::FORBIDDEN, "ERR-001", "Klient er ikke autorisert"),
            Refusal::Invalid(faults) => invalid(faults),
            Refusal::NotAcceptable => {
                Self::new(StatusCode::NOT_ACCEPTABLE, "ERR-009", "Formatet støttes ikke")
            }
            Refusal::TooMany(over) => Self {
                // Rounded up: one that comes back at once would be refused again.
                retry_after: over.retry_after().as_secs() + 1,
                ..Self::new(StatusCode::TOO_MANY_REQUESTS, "ERR-010", "For mange forespørsler")
            },
            Refusal::OutsideTerms(outside) => Self::new(
                StatusCode::FORBIDDEN,
                "ERR-007",
                "Forespørselen er ikke tillatt for tjenesten",
            )
            .with(vec![failing_term(outside)]),
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

/// The term that fails at the closest service. `GET /v2/services` tells what would be admitted.
fn failing_term(outside: &OutsideTerms) -> Detail {
    let reason = match outside.term {
        Term::Consumer => "the consumer has no DSOP service here",
        Term::Supplier => "the consumer's supplier must be the one that the service names",
        Term::Scope => "the token must have the scope of the service",
        Term::Endpoint => "the service does not use this endpoint",
        Term::Mandate => "Legal-Mandate must be a mandate of the service",
        Term::Customer => "CustomerID must be of the kind that the service may ask about",
        Term::Period => "fromDate and toDate must lie where the service admits them today",
        Term::OnlyPrimaryOwner => "onlyPrimaryOwner must be true for the service",
    };
    match &outside.service {
        Some(service) => Detail::new(outside.term.name(), format!("{reason} ({service})")),
        None => Detail::new(outside.term.name(), reason),
    }
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
