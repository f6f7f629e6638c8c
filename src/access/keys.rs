//! The issuer's public keys, read from a JWKS document (RFC 7517). Only what may verify a token is kept.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use serde_json::Value;

use super::unique_json;

/// Most keys a document may hold.
pub const MAX_KEYS: usize = 64;
/// The strength of an RSA key, in bits of its modulus.
const MODULUS_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// Longest public exponent, in bytes.
const MAX_EXPONENT_BYTES: usize = 4;

/// The keys by their `kid`. Two sets are equal when they verify the same tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys(BTreeMap<String, RsaKey>);

/// A key document, read.
#[derive(Debug)]
pub struct KeyDocument {
    /// Never empty.
    pub keys: Keys,
    /// Entries that are not trusted here.
    pub skipped: Vec<Skipped>,
}

/// An entry of a key set that verifies no token here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// Counted from 1.
    place: usize,
    kid: Option<String>,
    reason: Unusable,
}

/// Longest name of a key that is told.
const MOST_KID_CHARS: usize = 64;

impl fmt::Display for Skipped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "key {}", self.place)?;
        if let Some(kid) = &self.kid {
            let kid: String = kid.chars().take(MOST_KID_CHARS).collect();
            write!(f, " ({kid:?})")?;
        }
        write!(f, " {}", self.reason)
    }
}

/// Why an entry verifies nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    #[error("is no JSON object")]
    NoObject,
    #[error("is no RSA key (kty)")]
    KeyType,
    #[error("is for another use than signatures (use)")]
    Use,
    #[error("is not for verifying (key_ops)")]
    Operations,
    #[error("is for another algorithm than RS256, RS384 and RS512 (alg)")]
    Algorithm,
    #[error("is a private key, and so is known to others")]
    Private,
    #[error("has no name (kid)")]
    KeyId,
    #[error("has a modulus (n) that is no base64url number")]
    Modulus,
    #[error("has {0} bits, and must have 2048 to 8192")]
    Strength(usize),
    #[error("has an exponent (e) that is no odd number above 1 of at most 4 bytes")]
    Exponent,
    #[error("has the name (kid) of another key")]
    Ambiguous,
}

/// Why a document is no key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeySet {
    #[error("the key set is not one JSON object without doubled members: {0}")]
    Malformed(String),
    #[error("the key set has no list `keys`")]
    NoList,
    #[error("the key set holds {0} keys, more than {MAX_KEYS}")]
    TooMany(usize),
    #[error("the key set holds no key that may verify a token: {}", listed(.0))]
    NoneUsable(Vec<Skipped>),
}

/// All of them in one line.
pub(super) fn listed(skipped: &[Skipped]) -> String {
    match skipped {
        [] => "it is empty".to_owned(),
        skipped => {
            let told: Vec<String> = skipped.iter().map(ToString::to_string).collect();
            told.join("; ")
        }
    }
}

