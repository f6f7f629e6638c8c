use serde_json::json;
use tokio::task::JoinSet;
use wiremock::{MockServer, ResponseTemplate};

use super::*;
use crate::access::authenticator::AuthenticationError;
use crate::access::fixture::*;
use crate::access::token::TokenFault;

const UNKNOWN_KEY: AuthenticationError = AuthenticationError::Token(TokenFault::UnknownKey);

fn settings() -> KeySetSettings {
    KeySetSettings {
        retry_first: Duration::from_millis(5),
        ..KeySetSettings::default()
    }
}

fn quickly_refreshed() -> KeySetSettings {
    KeySetSettings {
        refresh: Duration::from_millis(20),
        ..settings()
    }
}

async fn calls(server: &MockServer) -> usize {
    server.received_requests().await.unwrap().len()
}

#[tokio::test]
async fn start_goes_on_trying_until_the_issuer_answers() {
    let server = MockServer::start().await;
    let running = run(jwks_uri(&server), settings());
    until(|| running.key_set.fetches.borrow().finished >= 3).await;
    assert!(!running.key_set.ready());
    assert_eq!(running.key_set.key_set_age(), None);
    let header = bearer(&KEY, "a");
    let outcome = running.authenticator.authenticate(Some(&header)).await;
    assert_eq!(outcome, Err(AuthenticationError::KeysUnavailable));
    publish(&server, &[KEY.jwk("a")]).await;
    until(|| running.key_set.ready()).await;
    assert!(running.authenticator.authenticate(Some(&header)).await.is_ok());
}

#[tokio::test]
async fn failed_retries_slow_down_to_the_longest_wait() {
    let server = MockServer::start().await;
    let settings = KeySetSettings {
        retry_longest: Duration::from_secs(60),
        ..settings()
    };
    let _running = run(jwks_uri(&server), settings);
    tokio::time::sleep(Duration::from_millis(300)).await;
    // At 0, 5, 15, 35, 75, 155 ms, and so on: without doubling there would be near 60.
    let calls = calls(&server).await;
    assert!((2..=7).contains(&calls), "{calls}");
}

