use chrono::TimeDelta;
use wiremock::MockServer;

use super::*;
use crate::access::claims::Claim;
use crate::access::fixture::*;
use crate::access::key_set::KeySetSettings;

async fn started(settings: KeySetSettings) -> (Running, MockServer) {
    let server = MockServer::start().await;
    publish(&server, &[KEY.jwk("a")]).await;
    let running = run(jwks_uri(&server), settings);
    until(|| running.key_set.ready()).await;
    (running, server)
}

#[test]
fn the_token_stands_after_bearer_or_alone() {
    for text in ["Bearer t", "bearer t", "BEARER  t", " bEaReR\tt ", "t", "  t  "] {
        assert_eq!(token_in(text), Some("t"), "{text:?}");
    }
    for text in ["", " ", "Bearer", "bearer ", "Basic t", "Token t", "Bearer: t"] {
        assert_eq!(token_in(text), None, "{text:?}");
    }
    assert_eq!(token_in("Bearer a b"), Some("a b"));
}

#[tokio::test]
async fn a_request_without_a_token_is_told_so() {
    let (running, _server) = started(KeySetSettings::default()).await;
    let absent = running.authenticator.authenticate(None).await;
    assert_eq!(absent, Err(AuthenticationError::Missing));
    for header in ["", "Bearer", "Basic dXNlcjpwYXNz"] {
        let outcome = running.authenticator.authenticate(Some(header)).await;
        assert_eq!(outcome, Err(AuthenticationError::Unreadable));
    }
    for header in ["Bearer a b", "Bearer a.b.c d"] {
        let outcome = running.authenticator.authenticate(Some(header)).await;
        assert!(matches!(outcome, Err(AuthenticationError::Token(_))));
    }
}

#[tokio::test]
async fn a_remembered_token_gives_the_same_caller() {
    let (running, _server) = started(KeySetSettings::default()).await;
    let header = bearer(&KEY, "a");
    let first = running.authenticator.authenticate(Some(&header)).await.unwrap();
    let bare = header.strip_prefix("Bearer ").unwrap();
    let second = running.authenticator.authenticate(Some(bare)).await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(first.consumer.to_string(), CONSUMER);
}

#[tokio::test]
async fn a_remembered_token_expires() {
    let (running, _server) = started(KeySetSettings::default()).await;
    let token = KEY.sign("a", &claims());
    let at = |seconds| {
        running
            .authenticator
            .judge(&token, noon() + TimeDelta::seconds(seconds))
    };
    assert!(at(0).is_ok());
    assert!(at(129).is_ok());
    assert_eq!(at(130), Err(TokenFault::Claim(Claim::Expiry).into()));
    assert_eq!(
        at(-11),
        Err(TokenFault::Claim(Claim::IssuedAt).into()),
        "the clock went back"
    );
}

#[tokio::test]
async fn a_refused_token_is_not_remembered() {
    let (running, _server) = started(KeySetSettings::default()).await;
    let token = KEY.sign("a", &claims());
    let early = running
        .authenticator
        .judge(&token, noon() - TimeDelta::seconds(11));
    assert_eq!(early, Err(TokenFault::Claim(Claim::IssuedAt).into()));
    assert!(running.authenticator.judge(&token, noon()).is_ok());
}

#[tokio::test]
async fn a_remembered_token_with_another_signature_is_another_token() {
    let (running, _server) = started(KeySetSettings::default()).await;
    let (good, forged) = (KEY.sign("a", &claims()), OTHER_KEY.sign("a", &claims()));
    assert!(running.authenticator.judge(&good, noon()).is_ok());
    assert_eq!(
        running.authenticator.judge(&forged, noon()),
        Err(TokenFault::Signature.into())
    );
}

#[tokio::test]
async fn the_memory_is_bounded() {
    let settings = KeySetSettings {
        remembered_tokens: 10,
        ..KeySetSettings::default()
    };
    let (running, _server) = started(settings).await;
    let token = |n: usize| KEY.sign("a", &claims_with("jti", Some(n.to_string().into())));
    let tokens: Vec<_> = (0..50).map(token).collect();
    for token in &tokens {
        assert!(running.authenticator.judge(token, noon()).is_ok());
    }
    let current = running.key_set.current().unwrap();
    let remembered = &current.as_ref().unwrap().remembered;
    let kept = tokens
        .iter()
        .filter(|token| remembered.get(token).is_some())
        .count();
    assert!((1..=10).contains(&kept), "{kept}");
}

#[test]
fn what_happens_is_counted() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let shown = recorder.handle();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    metrics::with_local_recorder(&recorder, || {
        runtime.block_on(async {
            let (running, _server) = started(KeySetSettings::default()).await;
            let (good, forged) = (bearer(&KEY, "a"), bearer(&OTHER_KEY, "a"));
            for header in [&good, &good, &good, &forged] {
                let _ = running.authenticator.authenticate(Some(header)).await.is_ok();
            }
            until(|| shown.render().contains("kundeforhold_key_set_age_seconds ")).await;
        });
    });
    let text = shown.render();
    for line in [
        r#"kundeforhold_token_cache_total{result="hit"} 2"#,
        r#"kundeforhold_token_cache_total{result="miss"} 1"#,
        r#"kundeforhold_token_cache_total{result="refused"} 1"#,
        r#"kundeforhold_key_set_fetches_total{result="changed"} 1"#,
    ] {
        assert!(text.lines().any(|shown| shown == line), "{line} in\n{text}");
    }
}
