//! Real RSA keys and tokens for the tests of this module.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{self, KeyPair as _, RsaEncoding};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::authenticator::Authenticator;
use super::claims::TokenRules;
use super::key_set::{KeySet, KeySetSettings, KeySource};
use super::outbound::IssuerAddress;

pub const ISSUER: &str = "https://issuer.test/";
pub const CONSUMER: &str = "974761076";

/// A 1024-bit key's modulus, and a token that this key has really signed, good at [`noon`].
pub const WEAK_MODULUS: &str = "6qGHFssaL09eaF9lw2-KmpiTT8m1NZ6lLJYXOnbGWO9n0N-0Myi_PDeCWIohockSqGN5N46FptbGmb-gEhm66Vk_PzRQ8qJsD6a_VbPk3m5MIHpLOwz0YV0GWe3N3igAOWBIG_4I84qXrQCm2J5cCWXvpobemDmQmzBsKuA0Pbc";
pub const WEAKLY_SIGNED_TOKEN: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6IndlYWsifQ.eyJpc3MiOiJodHRwczovL2lzc3Vlci50ZXN0LyIsImlhdCI6MTc2NzIyNTYwMCwiZXhwIjoxNzY3MjI1NzIwLCJjb25zdW1lciI6eyJhdXRob3JpdHkiOiJpc282NTIzLWFjdG9yaWQtdXBpcyIsIklEIjoiMDE5Mjo5NzQ3NjEwNzYifX0.UUXymy9cjW2PNTrflILwkE3K2RqJRdpclcA9WSSLgFrygRGolV6d3FgQYolG7RxjFpmnrfDhfZ3bpY92Hti6wS0cWgSyhP7gCo8ueyY_pMuY0Axe-6-UTWc0ZzY_ZjC-VGygdR62GttRJ_wCe6ZgMBQxASR4Po9QBiuriyEo3IU";

pub static KEY: LazyLock<TestKey> = LazyLock::new(TestKey::generate);
pub static OTHER_KEY: LazyLock<TestKey> = LazyLock::new(TestKey::generate);

/// The `now` of tests that need no clock, and the `iat` of [`claims()`].
pub fn noon() -> DateTime<Utc> {
    DateTime::from_timestamp(1_767_225_600, 0).unwrap()
}

pub struct TestKey(KeyPair);

impl TestKey {
    fn generate() -> Self {
        Self(KeyPair::generate(KeySize::Rsa2048).unwrap())
    }

    pub fn modulus(&self) -> &[u8] {
        self.0.public_key().modulus().big_endian_without_leading_zero()
    }

    pub fn jwk(&self, kid: &str) -> Value {
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid,
            "n": URL_SAFE_NO_PAD.encode(self.modulus()), "e": "AQAB",
        })
    }

    /// A token with exactly these texts for header and claims, signed with RS256.
    pub fn sign_text(&self, header: &str, claims: &str) -> String {
        self.sign_with(&signature::RSA_PKCS1_SHA256, header, claims)
    }

    pub fn sign_with(&self, encoding: &'static dyn RsaEncoding, header: &str, claims: &str) -> String {
        let signed = unsigned(header, claims);
        let mut bytes = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(encoding, &SystemRandom::new(), signed.as_bytes(), &mut bytes)
            .unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    pub fn sign(&self, kid: &str, claims: &Value) -> String {
        self.sign_text(
            &json!({"alg": "RS256", "kid": kid}).to_string(),
            &claims.to_string(),
        )
    }
}

/// Header and claims of a token, without a signature.
pub fn unsigned(header: &str, claims: &str) -> String {
    format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    )
}

pub fn document(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

pub fn organization_claim(number: &str) -> Value {
    json!({"authority": "iso6523-actorid-upis", "ID": format!("0192:{number}")})
}

/// The claims of a good token issued at `iat`, in seconds since 1970.
pub fn claims_at(iat: i64) -> Value {
    json!({
        "iss": ISSUER, "iat": iat, "exp": iat + 120, "jti": "a-token", "client_id": "a-client",
        "client_amr": "private_key_jwt", "token_type": "Bearer", "scope": "bits:kundeforhold",
        "consumer": organization_claim(CONSUMER),
    })
}

pub fn claims() -> Value {
    claims_at(noon().timestamp())
}

/// [`claims()`] with one claim set, or taken away when the value is `None`.
pub fn claims_with(name: &str, value: Option<Value>) -> Value {
    let mut claims = claims();
    let members = claims.as_object_mut().unwrap();
    match value {
        Some(value) => members.insert(name.to_owned(), value),
        None => members.remove(name),
    };
    claims
}

pub fn rules() -> TokenRules {
    TokenRules {
        issuer: ISSUER.to_owned(),
        audience: None,
        leeway_seconds: 10,
    }
}

/// An `Authorization` header with a token that is good now.
pub fn bearer(key: &TestKey, kid: &str) -> String {
    format!("Bearer {}", key.sign(kid, &claims_at(Utc::now().timestamp())))
}

/// A running key set with its authenticator; stops when dropped.
pub struct Running {
    pub key_set: Arc<KeySet>,
    pub authenticator: Arc<Authenticator>,
    _shutdown: DropGuard,
}

pub fn run(source: KeySource, settings: KeySetSettings) -> Running {
    let key_set = Arc::new(KeySet::new(source, ISSUER, settings).unwrap());
    let shutdown = CancellationToken::new();
    let (task, stop) = (Arc::clone(&key_set), shutdown.clone());
    tokio::spawn(async move { task.run(stop).await });
    let authenticator = Arc::new(Authenticator::new(Arc::clone(&key_set), rules()));
    Running {
        key_set,
        authenticator,
        _shutdown: shutdown.drop_guard(),
    }
}

pub fn jwks_uri(server: &MockServer) -> KeySource {
    KeySource::JwksUri(IssuerAddress::parse(&format!("{}/jwk", server.uri())).unwrap())
}

/// Makes the server answer `/jwk` with these keys alone.
pub async fn publish(server: &MockServer, keys: &[Value]) {
    publish_answer(server, ResponseTemplate::new(200).set_body_string(document(keys))).await;
}

pub async fn publish_answer(server: &MockServer, answer: ResponseTemplate) {
    server.reset().await;
    Mock::given(path("/jwk")).respond_with(answer).mount(server).await;
}

/// Waits, at most 5 s, until it holds.
pub async fn until(holds: impl Fn() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("did not come about within 5 s");
}
