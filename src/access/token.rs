//! Verification of one access token. Pure: token, keys, rules and `now` in, the caller or the fault out.
//!
//! The library is used for the signature alone. Its defaults for claims are lax (60 s of leeway, `nbf`
//! unchecked, no demand on `iss`), so every claim is checked in [`claims`](super::claims).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use jsonwebtoken::Algorithm;
use serde_json::{Map, Value};

pub use super::claims::{Claim, TokenRules, Validity, Verified};
use super::keys::Keys;
use super::{claims, unique_json};

/// Longest token taken, in bytes.
pub const MAX_TOKEN_BYTES: usize = 8 * 1024;

/// One of the three parts of a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Header,
    Claims,
    Signature,
}

/// Why a token is refused. Never carries anything of the token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    #[error("the token is longer than {MAX_TOKEN_BYTES} bytes")]
    TooLarge,
    #[error("the token does not have three parts")]
    NotThreeParts,
    #[error("the token's {0:?} part cannot be read")]
    Malformed(Part),
    #[error("the token is not signed with RS256, RS384 or RS512")]
    Algorithm,
    #[error("the token's header demands an extension (crit)")]
    CriticalExtension,
    #[error("the token's key is not in the issuer's key set")]
    UnknownKey,
    #[error("the token's signature is wrong")]
    Signature,
    /// The signature is good, a claim is not.
    #[error("the token's claim {} is missing or wrong", .0.name())]
    Claim(Claim),
}

impl TokenFault {
    /// Whether newer keys may mend it: the issuer has another key, or another one under the same name.
    pub fn may_be_of_newer_keys(&self) -> bool {
        matches!(self, Self::UnknownKey | Self::Signature)
    }

    /// The name of the claim at fault, which a caller may be told: only a token whose signature was found
    /// good has one.
    pub fn claim(&self) -> Option<&'static str> {
        match self {
            Self::Claim(claim) => Some(claim.name()),
            Self::TooLarge
            | Self::NotThreeParts
            | Self::Malformed(_)
            | Self::Algorithm
            | Self::CriticalExtension
            | Self::UnknownKey
            | Self::Signature => None,
        }
    }
}

/// Verifies one token.
///
/// # Errors
/// The first fault, in the order size, parts, header, key, signature, claims.
pub fn verify(
    token: &str,
    keys: &Keys,
    rules: &TokenRules,
    now: DateTime<Utc>,
) -> Result<Verified, TokenFault> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(TokenFault::TooLarge);
    }
    let parts = Parts::split(token).ok_or(TokenFault::NotThreeParts)?;
    let header = Header::parse(parts.header)?;
    let key = keys.find(&header.kid).ok_or(TokenFault::UnknownKey)?;
    match key.verify(parts.signed, parts.signature, header.algorithm) {
        Some(true) => {}
        Some(false) => return Err(TokenFault::Signature),
        None => return Err(TokenFault::Malformed(Part::Signature)),
    }
    let claims = json_object(parts.claims).ok_or(TokenFault::Malformed(Part::Claims))?;
    claims::check(&claims, rules, now).map_err(TokenFault::Claim)
}

struct Parts<'a> {
    header: &'a str,
    claims: &'a str,
    signature: &'a str,
    /// Header and claims with the dot between them: what the signature stands for.
    signed: &'a str,
}

impl<'a> Parts<'a> {
    fn split(token: &'a str) -> Option<Self> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        (!claims.contains('.')).then_some(Self {
            header,
            claims,
            signature,
            signed,
        })
    }
}

/// What is believed of a header: which algorithm, which key. `jku`, `x5u`, `jwk` and `x5c`, which would
/// let a token bring its own key, are never looked at.
struct Header {
    algorithm: Algorithm,
    kid: String,
}

impl Header {
    fn parse(text: &str) -> Result<Self, TokenFault> {
        let mut members = json_object(text).ok_or(TokenFault::Malformed(Part::Header))?;
        let algorithm = match members.get("alg").and_then(Value::as_str) {
            Some("RS256") => Algorithm::RS256,
            Some("RS384") => Algorithm::RS384,
            Some("RS512") => Algorithm::RS512,
            _ => return Err(TokenFault::Algorithm),
        };
        if members.contains_key("crit") {
            return Err(TokenFault::CriticalExtension);
        }
        match members.remove("kid") {
            Some(Value::String(kid)) => Ok(Self { algorithm, kid }),
            _ => Err(TokenFault::Malformed(Part::Header)),
        }
    }
}

fn json_object(base64url: &str) -> Option<Map<String, Value>> {
    let bytes = URL_SAFE_NO_PAD.decode(base64url).ok()?;
    unique_json::parse_object(&bytes).ok()
}

#[cfg(test)]
mod tests;
