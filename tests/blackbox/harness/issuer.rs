//! An issuer whose keys and tokens the test makes itself, claim by claim.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256, RsaEncoding};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::Utc;
use serde_json::{Value, json};
use std::mem::ManuallyDrop;
use std::sync::LazyLock;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

/// One key for all tests of a process: making one takes a while.
pub static KEY: LazyLock<SigningKey> = LazyLock::new(SigningKey::generate);

pub const AGENCY: &str = "974761076";
pub const KID: &str = "test-key";

pub struct SigningKey(KeyPair);

impl SigningKey {
    pub fn generate() -> Self {
        Self(KeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub fn jwk(&self, kid: &str) -> Value {
        let modulus = self.modulus();
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": URL_SAFE_NO_PAD.encode(modulus), "e": "AQAB"})
    }

    pub fn modulus(&self) -> Vec<u8> {
        let public = self.0.public_key();
        public.modulus().big_endian_without_leading_zero().to_vec()
    }

    /// The public key as everybody may have it in a file.
    pub fn public_pem(&self) -> String {
        let der: PublicKeyX509Der<'_> = self.0.public_key().as_der().unwrap();
        pem("PUBLIC KEY", der.as_ref())
    }

    /// The private key as a client has it in a file.
    pub fn private_pem(&self) -> String {
        let der: Pkcs8V1Der<'_> = self.0.as_der().unwrap();
        pem("PRIVATE KEY", der.as_ref())
    }

    /// A token with exactly this header and these claims.
    pub fn sign(&self, header: &Value, claims: &Value) -> String {
        self.sign_with(&RSA_PKCS1_SHA256, header, claims)
    }

    pub fn sign_with(&self, encoding: &'static dyn RsaEncoding, header: &Value, claims: &Value) -> String {
        self.sign_texts(encoding, &header.to_string(), &claims.to_string())
    }

    /// Texts that need not be JSON.
    pub fn sign_texts(&self, encoding: &'static dyn RsaEncoding, header: &str, claims: &str) -> String {
        let message = encoded(header, claims);
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(encoding, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn pem(what: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(String::from_utf8_lossy).collect();
    format!(
        "-----BEGIN {what}-----\n{}\n-----END {what}-----\n",
        lines.join("\n")
    )
}

/// Header and claims of a token, without a signature.
pub fn unsigned(header: &Value, claims: &Value) -> String {
    encoded(&header.to_string(), &claims.to_string())
}

fn encoded(header: &str, claims: &str) -> String {
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    )
}

pub struct TestIssuer {
    /// Never dropped: when it is, it blocks on a lock of its own, for ever if the test has used up what its task
    /// may do at a stretch.
    pub server: ManuallyDrop<MockServer>,
}

impl TestIssuer {
    pub async fn start() -> Self {
        let server = MockServer::start().await;
        let issuer = Self {
            server: ManuallyDrop::new(server),
        };
        issuer.publish(json!({"keys": [KEY.jwk(KID)]})).await;
        issuer
    }

    /// Publishes another key set.
    pub async fn publish(&self, key_set: Value) {
        self.server.reset().await;
        Mock::given(path("/jwk"))
            .respond_with(ResponseTemplate::new(200).set_body_json(key_set))
            .mount(&self.server)
            .await;
    }

    pub fn name(&self) -> String {
        format!("{}/", self.server.uri())
    }

    pub fn jwks_uri(&self) -> String {
        format!("{}/jwk", self.server.uri())
    }

    pub fn key(&self) -> &'static SigningKey {
        &KEY
    }

    /// The claims of a good token; the test changes what it is about.
    pub fn claims(&self, consumer: &str, scope: &str) -> Value {
        let now = Utc::now().timestamp();
        json!({
            "iss": self.name(), "iat": now, "exp": now + 120, "jti": uuid::Uuid::new_v4().to_string(),
            "client_id": "test-client", "client_amr": "virksomhetssertifikat", "scope": scope, "token_type": "Bearer",
            "consumer": {"authority": "iso6523-actorid-upis", "ID": format!("0192:{consumer}")},
        })
    }

    pub fn sign(&self, claims: &Value) -> String {
        KEY.sign(&json!({"alg": "RS256", "kid": KID}), claims)
    }

    pub fn token(&self, consumer: &str, scope: &str) -> String {
        self.sign(&self.claims(consumer, scope))
    }

    pub fn agency_token(&self) -> String {
        self.token(AGENCY, "bits:kundeforhold")
    }

    pub fn bank_token(&self, bank: &str) -> String {
        self.token(bank, "bits:kundeforhold.write")
    }
}
