//! Whole sets that were replaced go from the journal when they can no longer be rolled back to.

use super::{BANK, journal, whole_set};
use crate::commands::{done, run};
use crate::harness::identifiers::people;
use crate::harness::{ENGINES, Engine, Service};
use serde_json::Value;
use std::time::Duration;

fn bodies(service: &Service) -> usize {
    std::fs::read_dir(journal(service).join("bodies"))
        .unwrap()
        .count()
}

async fn deliveries(service: &Service) -> Value {
    let path = format!("/v2/financialInstitutions/{BANK}/deliveries");
    let request = service.http.get(service.url(&path));
    let request = request.bearer_auth(service.issuer.bank_token(BANK));
    request.send().await.unwrap().json().await.unwrap()
}

async fn roll_back(service: &Service, delivery: &str) -> u16 {
    let path = format!("/v2/financialInstitutions/{BANK}/deliveries/{delivery}/rollback");
    let request = service.http.post(service.url(&path));
    let request = request.bearer_auth(service.issuer.bank_token(BANK));
    request.send().await.unwrap().status().as_u16()
}

async fn put(service: &Service, from: &str) -> String {
    let response = service.put_set(BANK, "KAR", whole_set(from)).await;
    assert_eq!(response.status(), 200, "{}", service.log());
    let receipt: Value = response.json().await.unwrap();
    receipt["deliveryID"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn replaced_sets_go_and_everything_else_works_without_them() {
    for engine in ENGINES {
        let configuration = "[delivery]\nrollback_days = 0\n[journal]\nupkeep_seconds = 1\n";
        let mut service = Service::start_with(engine, configuration).await;
        for year in ["2017-01-01", "2018-01-01", "2019-01-01"] {
            put(&service, year).await;
        }
        service.wait_until(|| bodies(&service) == 1).await;
        service.wait_until(|| service.log().contains("let go")).await;
        let customer = people().nth(2_999).unwrap();
        assert!(service.is_listed_on(&customer, "2019-06-01").await);
        assert!(!service.is_listed_on(&customer, "2018-06-01").await);
        let told = deliveries(&service).await;
        assert_eq!(told["deliveries"].as_array().unwrap().len(), 3, "{told}");
        service.terminate();
        let configuration = service.configuration();
        for command in ["rebuild", "verify"] {
            done(run(&[
                "index",
                command,
                "--config",
                configuration.to_str().unwrap(),
            ]));
        }
        service.start_again();
        service.wait_until_ready().await;
        assert!(service.is_listed_on(&customer, "2019-06-01").await, "{engine:?}");
        let last = put(&service, "2020-01-01").await;
        assert!(!service.is_listed_on(&customer, "2019-06-01").await);
        assert_eq!(roll_back(&service, &last).await, 409);
    }
}

#[tokio::test]
async fn what_can_still_be_rolled_back_to_stays() {
    let mut service = Service::start_with(Engine::Embedded, "[journal]\nupkeep_seconds = 1\n").await;
    put(&service, "2017-01-01").await;
    let last = put(&service, "2019-01-01").await;
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    assert_eq!(bodies(&service), 2);
    assert_eq!(roll_back(&service, &last).await, 200);
    let customer = people().nth(2_999).unwrap();
    assert!(service.is_listed_on(&customer, "2017-06-01").await);
    // What was undone cannot be had back.
    service.wait_until(|| bodies(&service) == 1).await;
    service.terminate();
    service.start_again();
    service.wait_until_ready().await;
    assert!(service.is_listed_on(&customer, "2017-06-01").await);
}
