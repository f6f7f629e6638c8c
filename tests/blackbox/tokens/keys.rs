//! The issuer's keys: which are believed, and until when.

use super::*;
use std::time::{Duration, Instant};

/// Signed with a key of 1,024 bits, good until the year 2100 for the issuer below. No library here makes one.
const WEAK_MODULUS: &str = "tkfenQ8Y9GiPdEFAej73sAXkxEEeKfR8a0bMpprcqhioUGaR_OklI7fAKCLgwn4PVtoNCoVfUL3pwrCJJrCRlkg6yMv68jEFIUIu0exNSZpebDEF_340nFCFAi7sX8S38l_Yx_Ldsek1Yzg9H73tmH8iAl3Amr5UEoIgbJzFSxc";
const WEAKLY_SIGNED: &str = "eyJhbGciOiAiUlMyNTYiLCAia2lkIjogIndlYWsifQ.eyJpc3MiOiAiaHR0cHM6Ly9pc3N1ZXIudGVzdC8iLCAiaWF0IjogMTc2NzIyNTYwMCwgImV4cCI6IDQxMDI0NDQ4MDAsICJzY29wZSI6ICJiaXRzOmt1bmRlZm9yaG9sZCIsICJjb25zdW1lciI6IHsiYXV0aG9yaXR5IjogImlzbzY1MjMtYWN0b3JpZC11cGlzIiwgIklEIjogIjAxOTI6OTc0NzYxMDc2In19.LqcgEk3ruMMJ3lKEN4y7OtVdjbzV1LikHOwscikUxHBb9RI2LkItxTilSn3DFHSoXRiwYYCJFvAH1aXBRyxW1uRC-xW5TwkCul5HJc4vWzOt8bc5yhjFAuksG5ijUoZAggngWrZxrgl5yiwdrz6UiWQc7qWsLZfN19OqGlslDjU";
const WEAK_ISSUER: &str = "https://issuer.test/";

/// Publishes these keys, and waits until a service that asks every second has them.
pub async fn publish(service: &Service, keys: Vec<Value>) {
    service.issuer.publish(json!({"keys": keys})).await;
    // The second of two fetches began after the first had ended.
    wait_for_fetches(service, 2).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
}

pub async fn fetches(service: &Service) -> usize {
    service.issuer.server.received_requests().await.unwrap().len()
}

async fn wait_for_fetches(service: &Service, count: usize) {
    let started = Instant::now();
    while fetches(service).await < count {
        assert!(
            started.elapsed() < Duration::from_secs(10),
            "the issuer is not asked"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_unknown_or_missing_key_id_is_refused() {
    let service = started(Caching::Without, "").await;
    let key = service.issuer.key();
    for header in [
        json!({"alg": "RS256", "kid": "unknown"}),
        json!({"alg": "RS256", "kid": ""}),
        json!({"alg": "RS256", "kid": format!("{KID} ")}),
        json!({"alg": "RS256"}),
        json!({"alg": "RS256", "kid": null}),
        json!({"alg": "RS256", "kid": [KID]}),
        json!({"alg": "RS256", "kid": 7}),
    ] {
        assert_refused(&service, &key.sign(&header, &good(&service))).await;
    }
}

#[tokio::test]
async fn a_symmetric_key_in_the_set_signs_nothing() {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let service = started(Caching::Without, "[maskinporten]\nrefresh_seconds = 1").await;
    let secret = b"a secret of the issuer that stands in its key set by mistake";
    let jwk = json!({"kty": "oct", "use": "sig", "alg": "HS256", "kid": "oct", "k": URL_SAFE_NO_PAD.encode(secret)});
    publish(&service, vec![service.issuer.key().jwk(KID), jwk]).await;
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret);
    for algorithm in ["HS256", "RS256"] {
        let message = unsigned(&json!({"alg": algorithm, "kid": "oct"}), &good(&service));
        let signature = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, message.as_bytes()));
        assert_refused(&service, &format!("{message}.{signature}")).await;
    }
    assert_accepted(&service, &service.issuer.agency_token()).await;
}

