//! What the register is in: a file, its disk, who serves it, what it is restored from; a database that several serve.

mod backup;
mod clock;
mod disk;
mod erasure;
mod histories;
mod many_accounts;
mod postgres;
mod rekey;
mod restored;
mod room;
mod served_once;
mod uploads;
mod verify;

use crate::harness::Service;
use crate::harness::identifiers::people;
use reqwest::Method;
use serde_json::json;

/// In both registers.
const BANK: &str = "210099093";

fn line(customer: &str, from: &str, more: &str) -> String {
    format!("{{\"customerID\":\"{customer}\",\"role\":\"owner\",\"fromDate\":\"{from}\"{more}}}\n")
}

/// One record a customer.
fn whole_set(from: &str) -> String {
    people()
        .take(3_000)
        .map(|customer| line(&customer, from, ""))
        .collect()
}

async fn is_listed(service: &Service, customer: &str) -> bool {
    service.listed(customer).await != json!([])
}

/// A KFR call of the bank, and its status.
async fn call(service: &Service, method: Method, customer: &str) -> u16 {
    let call = service.kfr(method, BANK, customer).send().await;
    call.unwrap().status().as_u16()
}
