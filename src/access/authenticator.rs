//! From the `Authorization` header to the caller.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use metrics::{Counter, Unit};

use super::caller::Caller;
use super::key_set::{KeySet, Remembered};
use super::token::{self, TokenFault, TokenRules};

/// Counter, by `result`: `hit` (remembered), `miss` (verified now), `refused`.
pub const TOKEN_CACHE_METRIC: &str = "kundeforhold_token_cache_total";

/// Why a request has no caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthenticationError {
    #[error("there is no access token")]
    Missing,
    #[error("there is no one Bearer token")]
    Unreadable,
    #[error(transparent)]
    Token(#[from] TokenFault),
    /// Nobody can be authenticated now: no keys yet, or none for too long.
    #[error("the issuer's keys are not at hand")]
    KeysUnavailable,
}

/// Verifies access tokens with the keys at hand, and remembers those it has verified.
pub struct Authenticator {
    key_set: Arc<KeySet>,
    rules: TokenRules,
    hits: Counter,
    misses: Counter,
    refusals: Counter,
}

impl Authenticator {
    /// Metrics go to the recorder that is installed by now.
    pub fn new(key_set: Arc<KeySet>, rules: TokenRules) -> Self {
        metrics::describe_counter!(TOKEN_CACHE_METRIC, Unit::Count, "Access tokens judged, by result");
        Self {
            key_set,
            rules,
            hits: metrics::counter!(TOKEN_CACHE_METRIC, "result" => "hit"),
            misses: metrics::counter!(TOKEN_CACHE_METRIC, "result" => "miss"),
            refusals: metrics::counter!(TOKEN_CACHE_METRIC, "result" => "refused"),
        }
    }

    /// The caller behind the text of an `Authorization` header. A token whose key is unknown, or is
    /// not what has signed it, may wait for a fetch of keys, at most `wait_timeout`; nothing else waits.
    ///
    /// # Errors
    /// Without one token, with one that fails any check, or when there are no keys to check it with.
    pub async fn authenticate(
        &self,
        authorization: Option<&str>,
    ) -> Result<Arc<Caller>, AuthenticationError> {
        let authorization = authorization.ok_or(AuthenticationError::Missing)?;
        let token = token_in(authorization).ok_or(AuthenticationError::Unreadable)?;
        let mut outcome = self.judge(token, Utc::now());
        if matches!(&outcome, Err(AuthenticationError::Token(fault)) if fault.may_be_of_newer_keys()) {
            self.key_set.newer_keys().await;
            outcome = self.judge(token, Utc::now());
        }
        if let Err(AuthenticationError::Token(_)) = outcome {
            self.refusals.increment(1);
        }
        outcome
    }

    fn judge(&self, token: &str, now: DateTime<Utc>) -> Result<Arc<Caller>, AuthenticationError> {
        let current = self.key_set.current();
        let snapshot = current.as_ref().and_then(|current| current.as_ref());
        let snapshot = snapshot.ok_or(AuthenticationError::KeysUnavailable)?;
        if let Some(remembered) = snapshot.remembered.get(token) {
            let in_time = remembered.validity.check(now, self.rules.leeway_seconds);
            in_time.map_err(TokenFault::Claim)?;
            self.hits.increment(1);
            return Ok(remembered.caller);
        }
        let verified = token::verify(token, &snapshot.keys, &self.rules, now)?;
        self.misses.increment(1);
        let caller = Arc::new(verified.caller);
        let remembered = Remembered {
            caller: Arc::clone(&caller),
            validity: verified.validity,
        };
        snapshot.remembered.insert(token, remembered);
        Ok(caller)
    }
}

/// The token after `Bearer` in any letter case, or the whole text when it is one word: a caller in
/// production sends its token without a scheme.
fn token_in(authorization: &str) -> Option<&str> {
    const BLANKS: [char; 2] = [' ', '\t'];
    let is_bearer = |word: &str| word.eq_ignore_ascii_case("Bearer");
    let text = authorization.trim_matches(BLANKS);
    match text.split_once(BLANKS) {
        Some((scheme, token)) => is_bearer(scheme).then(|| token.trim_start_matches(BLANKS)),
        None => (!text.is_empty() && !is_bearer(text)).then_some(text),
    }
}

#[cfg(test)]
mod tests;