#[tokio::test]
async fn a_key_of_1024_bits_is_not_believed() {
    let configuration = format!("[maskinporten]\nissuer = \"{WEAK_ISSUER}\"\nrefresh_seconds = 1");
    let service = Service::start_with(Caching::Without, &configuration).await;
    let weak =
        json!({"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "weak", "n": WEAK_MODULUS, "e": "AQAB"});
    publish(&service, vec![service.issuer.key().jwk(KID), weak]).await;
    assert_refused(&service, WEAKLY_SIGNED).await;
    // The library refuses such a key too; that it is not even kept is told in the log.
    assert!(service.log().contains("\"skipped\":1"), "{}", service.log());
    // The same claims under a key that is strong enough.
    let iss = json!(WEAK_ISSUER);
    assert_accepted(&service, &service.issuer.sign(&with(&service, "iss", iss))).await;
}

#[tokio::test]
async fn a_key_for_another_use_is_not_believed() {
    let service = started(Caching::Without, "[maskinporten]\nrefresh_seconds = 1").await;
    let (encrypting, plain) = (SigningKey::generate(), SigningKey::generate());
    let mut jwks = vec![
        service.issuer.key().jwk(KID),
        encrypting.jwk("enc"),
        plain.jwk("plain"),
    ];
    jwks[1]["use"] = json!("enc");
    jwks[2].as_object_mut().unwrap().remove("use");
    publish(&service, jwks).await;
    assert_refused(
        &service,
        &encrypting.sign(&json!({"alg": "RS256", "kid": "enc"}), &good(&service)),
    )
    .await;
    assert_accepted(
        &service,
        &plain.sign(&json!({"alg": "RS256", "kid": "plain"}), &good(&service)),
    )
    .await;
}

#[tokio::test]
async fn a_key_id_on_two_keys_is_not_believed() {
    let service = started(Caching::Without, "[maskinporten]\nrefresh_seconds = 1").await;
    let (one, other) = (SigningKey::generate(), SigningKey::generate());
    publish(
        &service,
        vec![
            service.issuer.key().jwk(KID),
            one.jwk("twice"),
            other.jwk("twice"),
        ],
    )
    .await;
    for key in [one, other] {
        assert_refused(
            &service,
            &key.sign(&json!({"alg": "RS256", "kid": "twice"}), &good(&service)),
        )
        .await;
    }
    assert_accepted(&service, &service.issuer.agency_token()).await;
}

#[tokio::test]
async fn a_remembered_token_is_refused_once_its_key_has_left_the_set() {
    let service = started(Caching::Without, "[maskinporten]\nrefresh_seconds = 1").await;
    let token = service.issuer.agency_token();
    assert_accepted(&service, &token).await;
    let next = SigningKey::generate();
    publish(&service, vec![next.jwk("next")]).await;
    assert_refused(&service, &token).await;
    assert_accepted(
        &service,
        &next.sign(&json!({"alg": "RS256", "kid": "next"}), &good(&service)),
    )
    .await;
}

#[tokio::test]
async fn a_key_of_the_same_name_replaced_is_another_key() {
    let service = started(Caching::Without, "[maskinporten]\nrefresh_seconds = 1").await;
    let token = service.issuer.agency_token();
    assert_accepted(&service, &token).await;
    let next = SigningKey::generate();
    publish(&service, vec![next.jwk(KID)]).await;
    assert_refused(&service, &token).await;
    assert_accepted(
        &service,
        &next.sign(&json!({"alg": "RS256", "kid": KID}), &good(&service)),
    )
    .await;
}

#[tokio::test]
async fn a_new_key_is_fetched_with_the_first_token_that_names_it() {
    let service = started(Caching::Without, "").await;
    let next = SigningKey::generate();
    service
        .issuer
        .publish(json!({"keys": [service.issuer.key().jwk(KID), next.jwk("next")]}))
        .await;
    assert_accepted(
        &service,
        &next.sign(&json!({"alg": "RS256", "kid": "next"}), &good(&service)),
    )
    .await;
    assert_accepted(&service, &service.issuer.agency_token()).await;
}

#[tokio::test]
async fn a_key_replaced_under_its_name_is_fetched_with_the_first_token_that_it_signed() {
    let service = started(Caching::Without, "").await;
    let former = service.issuer.agency_token();
    assert_accepted(&service, &former).await;
    let next = SigningKey::generate();
    service.issuer.publish(json!({"keys": [next.jwk(KID)]})).await;
    let token = next.sign(&json!({"alg": "RS256", "kid": KID}), &good(&service));
    assert_accepted(&service, &token).await;
    // Signatures that are wrong ask no more often than keys that are unknown.
    let asked = fetches(&service).await;
    for _ in 0..20 {
        assert_refused(&service, &former).await;
    }
    assert_eq!(fetches(&service).await, asked);
    assert_accepted(&service, &token).await;
}

#[tokio::test]
async fn a_key_that_is_not_meant_for_verifying_is_not_believed_and_told() {
    let service = started(Caching::Without, "[maskinporten]\nrefresh_seconds = 1").await;
    let keys: Vec<SigningKey> = (0..3).map(|_| SigningKey::generate()).collect();
    let mut jwks = vec![service.issuer.key().jwk(KID)];
    let marks = [
        ("key_ops", json!(["sign"])),
        ("alg", json!("RSA-OAEP")),
        ("d", json!("AQAB")),
    ];
    for ((key, (name, value)), kid) in keys.iter().zip(marks).zip(["k0", "k1", "k2"]) {
        let mut jwk = key.jwk(kid);
        jwk[name] = value;
        jwks.push(jwk);
    }
    publish(&service, jwks).await;
    for (key, kid) in keys.iter().zip(["k0", "k1", "k2"]) {
        let token = key.sign(&json!({"alg": "RS256", "kid": kid}), &good(&service));
        assert_refused(&service, &token).await;
    }
    assert_accepted(&service, &service.issuer.agency_token()).await;
    let log = service.log();
    for told in ["(key_ops)", "(alg)", "is a private key"] {
        assert!(log.contains(told), "{told}: {log}");
    }
}

#[tokio::test]
async fn a_flood_of_unknown_keys_asks_the_issuer_once_in_thirty_seconds() {
    let service = started(Caching::Without, "").await;
    assert_eq!(fetches(&service).await, 1);
    for _ in 0..3 {
        flood(&service, 60).await;
        assert_eq!(fetches(&service).await, 2);
    }
    assert_accepted(&service, &service.issuer.agency_token()).await;
}

#[tokio::test]
async fn after_the_brake_an_unknown_key_asks_again() {
    let service = started(Caching::Without, "[maskinporten]\nunknown_kid_brake_seconds = 1").await;
    flood(&service, 10).await;
    assert_eq!(fetches(&service).await, 2);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    flood(&service, 10).await;
    assert_eq!(fetches(&service).await, 3);
}

/// So many tokens at once, each with another unknown key.
async fn flood(service: &Service, count: usize) {
    let tokens = (0..count).map(async |_| {
        let kid = uuid::Uuid::new_v4().to_string();
        let token = service
            .issuer
            .key()
            .sign(&json!({"alg": "RS256", "kid": kid}), &good(service));
        assert_refused(service, &token).await;
    });
    futures_util::future::join_all(tokens).await;
}
