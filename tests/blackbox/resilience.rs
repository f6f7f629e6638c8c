//! What was acknowledged survives, and is in every answer; whatever becomes of Redis, no answer is wrong, refused or
//! late for it.

mod arrangements;
mod cluster;
mod cut_off;
mod entries;
mod failover;
mod faults;
mod node;
mod redis;
mod refusals;
mod restart;
mod secured;
mod stopping;

use crate::harness::identifiers::people;
use crate::harness::{PROGRAM, Service, world};
use reqwest::Method;
use serde_json::{Value, json};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// In both registers.
pub const GRANSKAUEN: &str = "210099093";
/// In KAR only.
pub const BLABAERLIA: &str = "210011013";
/// A lookup is answered within this, whatever hangs, by a build for development on a busy machine.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// Redis is used again this soon after a fault. One that fails again and again is left alone for half a minute at most.
const USED_AGAIN_WITHIN: Duration = Duration::from_secs(60);

/// So many customers of Blabaerlia.
pub fn large_set(count: usize) -> String {
    let line = |customer| {
        format!("{{\"customerID\":\"{customer}\",\"role\":\"owner\",\"fromDate\":\"2015-01-01\"}}\n")
    };
    people().take(count).map(line).collect()
}

pub async fn is_listed(service: &Service, customer: &str) -> bool {
    service.listed(customer).await != json!([])
}

/// Registers a customer with Granskauen in KFR.
pub async fn register(service: &Service, customer: &str) {
    let call = service.kfr(Method::POST, GRANSKAUEN, customer).send().await;
    assert_eq!(call.unwrap().status(), 201, "{}", service.log());
}

/// Runs a command of the program with the service's configuration. One that should have ended is ended.
pub fn run(service: &Service, arguments: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command
        .args(["300", PROGRAM])
        .args(arguments)
        .arg("--config")
        .arg(service.configuration());
    command.output().unwrap()
}

/// A lookup as it was answered: right, refused for now, or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Right,
    Unavailable,
}

/// Asks for one customer; anything but the right answer or a proper 503 or 504 is a failure.
pub async fn told(service: &Service, customer: &str, right: &Value) -> Told {
    let today = world::today().to_string();
    let request = service
        .relationships(customer, &today, &today)
        .query(&[("onlyPrimaryOwner", "false")]);
    let response = request.send().await.unwrap();
    let (status, retry) = (
        response.status().as_u16(),
        response.headers().contains_key("Retry-After"),
    );
    let body: Value = response.json().await.unwrap();
    match (status, body["errorCode"].as_str()) {
        (200, None) => {
            assert_eq!(&body["banks"], right, "a wrong answer");
            Told::Right
        }
        (503, Some("ERR-503")) if retry => Told::Unavailable,
        (504, Some("ERR-504")) => Told::Unavailable,
        _ => panic!("{status} {body}\n{}", service.log()),
    }
}

/// Some customers and what is rightly told of them: of those that the fixtures know, and of one unknown.
pub async fn truths(service: &Service) -> Vec<(String, Value)> {
    let known = ["01856867389", "11837724440", "310104566", "14848443140"].map(str::to_owned);
    let mut truths = Vec::new();
    for customer in known.into_iter().chain(people().skip(5_000).take(1)) {
        let right = service.listed(&customer).await;
        truths.push((customer, right));
    }
    assert!(truths[..4].iter().all(|(_, right)| *right != json!([])));
    truths
}

/// Asks for one customer: anything but the right answer in time is a failure.
pub async fn assert_right(service: &Service, customer: &str, right: &Value) {
    let asked = Instant::now();
    let told = told(service, customer, right).await;
    assert_eq!(told, Told::Right, "refused\n{}", service.log());
    assert!(asked.elapsed() < TOLD_WITHIN, "{:?}", asked.elapsed());
}

pub async fn assert_all_right(service: &Service, truths: &[(String, Value)]) {
    for (customer, right) in truths {
        assert_right(service, customer, right).await;
    }
}

/// Asks two questions at a time for as long as something goes on: none is refused, none answered wrongly.
pub async fn asking_during<T>(
    service: &Service,
    truths: &[(String, Value)],
    faults: impl Future<Output = T>,
) -> T {
    let (over, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    let ask_on = async |skipped: usize| {
        for (customer, right) in truths.iter().cycle().skip(skipped) {
            if over.load(Ordering::Relaxed) {
                return;
            }
            assert_right(service, customer, right).await;
            asked.fetch_add(1, Ordering::Relaxed);
        }
    };
    let faults = async {
        let outcome = faults.await;
        over.store(true, Ordering::Relaxed);
        outcome
    };
    let (outcome, (), ()) = tokio::join!(faults, ask_on(0), ask_on(truths.len() / 2));
    let asked = asked.into_inner();
    println!("{asked} lookups, all right");
    assert!(asked >= 10, "only {asked} lookups");
    outcome
}

/// Asks until the cache has an answer again.
pub async fn wait_until_cache_is_used(service: &Service, truths: &[(String, Value)]) {
    let (started, before) = (Instant::now(), service.cache_lookups("hit").await);
    while service.cache_lookups("hit").await <= before {
        assert!(started.elapsed() < USED_AGAIN_WITHIN, "{}", service.log());
        assert_all_right(service, truths).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