impl Keys {
    /// Reads a document. The `alg` of a key is not held against RS384 and RS512 tokens: the issuer
    /// publishes one key for all three.
    ///
    /// # Errors
    /// When the document is malformed, holds more than [`MAX_KEYS`] entries or no usable key.
    pub fn parse(document: &[u8]) -> Result<KeyDocument, InvalidKeySet> {
        let members = unique_json::parse_object(document)
            .map_err(|cause| InvalidKeySet::Malformed(cause.to_string()))?;
        let entries = members
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(InvalidKeySet::NoList)?;
        if entries.len() > MAX_KEYS {
            return Err(InvalidKeySet::TooMany(entries.len()));
        }
        let (mut usable, mut skipped) = (Vec::new(), Vec::new());
        for (place, entry) in (1..).zip(entries) {
            match usable_key(entry) {
                Ok((kid, key)) => usable.push((place, kid, key)),
                Err(reason) => skipped.push(Skipped {
                    place,
                    kid: entry.get("kid").and_then(Value::as_str).map(str::to_owned),
                    reason,
                }),
            }
        }
        let keys = by_kid(usable, &mut skipped);
        match keys.is_empty() {
            true => Err(InvalidKeySet::NoneUsable(skipped)),
            false => Ok(KeyDocument {
                keys: Self(keys),
                skipped,
            }),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn find(&self, kid: &str) -> Option<&RsaKey> {
        self.0.get(kid)
    }
}

/// A `kid` on two different keys could be either: both are left out.
fn by_kid(usable: Vec<(usize, String, RsaKey)>, skipped: &mut Vec<Skipped>) -> BTreeMap<String, RsaKey> {
    let is_ambiguous = |kid: &str, key: &RsaKey| {
        let mut others = usable.iter().filter(|(_, other, _)| other == kid);
        others.any(|(.., other)| other != key)
    };
    let mut keys = BTreeMap::new();
    for (place, kid, key) in &usable {
        match is_ambiguous(kid, key) {
            false => drop(keys.insert(kid.clone(), key.clone())),
            true => skipped.push(Skipped {
                place: *place,
                kid: Some(kid.clone()),
                reason: Unusable::Ambiguous,
            }),
        }
    }
    keys
}

/// The members that only private keys have (RFC 7518, sections 6.2.2, 6.3.2 and 6.4).
const PRIVATE_MEMBERS: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];
const ALGORITHMS: [&str; 3] = ["RS256", "RS384", "RS512"];

fn usable_key(entry: &Value) -> Result<(String, RsaKey), Unusable> {
    let members = entry.as_object().ok_or(Unusable::NoObject)?;
    let text = |name: &str| members.get(name).and_then(Value::as_str);
    let is_verify = |operation: &Value| operation.as_str() == Some("verify");
    let is_for_verifying =
        |operations: &Value| operations.as_array().is_some_and(|all| all.iter().any(is_verify));
    let is_ours = |algorithm: &Value| algorithm.as_str().is_some_and(|name| ALGORITHMS.contains(&name));
    let conditions = [
        (text("kty") == Some("RSA"), Unusable::KeyType),
        (
            members
                .get("use")
                .is_none_or(|usage| usage.as_str() == Some("sig")),
            Unusable::Use,
        ),
        (
            members.get("key_ops").is_none_or(is_for_verifying),
            Unusable::Operations,
        ),
        (members.get("alg").is_none_or(is_ours), Unusable::Algorithm),
        (
            !PRIVATE_MEMBERS.iter().any(|name| members.contains_key(*name)),
            Unusable::Private,
        ),
    ];
    if let Some((_, reason)) = conditions.into_iter().find(|(holds, _)| !holds) {
        return Err(reason);
    }
    let kid = text("kid").filter(|kid| !kid.is_empty()).ok_or(Unusable::KeyId)?;
    let key = RsaKey::parse(text("n").unwrap_or_default(), text("e").unwrap_or_default())?;
    Ok((kid.to_owned(), key))
}

/// An RSA public key strong enough to be believed, its numbers without leading zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RsaKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl RsaKey {
    fn parse(modulus: &str, exponent: &str) -> Result<Self, Unusable> {
        let modulus = unsigned(modulus).ok_or(Unusable::Modulus)?;
        let exponent = unsigned(exponent).ok_or(Unusable::Exponent)?;
        let bits = modulus.len() * 8 - modulus.first().map_or(0, |first| first.leading_zeros() as usize);
        // An exponent of 1 would make every text its own signature.
        let is_sound = exponent.len() <= MAX_EXPONENT_BYTES
            && exponent.last().is_some_and(|last| last % 2 == 1)
            && exponent != [1];
        match (MODULUS_BITS.contains(&bits), is_sound) {
            (true, true) => Ok(Self { modulus, exponent }),
            (false, _) => Err(Unusable::Strength(bits)),
            (true, false) => Err(Unusable::Exponent),
        }
    }

    /// Whether `signature` (base64url) stands for `signed`. `None` when it is not base64url without padding.
    pub(super) fn verify(&self, signed: &str, signature: &str, algorithm: Algorithm) -> Option<bool> {
        let key = DecodingKey::from_rsa_raw_components(&self.modulus, &self.exponent);
        jsonwebtoken::crypto::verify(signature, signed.as_bytes(), &key, algorithm).ok()
    }
}

/// A `Base64urlUInt` of RFC 7518; leading zero bytes, which it should not have, are dropped.
fn unsigned(text: &str) -> Option<Vec<u8>> {
    let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
    let start = bytes.iter().position(|byte| *byte != 0)?;
    Some(bytes[start..].to_vec())
}

#[cfg(test)]
mod tests;
