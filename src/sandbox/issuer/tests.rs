use std::net::{IpAddr, Ipv4Addr};

use chrono::Utc;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Client as HttpClient;
use serde_json::{Value, json};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::*;
use crate::access::authenticator::Authenticator;
use crate::access::caller::{Caller, Scope};
use crate::access::claims::TokenRules;
use crate::access::grant::{GRANT_TYPE, GrantError, GrantRequest, fetch_token};
use crate::access::key_set::{KeySet, KeySetSettings, KeySource};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

fn number(text: &str) -> OrganizationNumber {
    OrganizationNumber::parse(text).unwrap()
}

fn clients() -> Vec<Client> {
    vec![
        Client::new(
            "skatt",
            number("974761076"),
            &["bits:kundeforhold", "bits:kundeforhold.konto"],
        ),
        Client {
            supplier: Some(number("974761076")),
            ..Client::new("politi", number("915429785"), &["a"])
        },
        Client {
            system_user: Some(number("915429785")),
            ..Client::new("bank", number("974761076"), &["w"])
        },
    ]
}

/// The stand-in with an authenticator that trusts it.
struct Sandbox {
    issuer: Issuer,
    authenticator: Authenticator,
    _shutdown: DropGuard,
}

async fn start() -> Sandbox {
    let (issuer, server) = Issuer::bind(LOOPBACK, clients()).unwrap();
    tokio::spawn(server);
    let source = KeySource::of_issuer(issuer.name()).unwrap();
    let key_set = Arc::new(KeySet::new(source, issuer.name(), KeySetSettings::default()).unwrap());
    let rules = TokenRules {
        issuer: issuer.name().to_owned(),
        audience: None,
        leeway_seconds: 10,
    };
    let shutdown = CancellationToken::new();
    let (task, stop) = (Arc::clone(&key_set), shutdown.clone());
    tokio::spawn(async move { task.run(stop).await });
    while !key_set.ready() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Sandbox {
        issuer,
        authenticator: Authenticator::new(key_set, rules),
        _shutdown: shutdown.drop_guard(),
    }
}

impl Sandbox {
    async fn caller(&self, token: &str) -> Arc<Caller> {
        self.authenticator.authenticate(Some(token)).await.unwrap()
    }

    async fn granted(&self, client_id: &str, scope: &str) -> Result<String, GrantError> {
        fetch_token(&GrantRequest {
            token_endpoint: self.issuer.token_endpoint(),
            issuer: self.issuer.name(),
            client_id,
            key_pem: self.issuer.client_key_pem(),
            kid: Some("a-kid"),
            scope,
        })
        .await
    }

    /// Posts an assertion with these claims over the usual ones.
    async fn post(&self, changes: Value) -> (u16, Value) {
        self.post_assertion(&self.assertion(changes)).await
    }

