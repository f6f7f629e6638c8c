//! Rates and daily ceilings of consumers, against the started service.

use crate::harness::identifiers::people;
use crate::harness::{Caching, EITHER_WAY, Service, world};
use serde_json::Value;
use std::time::{Duration, Instant};

async fn ask(service: &Service, customer: &str) -> reqwest::Response {
    let today = world::today().to_string();
    service
        .relationships(customer, &today, &today)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn above_its_rate_a_consumer_is_429_and_others_are_not() {
    for caching in EITHER_WAY {
        let service = Service::start_with(caching, "[access]\nrate_per_second = 1\nrate_burst = 3").await;
        let customer = people().next().unwrap();
        for _ in 0..3 {
            assert_eq!(ask(&service, &customer).await.status(), 200);
        }
        let mut refused = ask(&service, &customer).await;
        for _ in 0..3 {
            if refused.status() == 429 {
                break;
            }
            refused = ask(&service, &customer).await;
        }
        assert_eq!(refused.status(), 429, "{caching:?}");
        let wait: u64 = refused.headers()["Retry-After"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=2).contains(&wait), "{wait}");
        let body: Value = refused.json().await.unwrap();
        assert_eq!(body["errorCode"], "ERR-010");
        assert_eq!(body["errorMessage"], "For mange forespørsler");
        assert!(
            service
                .metrics()
                .await
                .contains("kundeforhold_refusals_total{reason=\"rate\"}")
        );
    }
}

#[tokio::test]
async fn a_day_has_so_many_customers_and_known_ones_may_be_asked_about_again() {
    let service = Service::start_with(Caching::Without, "[access]\ndaily_customers = 3").await;
    let customers: Vec<String> = people().take(4).collect();
    for customer in customers.iter().take(3).chain(&customers[..2]) {
        assert_eq!(ask(&service, customer).await.status(), 200);
    }
    let refused = ask(&service, &customers[3]).await;
    assert_eq!(refused.status(), 429);
    let wait: u64 = refused.headers()["Retry-After"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=25 * 3600).contains(&wait), "{wait}");
    assert_eq!(ask(&service, &customers[1]).await.status(), 200);
    // An invalid question is 400 whatever was used up.
    assert_eq!(ask(&service, "1").await.status(), 400);
}

#[tokio::test]
async fn an_unusual_day_is_told_and_former_days_survive_a_restart() {
    let configuration = "[access]\nusual_range_floor = 5";
    let mut service = Service::start_with(Caching::Without, configuration).await;
    for customer in people().take(6) {
        assert_eq!(ask(&service, &customer).await.status(), 200);
    }
    let told = || service.log().matches("leaves its usual range").count();
    // Customers and cases, each once.
    assert_eq!(told(), 2, "{}", service.log());
    assert!(
        service
            .metrics()
            .await
            .contains("kundeforhold_unusual_days_total")
    );
    assert!(service.terminate().success());
    let kept = std::fs::read_to_string(service.directory.path().join("usage.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let last = &kept["974761076"]["last"];
    assert_eq!(last["day"], world::today().to_string(), "{kept}");
    assert_eq!(last["customers"].as_array().unwrap().len(), 6, "{kept}");
}

#[tokio::test]
async fn lookups_above_what_a_worker_takes_are_shed_at_once_and_nothing_else_is() {
    let configuration =
        "[server]\nworkers = 1\nmax_lookups_per_worker = 1\n[cache]\ntimeout_milliseconds = 5000";
    let service = Service::start_with(Caching::With, configuration).await;
    let redis = service.redis.as_ref().unwrap();
    let customer = people().next().unwrap();
    assert_eq!(ask(&service, &customer).await.status(), 200);
    redis.signal("-STOP");
    // One of two is under way for as long as Redis hangs.
    let shed = async {
        let began = Instant::now();
        while !service.metrics().await.contains("kundeforhold_shed_total 1") {
            assert!(began.elapsed() < Duration::from_secs(4), "none was shed");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let other = service.http.get(service.url("/v2/participants")).send().await;
        assert_eq!(other.unwrap().status(), 401, "other calls are not shed");
        redis.signal("-CONT");
    };
    let (one, other, ()) = tokio::join!(ask(&service, &customer), ask(&service, &customer), shed);
    let (answered, shed) = match one.status().as_u16() {
        200 => (one, other),
        _ => (other, one),
    };
    assert_eq!(answered.status(), 200);
    assert_eq!(shed.status(), 503);
    assert_eq!(shed.headers()["Retry-After"], "2");
    assert!(shed.headers().contains_key("CorrelationID"));
    let body: Value = shed.json().await.unwrap();
    assert_eq!(body["errorCode"], "ERR-503");
    assert_eq!(
        ask(&service, &customer).await.status(),
        200,
        "there is room again"
    );
}
