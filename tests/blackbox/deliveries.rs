//! V2 deliveries to the letter: whole sets, changes, receipts, rollback; against random histories, kills and
//! hostile bodies.

mod admission;
mod bounds;
mod changes;
mod encodings;
mod hostile;
mod idempotency;
mod kills;
mod lists;
mod model;
mod receipts;
mod rejects;
mod rollback;
mod sequence;
mod shapes;
mod shrink;
mod side_by_side;
mod turns;

use crate::harness::Service;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// In KAR only.
pub const BLABAERLIA: &str = "210011013";
/// In both registers.
pub const GRANSKAUEN: &str = "210099093";
/// In KFR only; ownership unknown.
pub const RYPA: &str = "210132120";

/// A record since 2015; `more` has further fields.
pub fn record(customer: &str, role: &str, more: &Value) -> Value {
    let mut record = json!({"customerID": customer, "role": role, "fromDate": "2015-01-01"});
    let further = more.as_object().cloned().unwrap_or_default();
    record.as_object_mut().unwrap().extend(further);
    record
}

/// One value a line.
pub fn lines(values: &[Value]) -> String {
    values.iter().map(|value| format!("{value}\n")).collect()
}

/// Owners since 2015.
pub fn owners(customers: &[String]) -> String {
    let owner = |customer: &String| record(customer, "owner", &json!({}));
    lines(&customers.iter().map(owner).collect::<Vec<_>>())
}

/// The status and the body, which is JSON.
pub async fn send(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status}, no JSON: {text}"));
    (status, body)
}

pub async fn put(service: &Service, bank: &str, query: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
    send(
        service
            .v2(Method::PUT, bank, &format!("relationships{query}"))
            .body(body),
    )
    .await
}

pub async fn change(service: &Service, bank: &str, query: &str, changes: &[Value]) -> (u16, Value) {
    send(changing(service, bank, query, changes)).await
}

pub fn changing(service: &Service, bank: &str, query: &str, changes: &[Value]) -> RequestBuilder {
    let request = service.v2(Method::POST, bank, &format!("relationships/changes{query}"));
    request.body(lines(changes))
}

/// What must be published; its id.
pub fn published((status, receipt): (u16, Value)) -> String {
    assert_eq!(
        (status, &receipt["state"]),
        (200, &json!("published")),
        "{receipt}"
    );
    id_of(&receipt)
}

pub fn id_of(receipt: &Value) -> String {
    receipt["deliveryID"].as_str().expect("a deliveryID").to_owned()
}

/// What must be a conflict; what it says of what.
pub fn conflict((status, body): (u16, Value)) -> (String, String) {
    assert_eq!((status, &body["errorCode"]), (409, &json!("KFR-011")), "{body}");
    let text = |name: &str| body["details"][0][name].as_str().unwrap().to_owned();
    (text("parameter"), text("reason"))
}

pub async fn receipt(service: &Service, bank: &str, delivery: &str) -> Value {
    let (status, receipt) = send(service.v2(Method::GET, bank, &format!("deliveries/{delivery}"))).await;
    assert_eq!(status, 200, "{receipt}");
    receipt
}

/// The bank's receipts, newest first: of V2 deliveries, batches, and the KFR calls of a day together.
pub async fn receipts(service: &Service, bank: &str) -> Vec<Value> {
    let (status, mut page) = send(service.v2(Method::GET, bank, "deliveries?limit=500")).await;
    assert_eq!(status, 200, "{page}");
    serde_json::from_value(page["deliveries"].take()).unwrap()
}

/// Of the KFR calls that are made in between: the line of a day, or a batch.
pub fn is_of_calls(receipt: &Value) -> bool {
    receipt["kind"] == "kfrCalls" || receipt["kind"] == "batch"
}

/// The newest receipt of a V2 delivery, once it is in a state: those of what was broken off are filed a moment later.
pub async fn newest(service: &Service, bank: &str, state: &str) -> Value {
    let started = Instant::now();
    loop {
        let receipts = receipts(service, bank).await;
        let newest = receipts.into_iter().find(|receipt| !is_of_calls(receipt));
        match newest {
            Some(receipt) if receipt["state"] == state => return receipt,
            other => assert!(
                started.elapsed() < Duration::from_secs(20),
                "no {state}: {other:?}"
            ),
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn roll_back(service: &Service, bank: &str, delivery: &str, query: &str) -> (u16, Value) {
    send(service.v2(
        Method::POST,
        bank,
        &format!("deliveries/{delivery}/rollback{query}"),
    ))
    .await
}

/// The bank's own records of a customer.
pub async fn own(service: &Service, bank: &str, customer: &str) -> Vec<Value> {
    let request = service.v2(Method::GET, bank, "relationships");
    let (status, mut body) = send(request.header("CustomerID", customer)).await;
    assert_eq!(status, 200, "{body}");
    serde_json::from_value(body["relationships"].take()).unwrap()
}

pub async fn is_listed(service: &Service, customer: &str) -> bool {
    service.listed(customer).await != json!([])
}
