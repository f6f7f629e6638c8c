//! The issuer's public keys, read from a JWKS document (RFC 7517). Only what may verify a token is kept.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

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
    /// Entries that cannot verify a token here: another type or use, too weak, unreadable, or no `kid`.
    pub skipped: usize,
    /// `kid`s that stood on different keys, so that none of those is trusted.
    pub ambiguous: usize,
}

/// Why a document is no key set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeySet {
    #[error("the key set is not JSON of the form {{\"keys\": […]}} without doubled members")]
    Malformed,
    #[error("the key set holds more than {MAX_KEYS} keys")]
    TooMany,
    #[error("the key set holds no usable RSA signature key")]
    NoneUsable,
}

impl Keys {
    /// Reads a document. The `alg` of a key is not held against RS384 and RS512 tokens: the issuer
    /// publishes one key for all three.
    ///
    /// # Errors
    /// When the document is malformed, holds more than [`MAX_KEYS`] entries or no usable key.
    pub fn parse(document: &[u8]) -> Result<KeyDocument, InvalidKeySet> {
        let members = unique_json::parse_object(document).map_err(|_| InvalidKeySet::Malformed)?;
        let entries = members
            .get("keys")
            .and_then(Value::as_array)
            .ok_or(InvalidKeySet::Malformed)?;
        if entries.len() > MAX_KEYS {
            return Err(InvalidKeySet::TooMany);
        }
        let usable: Vec<_> = entries.iter().filter_map(usable_key).collect();
        let skipped = entries.len() - usable.len();
        let (keys, ambiguous) = by_kid(usable);
        if keys.is_empty() {
            return Err(InvalidKeySet::NoneUsable);
        }
        Ok(KeyDocument {
            keys: Self(keys),
            skipped,
            ambiguous,
        })
    }

    pub(super) fn find(&self, kid: &str) -> Option<&RsaKey> {
        self.0.get(kid)
    }
}

/// A `kid` on two different keys could be either: such a `kid` is left out. The second value counts them.
fn by_kid(usable: Vec<(String, RsaKey)>) -> (BTreeMap<String, RsaKey>, usize) {
    let mut keys: BTreeMap<String, Option<RsaKey>> = BTreeMap::new();
    for (kid, key) in usable {
        match keys.entry(kid) {
            Entry::Vacant(entry) => {
                entry.insert(Some(key));
            }
            Entry::Occupied(mut entry) if entry.get().as_ref() != Some(&key) => {
                entry.insert(None);
            }
            Entry::Occupied(_) => {}
        }
    }
    let ambiguous = keys.values().filter(|key| key.is_none()).count();
    (
        keys.into_iter()
            .filter_map(|(kid, key)| Some((kid, key?)))
            .collect(),
        ambiguous,
    )
}

fn usable_key(entry: &Value) -> Option<(String, RsaKey)> {
    let text = |name: &str| entry.get(name).and_then(Value::as_str);
    let for_signatures = entry.get("use").is_none_or(|usage| usage.as_str() == Some("sig"));
    if text("kty") != Some("RSA") || !for_signatures {
        return None;
    }
    let kid = text("kid").filter(|kid| !kid.is_empty())?;
    Some((kid.to_owned(), RsaKey::parse(text("n")?, text("e")?)?))
}

/// An RSA public key strong enough to be believed, its numbers without leading zeros.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RsaKey {
    modulus: Vec<u8>,
    exponent: Vec<u8>,
}

impl RsaKey {
    fn parse(modulus: &str, exponent: &str) -> Option<Self> {
        let (modulus, exponent) = (unsigned(modulus)?, unsigned(exponent)?);
        let bits = modulus.len() * 8 - modulus.first()?.leading_zeros() as usize;
        // An exponent of 1 would make every text its own signature.
        let sound_exponent =
            exponent.len() <= MAX_EXPONENT_BYTES && exponent.last()? % 2 == 1 && exponent != [1];
        (MODULUS_BITS.contains(&bits) && sound_exponent).then_some(Self { modulus, exponent })
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