    fn assertion(&self, changes: Value) -> String {
        let iat = Utc::now().timestamp();
        let mut claims = json!({
            "iss": "skatt", "aud": self.issuer.name(), "scope": "bits:kundeforhold",
            "iat": iat, "exp": iat + 100, "jti": uuid::Uuid::new_v4(),
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        let key = EncodingKey::from_rsa_pem(self.issuer.client_key_pem().as_bytes()).unwrap();
        jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap()
    }

    async fn post_assertion(&self, assertion: &str) -> (u16, Value) {
        let call = HttpClient::new()
            .post(self.issuer.token_endpoint().as_str())
            .header("Content-Type", "application/x-www-form-urlencoded")
            .body(format!("grant_type={GRANT_TYPE}&assertion={assertion}"));
        let answer = call.send().await.unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        let answer = HttpClient::new()
            .get(format!("{}{path}", self.issuer.name()))
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.json().await.unwrap())
    }
}

#[test]
fn it_listens_on_loopback_only() {
    let everywhere = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
    assert!(matches!(
        Issuer::bind(everywhere, Vec::new()),
        Err(IssuerError::NotLoopback)
    ));
}

#[tokio::test]
async fn a_token_got_by_the_grant_authenticates() {
    let sandbox = start().await;
    assert!(sandbox.issuer.name().starts_with("http://127.0.0.1:") && sandbox.issuer.name().ends_with('/'));
    let token = sandbox.granted("skatt", "bits:kundeforhold").await.unwrap();
    let caller = sandbox.caller(&token).await;
    assert_eq!((caller.consumer, caller.supplier), (number("974761076"), None));
    let [general, konto] =
        ["bits:kundeforhold", "bits:kundeforhold.konto"].map(|text| Scope::parse(text).unwrap());
    assert!(caller.scopes.has_any(&[general]) && !caller.scopes.has_any(&[konto]));
    assert!(caller.token_id.is_some() && caller.client_amr.is_some());
}

#[tokio::test]
async fn a_token_made_in_process_authenticates_with_all_its_client_has() {
    let sandbox = start().await;
    let politi = sandbox
        .issuer
        .token("politi", Duration::from_secs(8 * 3600))
        .unwrap();
    let caller = sandbox.caller(&politi).await;
    assert_eq!(
        (caller.consumer, caller.supplier),
        (number("915429785"), Some(number("974761076")))
    );
    let bank = sandbox.issuer.token("bank", Duration::from_secs(60)).unwrap();
    assert_eq!(sandbox.caller(&bank).await.system_user, Some(number("915429785")));
    assert!(matches!(
        sandbox.issuer.token("nobody", Duration::from_secs(60)),
        Err(IssuerError::UnknownClient)
    ));
}

#[tokio::test]
async fn the_answer_has_maskinportens_form() {
    let sandbox = start().await;
    let (status, answer) = sandbox.post(json!({})).await;
    assert_eq!(status, 200);
    assert_eq!(answer["token_type"], "Bearer");
    assert_eq!(answer["expires_in"], 119);
    assert_eq!(answer["scope"], "bits:kundeforhold");
    assert!(answer["access_token"].is_string());
}

#[tokio::test]
async fn bad_assertions_are_refused_with_an_oauth_error() {
    let sandbox = start().await;
    let now = Utc::now().timestamp();
    for (changes, error) in [
        (json!({"iss": "nobody"}), "invalid_client"),
        (json!({"aud": "https://other.test/"}), "invalid_grant"),
        (
            json!({"aud": sandbox.issuer.name().trim_end_matches('/')}),
            "invalid_grant",
        ),
        (json!({"exp": now - 11, "iat": now - 60}), "invalid_grant"),
        (json!({"exp": now + 121, "iat": now}), "invalid_grant"),
        (json!({"iat": now + 60}), "invalid_grant"),
        (json!({"iat": null}), "invalid_grant"),
        (json!({"exp": null}), "invalid_grant"),
        (json!({"jti": null}), "invalid_grant"),
        (json!({"scope": "bits:kundeforhold.write"}), "invalid_scope"),
        (json!({"scope": "bits:kundeforhold other"}), "invalid_scope"),
        (json!({"scope": ""}), "invalid_scope"),
        (json!({"consumer_org": "974761077"}), "invalid_request"),
    ] {
        let (status, answer) = sandbox.post(changes.clone()).await;
        assert_eq!((status, &answer["error"]), (400, &json!(error)), "{changes}");
    }
}

#[tokio::test]
async fn an_assertion_serves_once() {
    let sandbox = start().await;
    let assertion = sandbox.assertion(json!({}));
    assert_eq!(sandbox.post_assertion(&assertion).await.0, 200);
    let (status, answer) = sandbox.post_assertion(&assertion).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")));
}

#[tokio::test]
async fn an_assertion_signed_by_another_key_is_refused() {
    let sandbox = start().await;
    let other = sandbox.issuer.0.signing_key.pem();
    let key = EncodingKey::from_rsa_pem(other.as_bytes()).unwrap();
    let iat = Utc::now().timestamp();
    let claims = json!({
        "iss": "skatt", "aud": sandbox.issuer.name(), "scope": "bits:kundeforhold",
        "iat": iat, "exp": iat + 100, "jti": "x",
    });
    let assertion = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims, &key).unwrap();
    let (status, answer) = sandbox.post_assertion(&assertion).await;
    assert_eq!((status, &answer["error"]), (400, &json!("invalid_grant")));
}

#[tokio::test]
async fn a_resource_becomes_the_audience_and_a_consumer_org_the_consumer() {
    let sandbox = start().await;
    let changes = json!({"resource": "https://register.test", "consumer_org": "915429785"});
    let (_, answer) = sandbox.post(changes).await;
    let token = answer["access_token"].as_str().unwrap();
    let caller = sandbox.caller(token).await;
    assert_eq!(
        (caller.consumer, caller.supplier),
        (number("915429785"), Some(number("974761076")))
    );
    let claims: Value = jsonwebtoken::dangerous::insecure_decode(token).unwrap().claims;
    assert_eq!(claims["aud"], "https://register.test");
    assert_eq!(
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(),
        TOKEN_SECONDS
    );
}

#[tokio::test]
async fn the_sandbox_route_gives_a_token_without_proof() {
    let sandbox = start().await;
    let (status, answer) = sandbox
        .get("sandbox/token?client=skatt&scope=bits:kundeforhold.konto")
        .await;
    assert_eq!(
        (status, &answer["scope"]),
        (200, &json!("bits:kundeforhold.konto"))
    );
    sandbox.caller(answer["access_token"].as_str().unwrap()).await;
    for (path, error) in [
        ("sandbox/token?client=nobody", "invalid_client"),
        ("sandbox/token?client=skatt&scope=other", "invalid_scope"),
        ("sandbox/token", "invalid_request"),
    ] {
        let (status, answer) = sandbox.get(path).await;
        assert_eq!((status, &answer["error"]), (400, &json!(error)), "{path}");
    }
}

#[tokio::test]
async fn a_refused_grant_says_why() {
    let sandbox = start().await;
    match sandbox.granted("skatt", "bits:kundeforhold.write").await {
        Err(GrantError::Refused { status: 400, reason }) => {
            assert!(reason.starts_with("invalid_scope"), "{reason}")
        }
        outcome => panic!("{outcome:?}"),
    }
}

#[tokio::test]
async fn a_bad_key_and_an_absent_issuer_are_told_apart() {
    let sandbox = start().await;
    let free = TcpListener::bind(LOOPBACK).unwrap().local_addr().unwrap();
    let token_endpoint = &IssuerAddress::parse(&format!("http://{free}/token")).unwrap();
    let request = |key_pem| GrantRequest {
        token_endpoint,
        issuer: "https://issuer.test/",
        client_id: "skatt",
        key_pem,
        kid: None,
        scope: "a",
    };
    assert!(matches!(
        fetch_token(&request("no key")).await,
        Err(GrantError::Key)
    ));
    let outcome = fetch_token(&request(sandbox.issuer.client_key_pem())).await;
    assert!(matches!(outcome, Err(GrantError::Outbound(_))));
}
