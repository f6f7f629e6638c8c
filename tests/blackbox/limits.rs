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
    let mut service = Service::start_on_file(Caching::Without, configuration).await;
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

/// So that the minute does not end amid the calls.
async fn early_in_a_minute() {
    let into = |at: chrono::DateTime<chrono::Utc>| at.timestamp().rem_euclid(60);
    while into(chrono::Utc::now()) > 40 {
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn a_consumer_that_is_refused_too_often_is_turned_away_and_its_record_grows_by_one_entry() {
    let configuration = "[access]\nrefusals_per_minute = 5\n";
    let mut service = Service::start_with(Caching::Without, configuration).await;
    service.deliver_world().await;
    early_in_a_minute().await;
    let unknown = || service.account(crate::harness::ask::NOBODYS_ACCOUNT).send();
    for _ in 0..8 {
        assert_eq!(unknown().await.unwrap().status(), 404, "an answer is no refusal");
    }
    for _ in 0..5 {
        assert_eq!(ask(&service, "1").await.status(), 400);
    }
    let good = people().next().unwrap();
    for customer in ["1", &good, "1", &good] {
        let turned_away = ask(&service, customer).await;
        assert_eq!(turned_away.status(), 429);
        let wait: u64 = turned_away.headers()["Retry-After"]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        assert!((1..=61).contains(&wait), "{wait}");
        assert_eq!(turned_away.json::<Value>().await.unwrap()["errorCode"], "ERR-010");
    }
    // Neither other agencies nor banks have to suffer for it.
    let other = service.issuer.token("915429785", "bits:kundeforhold");
    let listed = service.http.get(service.url("/v2/participants"));
    let listed = listed
        .bearer_auth(other)
        .header("CorrelationID", uuid::Uuid::new_v4().to_string());
    assert_eq!(listed.send().await.unwrap().status(), 200);

    let bank = "210099093";
    let refused = || async {
        let call = service.v2(reqwest::Method::POST, bank, "relationships/changes");
        call.body("x").send().await.unwrap()
    };
    for _ in 0..5 {
        assert_eq!(refused().await.status(), 422);
    }
    let turned_away = refused().await;
    assert_eq!(turned_away.status(), 429);
    assert_eq!(turned_away.json::<Value>().await.unwrap()["errorCode"], "KFR-015");

    // What the last minute had is recorded at the end at the latest.
    assert!(service.terminate().success());
    let of = |consumer: &str| crate::audit::load::search(&service, &["--consumer", consumer], "");
    let (agency, bank) = (of("974761076"), of(bank));
    let turned_away = |calls: &[Value]| -> Vec<(u64, u64)> {
        let together = calls.iter().filter(|call| call["endpoint"] == "turnedAway");
        together
            .map(|call| (call["calls"].as_u64().unwrap(), call["status"].as_u64().unwrap()))
            .collect()
    };
    assert_eq!(turned_away(&agency), [(4, 429)], "{agency:?}");
    assert_eq!(turned_away(&bank), [(1, 429)], "{bank:?}");
    assert_eq!(agency.len(), 8 + 5 + 1);
    crate::audit::load::verify(&service, &[]);
}
