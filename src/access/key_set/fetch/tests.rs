use serde_json::json;
use wiremock::matchers::path;
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::*;
use crate::access::fixture::*;

async fn fetch(source: KeySource) -> Result<Keys, FetchError> {
    Fetcher::new(source, ISSUER, Duration::from_secs(2))
        .unwrap()
        .fetch()
        .await
}

async fn discover(server: &MockServer, document: serde_json::Value) -> Result<Keys, FetchError> {
    publish(server, &[KEY.jwk("a")]).await;
    Mock::given(path("/.well-known/oauth-authorization-server"))
        .respond_with(ResponseTemplate::new(200).set_body_json(document))
        .mount(server)
        .await;
    fetch(KeySource::of_issuer(&server.uri()).unwrap()).await
}

#[tokio::test]
async fn keys_are_found_through_discovery() {
    let server = MockServer::start().await;
    let jwks_uri = format!("{}/jwk", server.uri());
    let keys = discover(&server, json!({"issuer": ISSUER, "jwks_uri": jwks_uri}))
        .await
        .unwrap();
    assert!(keys.find("a").is_some());
}

#[tokio::test]
async fn a_discovery_document_must_be_the_issuers_own_and_name_a_permitted_address() {
    let server = MockServer::start().await;
    let jwks_uri = format!("{}/jwk", server.uri());
    let other = json!({"issuer": "https://issuer.test", "jwks_uri": jwks_uri});
    assert!(matches!(
        discover(&server, other).await,
        Err(FetchError::OtherIssuer { .. })
    ));
    let insecure = json!({"issuer": ISSUER, "jwks_uri": "http://issuer.test/jwk"});
    let outcome = discover(&server, insecure).await;
    assert!(matches!(
        outcome,
        Err(FetchError::JwksAddress {
            cause: InvalidAddress::Insecure,
            ..
        })
    ));
    for incomplete in [
        json!({"issuer": ISSUER}),
        json!({"jwks_uri": jwks_uri}),
        json!([]),
    ] {
        assert!(matches!(
            discover(&server, incomplete).await,
            Err(FetchError::Discovery { .. })
        ));
    }
}

#[test]
fn discovery_stands_below_the_issuers_name() {
    let expected =
        IssuerAddress::parse("https://issuer.test/.well-known/oauth-authorization-server").unwrap();
    for issuer in ["https://issuer.test/", "https://issuer.test"] {
        assert_eq!(
            KeySource::of_issuer(issuer),
            Ok(KeySource::WellKnown(expected.clone()))
        );
    }
    assert_eq!(
        KeySource::of_issuer("http://issuer.test/"),
        Err(InvalidAddress::Insecure)
    );
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let server = MockServer::start().await;
    publish(&server, &[KEY.jwk("a")]).await;
    let moved = ResponseTemplate::new(302).insert_header("Location", format!("{}/jwk", server.uri()));
    Mock::given(path("/moved"))
        .respond_with(moved)
        .mount(&server)
        .await;
    let address = IssuerAddress::parse(&format!("{}/moved", server.uri())).unwrap();
    let outcome = fetch(KeySource::JwksUri(address)).await;
    assert!(matches!(outcome, Err(FetchError::Status { status, .. }) if status.as_u16() == 302));
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn huge_and_garbage_documents_are_refused() {
    let server = MockServer::start().await;
    publish_answer(
        &server,
        ResponseTemplate::new(200).set_body_bytes(vec![b' '; 300 * 1024]),
    )
    .await;
    let outcome = fetch(jwks_uri(&server)).await;
    assert!(matches!(
        outcome,
        Err(FetchError::Outbound(OutboundError::TooLarge(_)))
    ));
    publish_answer(
        &server,
        ResponseTemplate::new(200).set_body_bytes([0xff, 0x00, b'{']),
    )
    .await;
    assert!(matches!(
        fetch(jwks_uri(&server)).await,
        Err(FetchError::Keys {
            cause: InvalidKeySet::Malformed(_),
            ..
        })
    ));
    publish(&server, &[]).await;
    assert!(matches!(
        fetch(jwks_uri(&server)).await,
        Err(FetchError::Keys {
            cause: InvalidKeySet::NoneUsable(_),
            ..
        })
    ));
    publish_answer(
        &server,
        ResponseTemplate::new(500).set_body_string(document(&[KEY.jwk("a")])),
    )
    .await;
    assert!(matches!(
        fetch(jwks_uri(&server)).await,
        Err(FetchError::Status { .. })
    ));
}
