//! Two instances behind the proxy of `deploy/`, restarted one after the other under lookups: none fails.

mod proxy;
pub mod second;

use crate::harness::ask::A_CUSTOMER;
use crate::harness::{Engine, Service, world};
use proxy::Proxy;
use second::Second;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Callers that ask one question after the other, each over a connection that it keeps.
const CALLERS: usize = 8;
/// A proxy that asks every second has seen after so many that an instance is not ready.
const DRAIN: &str = "[server]\ndrain_seconds = 3\n";

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[derive(Default)]
struct Ledger {
    asked: AtomicU64,
    failed: AtomicU64,
    stop: AtomicBool,
}

/// Asks until told to stop; what is not the whole, right answer has failed.
async fn ask(http: reqwest::Client, url: String, token: String, ledger: Arc<Ledger>) {
    let today = world::today().to_string();
    while !ledger.stop.load(Ordering::Relaxed) {
        let request = http
            .get(format!("{url}/v2/customers/customerRelationships"))
            .query(&[("fromDate", &today), ("toDate", &today)])
            .bearer_auth(&token)
            .header("CustomerID", A_CUSTOMER)
            .header("CorrelationID", uuid::Uuid::new_v4().to_string())
            .header("AccountInfoRequestID", uuid::Uuid::new_v4().to_string())
            .header("Legal-Mandate", "Test%20%C2%A7%201");
        let right = match request.send().await {
            Ok(response) if response.status() == 200 => response
                .text()
                .await
                .is_ok_and(|body| body.contains("\"organizationID\"")),
            Ok(response) => {
                println!("{} {:?}", response.status(), response.text().await);
                false
            }
            Err(cause) => {
                println!("{cause:?}");
                false
            }
        };
        ledger.asked.fetch_add(1, Ordering::Relaxed);
        ledger.failed.fetch_add(u64::from(!right), Ordering::Relaxed);
    }
}

/// Waits until an instance answers lookups that the proxy sends to it.
async fn wait_until_asked(service: &Service, management: &str) {
    let started = Instant::now();
    loop {
        let told = service
            .http
            .get(format!("http://{management}/metrics"))
            .send()
            .await;
        let told = match told {
            Ok(response) => response.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        };
        let answered =
            "kundeforhold_requests_total{endpoint=\"/v2/customers/customerRelationships\",status=\"200\"";
        if told.contains(answered) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{told}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_lookup_fails_while_two_instances_are_restarted_one_after_the_other() {
    let (restarts, requests) = (setting("ROLLING_RESTARTS", 5), setting("ROLLING_REQUESTS", 2_000));
    let mut first = Service::start_with(Engine::Redis, DRAIN).await;
    first.deliver_world().await;
    let mut second = Second::start(&first);
    let proxy = Proxy::start(&[
        (&first.address, &first.management),
        (&second.address, &second.management),
    ]);
    proxy.wait_until_it_answers().await;

    let ledger = Arc::new(Ledger::default());
    let token = crate::figures::lookups::long_token(&first);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        callers.spawn(ask(http, proxy.url(), token.clone(), Arc::clone(&ledger)));
    }
    for round in 0..restarts {
        wait_until_asked(&first, &first.management).await;
        wait_until_asked(&first, &second.management).await;
        if round % 2 == 0 {
            assert!(tokio::task::block_in_place(|| first.terminate()).success());
            first.start_again();
        } else {
            tokio::task::block_in_place(|| second.restart());
        }
    }
    wait_until_asked(&first, &first.management).await;
    wait_until_asked(&first, &second.management).await;
    while ledger.asked.load(Ordering::Relaxed) < requests {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    ledger.stop.store(true, Ordering::Relaxed);
    while callers.join_next().await.is_some() {}
    let (asked, failed) = (
        ledger.asked.load(Ordering::Relaxed),
        ledger.failed.load(Ordering::Relaxed),
    );
    println!("{restarts} restarts, {asked} lookups, {failed} failed");
    assert_eq!(failed, 0, "of {asked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_drains_answers_and_closes_the_connection() {
    let service = Service::start_with(Engine::Embedded, DRAIN).await;
    let connection_of = async || {
        let answer = service
            .http
            .get(service.url("/openapi.json"))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        answer
            .headers()
            .get("connection")
            .map(|value| value.to_str().unwrap().to_owned())
    };
    assert_eq!(connection_of().await, None);
    service.signal("-TERM");
    let started = Instant::now();
    while service.is_ready().await {
        assert!(started.elapsed() < Duration::from_secs(2));
    }
    assert_eq!(connection_of().await.as_deref(), Some("close"));
}