#[tokio::test]
async fn keys_at_hand_serve_through_an_outage_and_then_no_longer() {
    let server = MockServer::start().await;
    publish(&server, &[KEY.jwk("a")]).await;
    let outage = Duration::from_millis(600);
    let running = run(
        jwks_uri(&server),
        KeySetSettings {
            outage,
            ..quickly_refreshed()
        },
    );
    until(|| running.key_set.ready()).await;
    publish(&server, &[]).await;
    let failing_since = running.key_set.fetches.borrow().finished;
    until(|| running.key_set.fetches.borrow().finished >= failing_since + 3).await;
    let header = bearer(&KEY, "a");
    assert!(running.authenticator.authenticate(Some(&header)).await.is_ok());
    until(|| !running.key_set.ready()).await;
    assert!(running.key_set.key_set_age().unwrap() >= outage);
    let outcome = running.authenticator.authenticate(Some(&header)).await;
    assert_eq!(
        outcome,
        Err(AuthenticationError::KeysUnavailable),
        "a remembered token does not serve on either"
    );
    publish(&server, &[KEY.jwk("a")]).await;
    until(|| running.key_set.ready()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_unknown_kids_at_once_cause_one_fetch() {
    let server = MockServer::start().await;
    publish(&server, &[KEY.jwk("a")]).await;
    let running = run(jwks_uri(&server), settings());
    until(|| running.key_set.ready()).await;
    let before = calls(&server).await;
    let token = KEY.sign("kid", &claims());
    let (_, rest) = token.split_once('.').unwrap();
    let mut requests = JoinSet::new();
    for n in 0..1000 {
        let authenticator = Arc::clone(&running.authenticator);
        let header = unsigned(
            &json!({"alg": "RS256", "kid": format!("unknown-{n}")}).to_string(),
            "",
        );
        let token = format!("Bearer {header}{rest}");
        requests.spawn(async move { authenticator.authenticate(Some(&token)).await });
    }
    for outcome in requests.join_all().await {
        assert_eq!(outcome, Err(UNKNOWN_KEY));
    }
    assert_eq!(calls(&server).await - before, 1);
    // A thousand joined tasks use up what this one may do at a stretch; the mock server, which blocks on its
    // own lock when it is dropped, would then wait for ever.
    tokio::task::yield_now().await;
}

#[tokio::test]
async fn the_brake_is_off_again_after_its_time() {
    let server = MockServer::start().await;
    publish(&server, &[KEY.jwk("a")]).await;
    let unknown_kid_brake = Duration::from_millis(500);
    let running = run(
        jwks_uri(&server),
        KeySetSettings {
            unknown_kid_brake,
            ..settings()
        },
    );
    until(|| running.key_set.ready()).await;
    let header = bearer(&KEY, "unknown");
    for expected in [2, 2, 3] {
        if expected == 3 {
            tokio::time::sleep(unknown_kid_brake).await;
        }
        assert_eq!(
            running.authenticator.authenticate(Some(&header)).await,
            Err(UNKNOWN_KEY)
        );
        assert_eq!(calls(&server).await, expected);
    }
}

#[tokio::test]
async fn a_token_of_a_new_key_is_good_at_first_sight() {
    let server = MockServer::start().await;
    publish(&server, &[KEY.jwk("a")]).await;
    let running = run(jwks_uri(&server), settings());
    until(|| running.key_set.ready()).await;
    publish(&server, &[KEY.jwk("a"), OTHER_KEY.jwk("b")]).await;
    let header = bearer(&OTHER_KEY, "b");
    assert!(running.authenticator.authenticate(Some(&header)).await.is_ok());
}

#[tokio::test]
async fn a_token_of_a_key_replaced_under_its_name_is_good_at_first_sight() {
    let server = MockServer::start().await;
    publish(&server, &[KEY.jwk("a")]).await;
    let running = run(jwks_uri(&server), settings());
    until(|| running.key_set.ready()).await;
    publish(&server, &[OTHER_KEY.jwk("a")]).await;
    let header = bearer(&OTHER_KEY, "a");
    assert!(running.authenticator.authenticate(Some(&header)).await.is_ok());
    let former = bearer(&KEY, "a");
    for _ in 0..100 {
        let outcome = running.authenticator.authenticate(Some(&former)).await;
        assert_eq!(outcome, Err(TokenFault::Signature.into()));
    }
    assert_eq!(
        calls(&server).await,
        1,
        "the brake holds for wrong signatures too"
    );
}

#[tokio::test]
async fn a_token_is_forgotten_when_its_key_leaves_the_set() {
    let server = MockServer::start().await;
    publish(&server, &[KEY.jwk("a")]).await;
    let running = run(jwks_uri(&server), quickly_refreshed());
    until(|| running.key_set.ready()).await;
    let header = bearer(&KEY, "a");
    assert!(running.authenticator.authenticate(Some(&header)).await.is_ok());
    publish(&server, &[OTHER_KEY.jwk("b")]).await;
    until(|| {
        running
            .key_set
            .current()
            .unwrap()
            .as_ref()
            .unwrap()
            .keys
            .find("b")
            .is_some()
    })
    .await;
    assert_eq!(
        running.authenticator.authenticate(Some(&header)).await,
        Err(UNKNOWN_KEY)
    );
}

#[tokio::test]
async fn a_key_replaced_under_the_same_kid_forgets_its_tokens() {
    let server = MockServer::start().await;
    publish(&server, &[KEY.jwk("a")]).await;
    let running = run(jwks_uri(&server), quickly_refreshed());
    until(|| running.key_set.ready()).await;
    let header = bearer(&KEY, "a");
    let first = Arc::clone(running.key_set.current().unwrap().as_ref().unwrap());
    assert!(running.authenticator.authenticate(Some(&header)).await.is_ok());
    publish(&server, &[OTHER_KEY.jwk("a")]).await;
    until(|| running.key_set.current().unwrap().as_ref().unwrap().keys != first.keys).await;
    let outcome = running.authenticator.authenticate(Some(&header)).await;
    assert_eq!(outcome, Err(TokenFault::Signature.into()));
}

#[tokio::test]
async fn an_unchanged_key_set_keeps_what_is_remembered() {
    let server = MockServer::start().await;
    publish(&server, &[KEY.jwk("a"), OTHER_KEY.jwk("b")]).await;
    let running = run(jwks_uri(&server), quickly_refreshed());
    until(|| running.key_set.ready()).await;
    let header = bearer(&KEY, "a");
    let first = running.authenticator.authenticate(Some(&header)).await.unwrap();
    publish(&server, &[OTHER_KEY.jwk("b"), KEY.jwk("a")]).await;
    let finished = running.key_set.fetches.borrow().finished;
    until(|| running.key_set.fetches.borrow().finished >= finished + 3).await;
    let second = running.authenticator.authenticate(Some(&header)).await.unwrap();
    assert!(Arc::ptr_eq(&first, &second));
}

#[tokio::test]
async fn a_slow_issuer_holds_a_request_no_longer_than_the_wait() {
    let server = MockServer::start().await;
    publish(&server, &[KEY.jwk("a")]).await;
    let wait_timeout = Duration::from_millis(300);
    let running = run(
        jwks_uri(&server),
        KeySetSettings {
            wait_timeout,
            ..settings()
        },
    );
    until(|| running.key_set.ready()).await;
    publish_answer(
        &server,
        ResponseTemplate::new(200).set_delay(Duration::from_secs(30)),
    )
    .await;
    let (unknown, known) = (bearer(&KEY, "unknown"), bearer(&KEY, "a"));
    let asked = Instant::now();
    assert_eq!(
        running.authenticator.authenticate(Some(&unknown)).await,
        Err(UNKNOWN_KEY)
    );
    assert!((wait_timeout..Duration::from_secs(5)).contains(&asked.elapsed()));
    let asked = Instant::now();
    assert!(running.authenticator.authenticate(Some(&known)).await.is_ok());
    assert!(asked.elapsed() < wait_timeout, "others do not wait");
}

#[tokio::test]
async fn a_fetch_that_takes_too_long_is_given_up() {
    let server = MockServer::start().await;
    publish_answer(
        &server,
        ResponseTemplate::new(200).set_delay(Duration::from_secs(30)),
    )
    .await;
    let settings = KeySetSettings {
        fetch_timeout: Duration::from_millis(50),
        ..settings()
    };
    let running = run(jwks_uri(&server), settings);
    until(|| running.key_set.fetches.borrow().finished >= 2).await;
}

#[tokio::test]
async fn the_task_ends_at_shutdown_even_amid_a_fetch() {
    let server = MockServer::start().await;
    publish_answer(
        &server,
        ResponseTemplate::new(200).set_delay(Duration::from_secs(30)),
    )
    .await;
    let key_set = Arc::new(KeySet::new(jwks_uri(&server), ISSUER, settings()).unwrap());
    let shutdown = CancellationToken::new();
    let (task, stop) = (Arc::clone(&key_set), shutdown.clone());
    let task = tokio::spawn(async move { task.run(stop).await });
    until(|| key_set.fetches.borrow().phase == Phase::UnderWay).await;
    shutdown.cancel();
    timeout(Duration::from_secs(2), task).await.unwrap().unwrap();
}
