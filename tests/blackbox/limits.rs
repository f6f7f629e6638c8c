//! Rates and daily ceilings of consumers, against the started service.

use crate::harness::identifiers::people;
use crate::harness::{ENGINES, Engine, Service, world};
use serde_json::Value;

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
    for engine in ENGINES {
        let service = Service::start_with(engine, "[access]\nrate_per_second = 1\nrate_burst = 3").await;
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
        assert_eq!(refused.status(), 429, "{engine:?}");
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
    let service = Service::start_with(Engine::Embedded, "[access]\ndaily_customers = 3").await;
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
    let mut service = Service::start_with(Engine::Embedded, configuration).await;
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
    let kept = std::fs::read_to_string(service.directory.path().join("audit/usage.json")).unwrap();
    let kept: Value = serde_json::from_str(&kept).unwrap();
    let last = &kept["974761076"]["last"];
    assert_eq!(last["day"], world::today().to_string(), "{kept}");
    assert_eq!(last["customers"].as_array().unwrap().len(), 6, "{kept}");
}
