//! An issuer that is not there.

use super::*;
use crate::harness::free_address;
use crate::harness::issuer::KEY;
use std::net::TcpListener;
use std::time::{Duration, Instant};
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

/// Serves the key set of all tests at this address, until it is dropped.
async fn key_server(address: &str) -> MockServer {
    let server = MockServer::builder()
        .listener(TcpListener::bind(address).unwrap())
        .start()
        .await;
    let keys = ResponseTemplate::new(200).set_body_json(json!({"keys": [KEY.jwk(KID)]}));
    Mock::given(path("/jwk")).respond_with(keys).mount(&server).await;
    server
}

fn keys_at(address: &str, more: &str) -> String {
    format!("[maskinporten]\njwks_uri = \"http://{address}/jwk\"\n{more}")
}

#[tokio::test]
async fn without_keys_at_start_calls_are_503_until_the_issuer_is_there() {
    for caching in EITHER_WAY {
        let address = free_address();
        let service = Service::launch(caching, &keys_at(&address, "")).await;
        service.wait_until_alive().await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        assert!(!service.is_ready().await);
        let told = told(&service, &service.issuer.agency_token()).await;
        assert_eq!((told.status, told.error_code().as_str()), (503, "ERR-503"));
        assert!(told.header("Retry-After").is_some());
        let _issuer = key_server(&address).await;
        service.wait_until_ready().await;
        assert_accepted(&service, &service.issuer.agency_token()).await;
    }
}

#[tokio::test]
async fn when_the_issuer_goes_down_the_keys_at_hand_serve_on() {
    let address = free_address();
    let issuer = key_server(&address).await;
    let service = started(Caching::Without, &keys_at(&address, "refresh_seconds = 1")).await;
    drop(issuer);
    let started = Instant::now();
    while !service.log().contains("could not be fetched") {
        assert!(started.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_accepted(&service, &service.issuer.agency_token()).await;
    let unknown = service
        .issuer
        .key()
        .sign(&json!({"alg": "RS256", "kid": "unknown"}), &good(&service));
    assert_refused(&service, &unknown).await;
    assert!(service.is_ready().await);
}

#[tokio::test]
async fn a_broken_key_set_replaces_nothing() {
    let service = started(Caching::Without, "[maskinporten]\nrefresh_seconds = 1").await;
    for broken in [
        json!({"keys": []}),
        json!({}),
        json!("no keys"),
        json!({"keys": [{"kty": "oct", "kid": KID, "k": "AAAA"}]}),
    ] {
        service.issuer.publish(broken).await;
        tokio::time::sleep(Duration::from_millis(1_300)).await;
        assert_accepted(&service, &service.issuer.agency_token()).await;
    }
}

#[tokio::test]
async fn keys_are_given_up_after_the_longest_outage_and_taken_again_by_themselves() {
    let address = free_address();
    let issuer = key_server(&address).await;
    let configuration = keys_at(&address, "refresh_seconds = 1\noutage_seconds = 3");
    let service = started(Caching::Without, &configuration).await;
    drop(issuer);
    let given_up = Instant::now();
    while told(&service, &service.issuer.agency_token()).await.status != 503 {
        assert!(given_up.elapsed() < Duration::from_secs(10));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!service.is_ready().await);
    let _issuer = key_server(&address).await;
    service.wait_until_ready().await;
    assert_accepted(&service, &service.issuer.agency_token()).await;
}

#[tokio::test]
async fn the_keys_are_found_through_the_issuers_own_address() {
    let address = free_address();
    let issuer = key_server(&address).await;
    let name = format!("http://{address}/");
    let discovery = json!({"issuer": name, "jwks_uri": format!("{name}jwk")});
    Mock::given(path("/.well-known/oauth-authorization-server"))
        .respond_with(ResponseTemplate::new(200).set_body_json(discovery))
        .mount(&issuer)
        .await;
    let mut service =
        Service::start_with(Caching::Without, &format!("[maskinporten]\nissuer = \"{name}\"")).await;
    service.kill();
    let configuration = std::fs::read_to_string(service.configuration()).unwrap();
    let lines = configuration.lines().filter(|line| !line.starts_with("jwks_uri"));
    std::fs::write(service.configuration(), lines.collect::<Vec<_>>().join("\n")).unwrap();
    let before = super::keys::fetches(&service).await;
    service.start_again();
    service.wait_until_ready().await;
    let token = service.issuer.sign(&with(&service, "iss", json!(name)));
    assert_accepted(&service, &token).await;
    assert_eq!(super::keys::fetches(&service).await, before);
}
