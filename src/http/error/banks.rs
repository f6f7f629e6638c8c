//! The errors of the banks' family, `KFR-…`.

use super::{Detail, Problem};
use crate::http::bank_calls::BankRefusal;
use crate::register::delivery::{Busy, Conflict, DeliveryError};
use crate::store::StoreError;
use actix_web::http::StatusCode;

/// The errors of the KFR family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BankError {
    NotAuthenticated,
    NoAccess,
    WrongOrganization,
    InvalidRequest,
    InvalidCustomer,
    Internal,
    NotFound,
    InvalidType,
    InvalidDate,
    Conflict,
    Rejected,
    TooLarge,
    TooSlow,
    TooMany,
    Unavailable,
}

impl BankError {
    pub(super) const ALL: [Self; 15] = [
        Self::NotAuthenticated,
        Self::NoAccess,
        Self::WrongOrganization,
        Self::InvalidRequest,
        Self::InvalidCustomer,
        Self::Internal,
        Self::NotFound,
        Self::InvalidType,
        Self::InvalidDate,
        Self::Conflict,
        Self::Rejected,
        Self::TooLarge,
        Self::TooSlow,
        Self::TooMany,
        Self::Unavailable,
    ];
}

impl Problem {
    pub(super) fn bank(error: BankError) -> Self {
        let (status, code, message) = match error {
            BankError::NotAuthenticated => {
                (StatusCode::UNAUTHORIZED, "KFR-001", "Client is not authenticated")
            }
            BankError::NoAccess => (StatusCode::FORBIDDEN, "KFR-002", "Client has no access"),
            BankError::WrongOrganization => (StatusCode::FORBIDDEN, "KFR-003", "Wrong organisation number"),
            BankError::InvalidRequest => (StatusCode::BAD_REQUEST, "KFR-004", "Invalid request"),
            BankError::InvalidCustomer => (StatusCode::BAD_REQUEST, "KFR-005", "Invalid customer identifier"),
            BankError::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "KFR-007", "Internal error"),
            BankError::NotFound => (StatusCode::NOT_FOUND, "KFR-008", "Not found"),
            BankError::InvalidType => (StatusCode::BAD_REQUEST, "KFR-009", "Invalid relationship type"),
            BankError::InvalidDate => (StatusCode::BAD_REQUEST, "KFR-010", "Invalid date"),
            BankError::Conflict => (StatusCode::CONFLICT, "KFR-011", "Conflict"),
            BankError::Rejected => (StatusCode::UNPROCESSABLE_ENTITY, "KFR-012", "Delivery rejected"),
            BankError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "KFR-013", "Request too large"),
            BankError::TooSlow => (StatusCode::REQUEST_TIMEOUT, "KFR-014", "Request too slow"),
            BankError::TooMany => (StatusCode::TOO_MANY_REQUESTS, "KFR-015", "Too many requests"),
            BankError::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "KFR-016",
                "Temporarily unavailable",
            ),
        };
        Self::new(status, code, message)
    }
}

impl From<&BankRefusal> for Problem {
    fn from(refusal: &BankRefusal) -> Self {
        match refusal {
            BankRefusal::MissingScope(wanted) => Self::bank(BankError::NoAccess).demanding(wanted),
            BankRefusal::NotParticipating => Self::bank(BankError::NoAccess),
            BankRefusal::OtherBank => Self::bank(BankError::WrongOrganization),
            BankRefusal::InvalidRequest(details) => {
                Self::bank(BankError::InvalidRequest).with(details.clone())
            }
            BankRefusal::InvalidCustomer(details) => {
                Self::bank(BankError::InvalidCustomer).with(details.clone())
            }
            BankRefusal::InvalidType(details) => Self::bank(BankError::InvalidType).with(details.clone()),
            BankRefusal::InvalidDate(details) => Self::bank(BankError::InvalidDate).with(details.clone()),
            BankRefusal::NothingRuns | BankRefusal::NoSuchDelivery => Self::bank(BankError::NotFound),
            BankRefusal::Conflict(conflict) => Self {
                passes: matches!(conflict, Conflict::Running(_)),
                ..Self::bank(BankError::Conflict).with(vec![at_odds(conflict)])
            },
            BankRefusal::Busy(busy) => busy_now(*busy),
            BankRefusal::TooLarge(details) => Self::bank(BankError::TooLarge).with(details.clone()),
            BankRefusal::TooSlow(details) => Self::bank(BankError::TooSlow).with(details.clone()),
            BankRefusal::Rejected(_) => Self::bank(BankError::Rejected),
            BankRefusal::Failed(cause) => Self::bank(failed(cause)),
            BankRefusal::Published(refusal) => Self::from(refusal),
        }
    }
}

/// What a delivery is at odds with, and what to do.
fn at_odds(conflict: &Conflict) -> Detail {
    let parameter = match conflict {
        Conflict::Running(_) => "register",
        Conflict::KeyReused(_) => "Idempotency-Key",
        Conflict::Sequence { .. } => "Delivery-Sequence",
        Conflict::Shrink { .. } => "confirmShrink",
        Conflict::NotLatest | Conflict::NothingBefore | Conflict::RollbackTimeOver => "deliveryID",
        Conflict::LaterChanges(_) => "discardLaterChanges",
    };
    Detail::said(parameter, conflict.to_string())
}

/// What is under way, to be waited for.
fn busy_now(busy: Busy) -> Problem {
    let (error, reason) = match busy {
        Busy::Bank { batches_per_bank } => (
            BankError::TooMany,
            format!(
                "{batches_per_bank} batches or repeated deliveries of the bank are under way; wait for one to end."
            ),
        ),
        Busy::All => (
            BankError::Unavailable,
            "As many deliveries are under way as are taken at once; send it again.".to_owned(),
        ),
    };
    Problem::bank(error).with(vec![Detail::said("body", reason)])
}

/// What a bank can wait out is 503; what it cannot is 500.
fn failed(cause: &DeliveryError) -> BankError {
    match cause {
        DeliveryError::Store(StoreError::Damaged(_)) | DeliveryError::Panicked => BankError::Internal,
        DeliveryError::Store(_)
        | DeliveryError::Scratch(_)
        | DeliveryError::DiskFull { .. }
        | DeliveryError::TimedOut => BankError::Unavailable,
    }
}
