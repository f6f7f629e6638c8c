//! An RSA key pair that signs JWTs with RS256.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::DecodingKey;
use serde_json::{Value, json};
use uuid::Uuid;

use super::IssuerError;

/// Line length of a PEM file.
const PEM_LINE: usize = 64;

pub(super) struct SigningKey {
    pair: KeyPair,
    kid: String,
    pem: String,
}

impl SigningKey {
    /// A new 2048-bit pair with a random `kid`.
    pub fn generate() -> Result<Self, IssuerError> {
        let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| IssuerError::Key)?;
        let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| IssuerError::Key)?;
        Ok(Self {
            kid: Uuid::new_v4().to_string(),
            pem: pem(der.as_ref()),
            pair,
        })
    }

    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The public half as one entry of a key set.
    pub fn jwk(&self) -> Value {
        let public = self.pair.public_key();
        let number = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.kid,
            "n": number(public.modulus().big_endian_without_leading_zero()),
            "e": number(public.exponent().big_endian_without_leading_zero()),
        })
    }

    pub fn decoding_key(&self) -> DecodingKey {
        let public = self.pair.public_key();
        DecodingKey::from_rsa_raw_components(
            public.modulus().big_endian_without_leading_zero(),
            public.exponent().big_endian_without_leading_zero(),
        )
    }

    pub fn sign(&self, claims: &Value) -> Result<String, IssuerError> {
        let header = json!({"alg": "RS256", "kid": self.kid}).to_string();
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims.to_string())
        );
        let mut signature = vec![0; self.pair.public_modulus_len()];
        self.pair
            .sign(
                &RSA_PKCS1_SHA256,
                &SystemRandom::new(),
                signed.as_bytes(),
                &mut signature,
            )
            .map_err(|_| IssuerError::Key)?;
        Ok(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    for (at, character) in text.chars().enumerate() {
        if at > 0 && at % PEM_LINE == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem + "\n-----END PRIVATE KEY-----\n"
}
