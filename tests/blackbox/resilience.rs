//! What was acknowledged survives; what cannot be known is never answered as nothing.

mod arrangements;
mod cluster;
mod cut_off;
mod emptied;
mod failover;
mod faults;
mod node;
mod redis;
mod refusals;
mod restart;
mod secured;
mod slots;
mod stopping;

use crate::harness::identifiers::people;
use crate::harness::{Engine, PROGRAM, Service, world};
use serde_json::{Value, json};
use std::process::{Command, Output};

/// In both registers.
pub const GRANSKAUEN: &str = "210099093";
/// In KAR only.
pub const BLABAERLIA: &str = "210011013";

/// So many customers of Blabaerlia that a rebuild takes a while.
pub fn large_set(count: usize) -> String {
    let line = |customer| {
        format!("{{\"customerID\":\"{customer}\",\"role\":\"owner\",\"fromDate\":\"2015-01-01\"}}\n")
    };
    people().take(count).map(line).collect()
}

pub async fn is_listed(service: &Service, customer: &str) -> bool {
    service.listed(customer).await != json!([])
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

/// `index verify`, while the service is down.
pub fn assert_index_agrees_with_journal(service: &Service) {
    let output = run(service, &["index", "verify", "--json"]);
    assert!(output.status.success(), "{output:?}");
}

/// Takes away everything the index holds, while the service is down.
pub fn lose_the_index(service: &Service) {
    match &service.redis {
        Some(redis) => drop(redis.command(&["FLUSHALL"])),
        None => std::fs::remove_file(service.directory.path().join("index.redb")).unwrap(),
    }
}

/// A lookup as it was answered: right, refused for now, or wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    Right,
    Unavailable,
}

/// Asks for one customer; anything but the right answer or a proper 503 or 504 is a failure.
pub async fn told(service: &Service, customer: &str, right: &Value) -> Told {
    told_at(service, &service.address, customer, right).await
}

/// The same, asked of another instance.
pub async fn told_at(service: &Service, address: &str, customer: &str, right: &Value) -> Told {
    let today = world::today().to_string();
    let request = service
        .relationships_at(address, customer, &today, &today)
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

pub const REDIS: Engine = Engine::Redis;
