//! Sends a delivery until it is answered: again after a passing failure, with the same key.

use super::upload::Upload;
use crate::access::outbound::{self, OutboundError};
use crate::cli::Failure;
use crate::cli::client::{Credentials, TokenError, is_passing};
use crate::cli::out;
use crate::cli::progress::Sending;
use chrono::{DateTime, Utc};
use reqwest::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode};
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use uuid::Uuid;

/// Longest time in which the service takes nothing of the body.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait for the receipt once all is sent: the service sorts a set and puts it in force before it answers.
const RECEIPT_TIMEOUT: Duration = Duration::from_secs(30 * 60);
/// The wait before the second attempt; it doubles with each one more.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// The longest wait that the service can ask for.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);
/// Longest answer taken, in bytes: a receipt and 1,000 rejects.
const MAX_ANSWER_BYTES: usize = 4 * 1024 * 1024;

/// What the service said.
pub struct Answer {
    pub status: StatusCode,
    /// `null` if it was no JSON.
    pub body: Value,
    retry_after: Option<Duration>,
}

impl Answer {
    /// Whether another attempt may be answered otherwise. A conflict passes if the service says when, as while
    /// the attempt before, of which the connection broke, is still being taken.
    fn is_passing(&self) -> bool {
        is_passing(self.status) || self.status == StatusCode::CONFLICT && self.retry_after.is_some()
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum AttemptError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error(transparent)]
    Call(#[from] OutboundError),
    #[error("the service did not go on within {} s", .0.as_secs())]
    Stalled(Duration),
}

impl From<reqwest::Error> for AttemptError {
    fn from(cause: reqwest::Error) -> Self {
        // The address is known, and would stand before the cause.
        Self::Call(cause.without_url().into())
    }
}

impl AttemptError {
    fn is_passing(&self) -> bool {
        match self {
            Self::Token(cause) => cause.may_pass(),
            Self::Call(OutboundError::Call(cause)) => !cause.is_builder(),
            Self::Call(OutboundError::TooLarge(_)) => false,
            Self::Stalled(_) => true,
        }
    }
}

/// A delivery to be sent, as often as it takes.
pub struct Delivery<'a, Request: Fn() -> RequestBuilder> {
    /// The call without token and body.
    pub request: Request,
    pub credentials: &'a Credentials,
    pub scope: &'a str,
    pub upload: &'a Upload,
    pub progress: Sending,
    pub attempts: u32,
}

impl<Request: Fn() -> RequestBuilder> Delivery<'_, Request> {
    /// The first answer that stands, or the last one.
    pub async fn deliver(&self) -> Result<Answer, Failure> {
        let mut attempt = 1;
        loop {
            let outcome = self.attempt().await;
            let is_last = attempt >= self.attempts;
            let (setback, retry_after) = match outcome {
                Ok(answer) if is_last || !answer.is_passing() => return Ok(answer),
                Err(cause) if is_last || !cause.is_passing() => return Err(cause.into()),
                Ok(answer) => (format!("status {}", answer.status.as_u16()), answer.retry_after),
                Err(cause) => (cause.to_string(), None),
            };
            let pause = retry_after.unwrap_or_else(|| backoff(attempt));
            attempt += 1;
            self.progress.bar.suspend(|| {
                out::tell(format_args!(
                    "{setback}; attempt {attempt} of {} follows in {:.1} s",
                    self.attempts,
                    pause.as_secs_f32()
                ));
            });
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(&self) -> Result<Answer, AttemptError> {
        // Tokens may live shorter than an attempt, so each gets its own.
        let token = self.credentials.token(self.scope).await?;
        let sent = Arc::new(AtomicU64::new(0));
        self.progress.begin();
        let mut request = (self.request)()
            .bearer_auth(token)
            .header("CorrelationID", Uuid::new_v4().to_string())
            .header(CONTENT_LENGTH, self.upload.length())
            .body(self.upload.body(Arc::clone(&sent), self.progress.clone()));
        if let Some(encoding) = self.upload.encoding() {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        tokio::select! {
            answer = ask(request) => answer,
            stalled = self.watch(&sent) => Err(stalled),
        }
    }

    /// Returns when nothing has moved for too long.
    async fn watch(&self, sent: &AtomicU64) -> AttemptError {
        loop {
            let before = sent.load(Ordering::Relaxed);
            let patience = match before < self.upload.length() {
                true => STALL_TIMEOUT,
                false => RECEIPT_TIMEOUT,
            };
            tokio::time::sleep(patience).await;
            if sent.load(Ordering::Relaxed) == before {
                return AttemptError::Stalled(patience);
            }
        }
    }
}

async fn ask(request: RequestBuilder) -> Result<Answer, AttemptError> {
    let mut response = request.send().await?;
    let body = outbound::read(&mut response, MAX_ANSWER_BYTES).await?;
    Ok(Answer {
        status: response.status(),
        body: serde_json::from_slice(&body).unwrap_or_default(),
        retry_after: retry_after(response.headers(), Utc::now()),
    })
}

/// `Retry-After`, in seconds or as a date, within bounds.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?;
    let pause = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let until = DateTime::parse_from_rfc2822(text).ok()?;
            until.signed_duration_since(now).to_std().unwrap_or_default()
        }
    };
    Some(pause.min(LONGEST_RETRY_AFTER))
}

/// The wait after an attempt, counted from 1.
fn backoff(attempt: u32) -> Duration {
    let doubled = 2u32.saturating_pow(attempt - 1);
    FIRST_PAUSE.saturating_mul(doubled).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    #[test]
    fn pauses_double_up_to_a_bound() {
        let pauses: Vec<u128> = [1, 2, 3, 4, 7, 8, 100].map(|n| backoff(n).as_millis()).into();
        assert_eq!(pauses, [500, 1000, 2000, 4000, 32_000, 60_000, 60_000]);
    }

    #[test]
    fn the_service_says_when_in_seconds_or_by_a_date() {
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        for (text, seconds) in [
            ("0", Some(0)),
            ("17", Some(17)),
            ("86400", Some(600)),
            ("Fri, 20 Nov 2026 12:00:30 GMT", Some(30)),
            ("Fri, 20 Nov 2026 11:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
        ] {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, HeaderValue::from_static(text))]);
            assert_eq!(
                retry_after(&headers, now),
                seconds.map(Duration::from_secs),
                "{text}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }
}
