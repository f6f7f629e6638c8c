//! Another pseudonym key for a register that agencies ask at a steady rate.

use super::lookups::{Lookups, long_token};
use super::process::{push, scratch, start, write_set};
use crate::harness::{Caching, Service};
use kundeforhold::sandbox::population::{Population, PopulationSize};
use reqwest::Client;
use std::time::Instant;

/// Banks that share the register.
const BANKS: u64 = 10;
/// Customers whose answers are held against those from before.
const COMPARED: usize = 1_000;

pub async fn measure(relationships: u64, rate: u64) {
    let directory = scratch();
    let population = Population::new(&PopulationSize {
        banks: BANKS,
        relationships,
        customers: None,
        seed: 1,
    })
    .unwrap();
    let mut service = start(Caching::Without, &population, directory.path()).await;
    for set in population.sets() {
        push(&service, set, &write_set(set, directory.path()));
    }
    service.name_next_key();
    service.restart().await;
    let customers = population.existing_customers().take(COMPARED);
    let customers: Vec<String> = customers.map(|customer| customer.to_string()).collect();
    let (client, token) = (Client::new(), long_token(&service));
    let mut before = Vec::new();
    for customer in &customers {
        before.push(answer(&client, &service, &token, customer).await);
    }
    let listed = before.iter().filter(|answer| answer.contains("organizationID"));
    assert!(listed.count() > COMPARED / 4);
    let lookups = Lookups::start(&service, &population, rate);
    let began = Instant::now();
    let rekey = service.begin_rekey();
    let (mut compared, mut wrong) = (0, 0);
    while !rekey.is_finished() {
        let at = compared % customers.len();
        wrong += usize::from(answer(&client, &service, &token, &customers[at]).await != before[at]);
        compared += 1;
    }
    let took = began.elapsed();
    let done = rekey.await.unwrap();
    assert!(done.status.success(), "{done:?}");
    let mut asked = lookups.stop().await;
    println!("rekey of {relationships} relationships of {BANKS} banks beside {rate} lookups/s\n");
    println!("| | | |\n|---|---|---|");
    println!(
        "| took | {:.1} s | (goal 60 s for 1,000,000) |",
        took.as_secs_f64()
    );
    println!(
        "| asked, not answered | {}, {} | (goal 0) |",
        asked.milliseconds.len(),
        asked.failed
    );
    println!("| compared, wrong | {compared}, {wrong} | (goal 0) |");
    println!("| p99 | {:.1} ms | |\n", asked.percentile(99));
    assert_eq!((wrong, asked.failed), (0, 0));
    service.name_next_key_only();
    service.restart().await;
    for (customer, before) in customers.iter().zip(&before) {
        assert_eq!(&answer(&client, &service, &token, customer).await, before);
    }
}

async fn answer(client: &Client, service: &Service, token: &str, customer: &str) -> String {
    let url = service.url("/v2/customers/customerRelationships?fromDate=2020-01-01&toDate=2026-06-30");
    let request = client
        .get(url)
        .bearer_auth(token)
        .header("CustomerID", customer)
        .header("CorrelationID", uuid::Uuid::new_v4().to_string())
        .header("AccountInfoRequestID", uuid::Uuid::new_v4().to_string())
        .header("Legal-Mandate", "Test%20%C2%A7%201");
    request.send().await.unwrap().text().await.unwrap()
}
