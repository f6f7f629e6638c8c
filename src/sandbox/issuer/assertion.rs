//! The signed assertion with which a client asks for a token (RFC 7523, as Maskinporten profiles it).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use serde::Deserialize;

/// Longest lifetime of an assertion, in seconds.
const MAX_ASSERTION_SECONDS: f64 = 120.0;
/// Slack for clocks that differ, in seconds.
const LEEWAY_SECONDS: u32 = 10;
/// Most assertions held against replay at once.
const MAX_SEEN: usize = 10_000;

/// The claims of an assertion whose signature, audience and times were found good.
#[derive(Deserialize)]
pub(super) struct Assertion {
    /// The client's id.
    pub iss: String,
    pub scope: String,
    pub resource: Option<String>,
    pub consumer_org: Option<String>,
    jti: String,
    iat: f64,
    exp: f64,
}

impl Assertion {
    /// Reads an assertion made out to `issuer`; the reason when it is refused.
    pub fn verify(text: &str, key: &DecodingKey, issuer: &str, now: f64) -> Result<Self, &'static str> {
        let mut rules = Validation::new(Algorithm::RS256);
        rules.leeway = u64::from(LEEWAY_SECONDS);
        rules.validate_nbf = true;
        rules.set_audience(&[issuer]);
        rules.set_required_spec_claims(&["iss", "aud", "exp"]);
        let assertion = jsonwebtoken::decode::<Self>(text, key, &rules)
            .map_err(
                |_| "the assertion's form, signature, aud or exp is wrong, or iat, jti or scope is missing",
            )?
            .claims;
        if assertion.iat > now + f64::from(LEEWAY_SECONDS) {
            return Err("iat is in the future");
        }
        if assertion.exp - assertion.iat > MAX_ASSERTION_SECONDS {
            return Err("the assertion lives longer than 120 seconds");
        }
        Ok(assertion)
    }
}

/// The `jti`s of assertions that are still in time, each with the second at which it no longer is.
#[derive(Default)]
pub(super) struct SeenAssertions(Mutex<HashMap<String, f64>>);

impl SeenAssertions {
    /// Notes an assertion; the reason when it was seen before, or too many are in time at once.
    pub fn note(&self, assertion: &Assertion, now: f64) -> Result<(), &'static str> {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, in_time_until| *in_time_until >= now);
        if seen.contains_key(&assertion.jti) {
            return Err("the assertion's jti was used before");
        }
        if seen.len() >= MAX_SEEN {
            return Err("too many assertions at once");
        }
        seen.insert(
            assertion.jti.clone(),
            assertion.exp + f64::from(LEEWAY_SECONDS) + 1.0,
        );
        Ok(())
    }
}
