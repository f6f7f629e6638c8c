//! Answers to authenticated calls: built from what is recorded, and from nothing else.

use super::error::Problem;
use super::request::{Mount, arrival_of};
use crate::domain::participants::Coverage;
use crate::record::{Recorded, Unrecorded};
use crate::register::lookup::Refusal;
use actix_web::body::BoxBody;
use actix_web::http::StatusCode;
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, HttpResponse, Responder, ResponseError};
use std::fmt;

/// `Register-Coverage`: `complete`, or what is not known.
pub const REGISTER_COVERAGE: HeaderName = HeaderName::from_static("register-coverage");

/// The answer of a handler whose call was authenticated. [`routes`](super::routes) takes no other; there is
/// no way to make one but from a [`Recorded`] value, or as the 503 that says that nothing could be recorded.
pub struct Answer(HttpResponse);

impl Answer {
    /// The answer that follows from a recorded conclusion; `unrecorded` is the family's 503.
    pub fn of<T>(
        recorded: Result<Recorded<T>, Unrecorded>,
        request: &HttpRequest,
        unrecorded: Problem,
        respond: impl FnOnce(T) -> HttpResponse,
    ) -> Self {
        match recorded {
            Ok(recorded) => Self(respond(recorded.into_answer())),
            Err(cause) => {
                log_unrecorded(&cause);
                Self(respond_to(request, unrecorded))
            }
        }
    }

    /// The answer to a recorded lookup: what was found, or the refusal.
    pub fn to_lookup<T>(
        recorded: Result<Recorded<Result<T, Refusal>>, Unrecorded>,
        request: &HttpRequest,
        found: impl FnOnce(T) -> HttpResponse,
    ) -> Self {
        Self::of(
            recorded,
            request,
            Problem::UNAVAILABLE,
            |conclusion| match conclusion {
                Ok(answer) => found(answer),
                Err(refusal) => refused(request, &refusal),
            },
        )
    }
}

impl Responder for Answer {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.0
    }
}

fn log_unrecorded(cause: &Unrecorded) {
    tracing::error!(%cause, "a call is refused because it cannot be recorded");
}

/// An extractor's refusal: nobody was authenticated, the refusal is recorded already or will be with others, or nothing can
/// be recorded.
pub struct Rejection(Problem, uuid::Uuid, bool);

impl Rejection {
    fn new(request: &HttpRequest, problem: Problem) -> Self {
        Self(
            problem,
            arrival_of(request).correlation,
            Mount::of(request).repeats_401(),
        )
    }

    /// Nobody was authenticated, so there is nobody to record.
    pub fn unauthenticated(request: &HttpRequest, problem: Problem) -> Self {
        Self::new(request, problem)
    }

    /// The consumer was refused too often in this minute: its calls share an entry, written when the minute is over.
    pub fn turned_away(request: &HttpRequest, problem: Problem) -> Self {
        Self::new(request, problem)
    }

    /// A part of the server is missing.
    pub fn defect(request: &HttpRequest) -> Self {
        Self::new(request, Problem::DEFECT)
    }

    /// Refused after authentication, and recorded; `unrecorded` is the family's 503.
    pub fn recorded<T>(
        recorded: Result<Recorded<T>, Unrecorded>,
        request: &HttpRequest,
        unrecorded: Problem,
        problem: impl FnOnce(T) -> Problem,
    ) -> Self {
        match recorded {
            Ok(recorded) => Self::new(request, problem(recorded.into_answer())),
            Err(cause) => {
                log_unrecorded(&cause);
                Self::new(request, unrecorded)
            }
        }
    }
}

impl fmt::Debug for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.code)
    }
}

impl ResponseError for Rejection {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    fn error_response(&self) -> HttpResponse {
        self.0.clone().respond(self.1, self.2)
    }
}

/// The error as a response to a request.
pub fn respond_to(request: &HttpRequest, problem: Problem) -> HttpResponse {
    problem.respond(arrival_of(request).correlation, Mount::of(request).repeats_401())
}

fn refused(request: &HttpRequest, refusal: &Refusal) -> HttpResponse {
    let mut response = respond_to(request, Problem::from(refusal));
    if let Refusal::UnknownAccount(coverage) = refusal {
        tell_coverage(&mut response, Mount::of(request), coverage);
    }
    response
}

/// Tells what the answer does not know. Only under `/v2`.
pub fn tell_coverage(response: &mut HttpResponse, mount: Mount, coverage: &Coverage) {
    if mount == Mount::V2
        && let Ok(value) = HeaderValue::from_str(&coverage_text(coverage))
    {
        response.headers_mut().insert(REGISTER_COVERAGE, value);
    }
}

fn coverage_text(coverage: &Coverage) -> String {
    let parts = [
        ("stale", coverage.stale),
        ("notLoaded", coverage.not_loaded),
        ("beforeCoverage", coverage.before_coverage),
        ("unknownOwnership", coverage.unknown_ownership),
        ("beforeRetention", usize::from(coverage.before_retention)),
    ];
    let unknown: Vec<String> = parts
        .iter()
        .filter(|(_, count)| *count > 0)
        .map(|(part, count)| format!("; {part}={count}"))
        .collect();
    if unknown.is_empty() {
        "complete".to_owned()
    } else {
        format!("incomplete{}", unknown.concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coverage_names_only_what_is_unknown() {
        assert_eq!(coverage_text(&Coverage::default()), "complete");
        let coverage = Coverage {
            stale: 1,
            not_loaded: 0,
            before_coverage: 2,
            unknown_ownership: 3,
            before_retention: true,
        };
        assert_eq!(
            coverage_text(&coverage),
            "incomplete; stale=1; beforeCoverage=2; unknownOwnership=3; beforeRetention=1"
        );
    }
}
