//! Every check of an access token, one test each, against the started service. A refusal is only believed
//! beside a token that is accepted by the same service.

mod claims;
mod header;
mod issuer;
mod keys;

use crate::harness::ask::{Ask, RELATIONSHIPS, Told};
use crate::harness::issuer::{AGENCY, KID, SigningKey, unsigned};
use crate::harness::{Caching, EITHER_WAY, Service};
use chrono::Utc;
use serde_json::{Value, json};

const SCOPE: &str = "bits:kundeforhold";

async fn told(service: &Service, token: &str) -> Told {
    Ask::relationships(service).token(token).send().await
}

async fn assert_accepted(service: &Service, token: &str) {
    let told = told(service, token).await;
    assert_eq!(
        told.status,
        200,
        "{} {:?}",
        told.text,
        told.header("WWW-Authenticate")
    );
}

/// 401 without a word of why, since nothing of the token is believed.
async fn assert_refused(service: &Service, token: &str) {
    let told = told(service, token).await;
    assert_eq!(
        (told.status, told.error_code().as_str()),
        (401, "ERR-001"),
        "{}",
        told.text
    );
    assert_eq!(
        told.header("WWW-Authenticate"),
        Some("Bearer error=\"invalid_token\"")
    );
}

/// 401 that names the claim, of a token whose signature is good.
async fn assert_claim_refused(service: &Service, claims: &Value, claim: &str) {
    let told = told(service, &service.issuer.sign(claims)).await;
    assert_eq!(
        (told.status, told.error_code().as_str()),
        (401, "ERR-001"),
        "{claims}"
    );
    let challenge = format!("Bearer error=\"invalid_token\", error_description=\"{claim} is not accepted\"");
    assert_eq!(
        told.header("WWW-Authenticate"),
        Some(challenge.as_str()),
        "{claims}"
    );
}

/// The claims of a good token of the agency.
fn good(service: &Service) -> Value {
    service.issuer.claims(AGENCY, SCOPE)
}

/// The claims of a good token with one of them changed.
fn with(service: &Service, claim: &str, value: Value) -> Value {
    let mut claims = good(service);
    claims[claim] = value;
    claims
}

fn without(service: &Service, claim: &str) -> Value {
    let mut claims = good(service);
    claims.as_object_mut().unwrap().remove(claim);
    claims
}

fn in_seconds(seconds: i64) -> Value {
    json!(Utc::now().timestamp() + seconds)
}

/// A started service that accepts the agency's token.
async fn started(caching: Caching, configuration: &str) -> Service {
    let service = Service::start_with(caching, configuration).await;
    assert_accepted(&service, &service.issuer.agency_token()).await;
    service
}

#[tokio::test]
async fn tokens_are_judged_alike_with_a_cache_and_without() {
    for caching in EITHER_WAY {
        let service = started(caching, "").await;
        assert_claim_refused(
            &service,
            &with(&service, "iss", json!("https://other.example/")),
            "iss",
        )
        .await;
        assert_claim_refused(&service, &with(&service, "exp", in_seconds(-60)), "exp").await;
        assert_refused(
            &service,
            &SigningKey::generate().sign(&json!({"alg": "RS256", "kid": KID}), &good(&service)),
        )
        .await;
    }
}
