//! Several instances over one Redis: who takes a bank's deliveries, and what becomes of what each has taken.

mod failover;
mod rebuilding;
mod roles;

use crate::harness::identifiers::people;
use crate::harness::{Engine, Service};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// In both registers.
const GRANSKAUEN: &str = "210099093";
/// In KAR only.
const BLABAERLIA: &str = "210011013";
/// Short, so that tests need not wait.
const QUICK: &str = "[index]\nlease_seconds = 2\nmissing_journal_seconds = 2\n";

async fn first_instance() -> Service {
    Service::start_with(Engine::Redis, QUICK).await
}

/// A whole set with one running record for each customer.
fn set_of(customers: &[String]) -> String {
    let line = |customer: &String| {
        format!("{{\"customerID\":\"{customer}\",\"role\":\"owner\",\"fromDate\":\"2015-01-01\"}}\n")
    };
    customers.iter().map(line).collect()
}

/// Customers that no other test of these knows.
fn customers(from: usize, count: usize) -> Vec<String> {
    people().skip(6_000 + from).take(count).collect()
}

async fn is_listed(service: &Service, customer: &str) -> bool {
    service.listed(customer).await != json!([])
}

async fn assert_listed(service: &Service, customers: &[String], listed: bool) {
    for customer in customers {
        assert_eq!(is_listed(service, customer).await, listed, "{}", service.log());
    }
}

/// Delivers a whole set as soon as it is taken.
async fn put_once_taken(service: &Service, bank: &str, customers: &[String]) {
    let started = Instant::now();
    loop {
        let response = service.put_set(bank, "KAR", set_of(customers)).await;
        if response.status() == 200 {
            return;
        }
        assert_eq!(response.status(), 503, "{}", service.log());
        assert!(
            started.elapsed() < Duration::from_secs(15),
            "not taken over:\n{}",
            service.log()
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The newest receipt of a bank.
async fn newest_receipt(service: &Service, bank: &str) -> Value {
    let response = service
        .v2(reqwest::Method::GET, bank, "deliveries?limit=1")
        .send()
        .await
        .unwrap();
    response.json::<Value>().await.unwrap()["deliveries"][0].take()
}
