//! The errors of each kind of operation, as the document shows them.

use crate::http::deliveries::receipt::RejectedBody;
use crate::http::error::ErrorBody;
use utoipa::IntoResponses;

/// Errors of the agencies' operations.
#[derive(IntoResponses)]
pub enum LookupErrors {
    /// ERR-002 `CustomerID`, ERR-003 period, ERR-004 `AccountID`, ERR-005 anything else. The first of the
    /// broken rules gives the code, `details` name them all.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// ERR-001: no token, or one that fails a check.
    #[response(status = 401, headers(("WWW-Authenticate" = String, description = "`Bearer error=\"invalid_token\"`, and the failed claim once the signature was good.")))]
    NotAuthenticated(ErrorBody),
    /// ERR-001: the scope is missing. ERR-007, lookups only: outside the terms of the caller's DSOP services;
    /// `details` name the term that fails.
    #[response(status = 403)]
    NotAuthorized(ErrorBody),
    /// ERR-009: GET only.
    #[response(status = 405, headers(("Allow" = String, description = "What is allowed.")))]
    Method(ErrorBody),
    /// ERR-009: `Accept` does not admit JSON.
    #[response(status = 406)]
    NotAcceptable(ErrorBody),
    /// ERR-009: the headers are too large.
    #[response(status = 431)]
    TooLarge(ErrorBody),
    /// ERR-010: the consumer's rate, or its customers of the day, are used up, or it was refused too often in this minute.
    #[response(status = 429, headers(("Retry-After" = u32, description = "Seconds.")))]
    TooMany(ErrorBody),
    /// ERR-500: a defect; the log has the cause under the same correlation id.
    #[response(status = 500)]
    Defect(ErrorBody),
    /// ERR-503: the store, the record of use or the issuer's keys are not there.
    #[response(status = 503, headers(("Retry-After" = u32, description = "Seconds.")))]
    Unavailable(ErrorBody),
    /// ERR-504: the store did not answer in time.
    #[response(status = 504)]
    TimedOut(ErrorBody),
}

/// What only the account lookup can answer.
#[derive(IntoResponses)]
pub enum AccountErrors {
    /// ERR-006: no bank services the account, as far as `Register-Coverage` says.
    #[response(status = 404, headers(("Register-Coverage" = String, description = "`complete`, or `incomplete; stale=N; notLoaded=N`: so many banks. Only the parts above zero.")))]
    Unknown(ErrorBody),
}

/// Errors of the banks' operations.
#[derive(IntoResponses)]
pub enum BankErrors {
    /// KFR-004 invalid request, KFR-005 invalid customer, KFR-009 invalid type, KFR-010 invalid date.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// KFR-001: no token, or one that fails a check.
    #[response(status = 401, headers(("WWW-Authenticate" = String, description = "`Bearer error=\"invalid_token\"`, and the failed claim once the signature was good.")))]
    NotAuthenticated(ErrorBody),
    /// KFR-002 no access, KFR-003 wrong organisation number.
    #[response(status = 403)]
    NotAuthorized(ErrorBody),
    /// ERR-009: another method.
    #[response(status = 405, headers(("Allow" = String, description = "What is allowed.")))]
    Method(ErrorBody),
    /// ERR-009: the headers are too large.
    #[response(status = 431)]
    HeadersTooLarge(ErrorBody),
    /// KFR-015: the caller was refused too often in this minute, or the bank has as many batches or deliveries sent again
    /// under way as it may.
    #[response(status = 429, headers(("Retry-After" = u32, description = "Seconds.")))]
    TooMany(ErrorBody),
    /// KFR-007: a defect.
    #[response(status = 500)]
    Defect(ErrorBody),
    /// KFR-016: nothing was acknowledged; try again.
    #[response(status = 503, headers(("Retry-After" = u32, description = "Seconds.")))]
    Unavailable(ErrorBody),
}

/// What only the ending call can answer.
#[derive(IntoResponses)]
pub enum KfrEndErrors {
    /// KFR-008: no registration of the customer runs.
    #[response(status = 404)]
    NothingRuns(ErrorBody),
}

/// What only a batch can answer.
#[derive(IntoResponses)]
pub enum BatchErrors {
    /// KFR-014: the pause between two pieces of the body was too long.
    #[response(status = 408)]
    TooSlow(ErrorBody),
    /// KFR-013: the body is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
}

/// What only a streamed delivery can answer.
#[derive(IntoResponses)]
pub enum DeliveryErrors {
    /// KFR-014: the pause between two pieces of the body was too long.
    #[response(status = 408)]
    TooSlow(ErrorBody),
    /// KFR-011: another delivery is under way, the key or sequence was used, or the set shrinks too much;
    /// `details` say which, and what to do.
    #[response(status = 409)]
    Conflict(ErrorBody),
    /// KFR-013: the body or a line is too large.
    #[response(status = 413)]
    TooLarge(ErrorBody),
    /// KFR-012: too many lines are bad; what stood stands.
    #[response(status = 422)]
    Rejected(Box<RejectedBody>),
}

/// What only calls that name a delivery can answer.
#[derive(IntoResponses)]
pub enum NotFoundErrors {
    /// KFR-008: the bank has no such delivery.
    #[response(status = 404)]
    NotFound(ErrorBody),
}

/// What only a rollback can answer.
#[derive(IntoResponses)]
pub enum ConflictErrors {
    /// KFR-011: not the latest published whole set, too long ago, or later changes would be lost; `details` say which.
    #[response(status = 409)]
    Conflict(ErrorBody),
}

/// The published errors of the reading call: ERR-001, ERR-002 and ERR-003.
#[derive(IntoResponses)]
pub enum PublishedReadErrors {
    /// ERR-002 `CustomerID`, ERR-003 period.
    #[response(status = 400)]
    Invalid(ErrorBody),
    /// ERR-001: no token, or one that fails a check.
    #[response(status = 401, headers(("WWW-Authenticate" = String, description = "`Bearer error=\"invalid_token\"`, and the failed claim once the signature was good.")))]
    NotAuthenticated(ErrorBody),
    /// ERR-001: the scope is missing, or the institution is another.
    #[response(status = 403)]
    NotAuthorized(ErrorBody),
    /// ERR-009: another method.
    #[response(status = 405, headers(("Allow" = String, description = "What is allowed.")))]
    Method(ErrorBody),
    /// ERR-009: the headers are too large.
    #[response(status = 431)]
    HeadersTooLarge(ErrorBody),
    /// KFR-015: the caller was refused too often in this minute, or the bank has as many batches or deliveries sent again
    /// under way as it may.
    #[response(status = 429, headers(("Retry-After" = u32, description = "Seconds.")))]
    TooMany(ErrorBody),
    /// ERR-500: a defect.
    #[response(status = 500)]
    Defect(ErrorBody),
    /// ERR-503: try again.
    #[response(status = 503, headers(("Retry-After" = u32, description = "Seconds.")))]
    Unavailable(ErrorBody),
}
