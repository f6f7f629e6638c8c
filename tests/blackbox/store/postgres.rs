//! A PostgreSQL database: what becomes of calls while it is away, and what several instances do on it.

use super::{BANK, line, whole_set};
use crate::harness::calls::streamed;
use crate::harness::identifiers::people;
use crate::harness::{Caching, EITHER_WAY, Service};
use reqwest::{Method, RequestBuilder, Url};
use std::time::{Duration, Instant};

/// An instance whose delivery was being received gives way so soon.
const GIVES_WAY_WITHIN: Duration = Duration::from_secs(15);

/// The same call of the instance at an address.
pub fn on(address: &str, request: RequestBuilder) -> RequestBuilder {
    let (client, request) = request.build_split();
    let mut request = request.unwrap();
    let (host, port) = address.split_once(':').unwrap();
    let url: &mut Url = request.url_mut();
    url.set_host(Some(host)).unwrap();
    url.set_port(Some(port.parse().unwrap())).unwrap();
    RequestBuilder::from_parts(client, request)
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

/// Whether a customer is listed.
async fn lists(lookup: RequestBuilder) -> bool {
    let answer = lookup.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let answer: serde_json::Value = answer.json().await.unwrap();
    !answer["banks"].as_array().unwrap().is_empty()
}

fn lookup(service: &Service, customer: &str) -> RequestBuilder {
    service.relationships(customer, "2016-01-01", "2026-01-01")
}

#[tokio::test]
async fn what_one_instance_acknowledges_is_in_the_next_answer_of_the_other() {
    for caching in EITHER_WAY {
        let service = Service::start_on_postgres(caching, "").await;
        let other = service.second_instance().await;
        let set = whole_set("2015-01-01");
        assert_eq!(service.put_set(BANK, "KFR", set).await.status(), 200);
        let customers: Vec<String> = people().take(40).collect();
        for (n, customer) in customers.iter().enumerate() {
            // So that both know it, and the cache too.
            assert!(lists(lookup(&service, customer)).await);
            assert!(lists(on(&other.address, lookup(&service, customer))).await);
            let remove = service.kfr(Method::DELETE, BANK, customer);
            let remove = remove.query(&[("toDate", "2015-06-01")]);
            match n % 2 {
                0 => {
                    assert_eq!(status(remove).await, 204, "{}", service.log());
                    assert!(
                        !lists(on(&other.address, lookup(&service, customer))).await,
                        "{caching:?} {n}"
                    );
                }
                _ => {
                    assert_eq!(status(on(&other.address, remove)).await, 204);
                    assert!(!lists(lookup(&service, customer)).await, "{caching:?} {n}");
                }
            }
        }
    }
}

#[tokio::test]
async fn a_delivery_of_a_killed_instance_gives_way_and_no_other_set_waits() {
    let service = Service::start_on_postgres(Caching::Without, "").await;
    let mut other = service.second_instance().await;
    let (pieces, body) = streamed();
    let sending = on(&other.address, service.put(BANK, "?register=KAR"))
        .body(body)
        .send();
    let sending = tokio::spawn(sending);
    pieces
        .send(Ok(line(&people().next().unwrap(), "2015-01-01", "")))
        .await
        .unwrap();
    while service.count(crate::harness::store::RECEIVING).await == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let set = whole_set("2015-01-01");
    assert_eq!(service.put_set(BANK, "KAR", set.clone()).await.status(), 409);
    assert_eq!(service.put_set(BANK, "KFR", set.clone()).await.status(), 200);
    other.kill();
    let killed = Instant::now();
    assert!(sending.await.unwrap().is_err());
    while service.put_set(BANK, "KAR", set.clone()).await.status() == 409 {
        assert!(killed.elapsed() < GIVES_WAY_WITHIN, "{}", service.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(lists(lookup(&service, &people().next().unwrap())).await);
}

#[tokio::test]
async fn without_the_database_calls_are_503_and_come_through_again_soon_after() {
    for caching in EITHER_WAY {
        let service = Service::start_on_postgres(caching, "").await;
        let set = whole_set("2015-01-01");
        assert_eq!(service.put_set(BANK, "KAR", set.clone()).await.status(), 200);
        let customer = people().next().unwrap();
        assert!(lists(lookup(&service, &customer)).await);
        let database = service.database.as_ref().unwrap();
        database.shut().await;
        let errors = "kundeforhold_store_errors_total{operation=\"customerRelationships\"}";
        let before = service.metric(errors).await;
        assert_eq!(
            status(lookup(&service, &customer)).await,
            503,
            "{}",
            service.log()
        );
        // What the cache answers is not recorded, and is counted as that.
        if caching == Caching::Without {
            assert_eq!(service.metric(errors).await, before + 1.0);
            let told = service.log();
            let told = told
                .lines()
                .find(|line| line.contains("the store did not answer a lookup"));
            let told: serde_json::Value = serde_json::from_str(told.unwrap()).unwrap();
            assert_eq!(told["asked"], "customerRelationships", "{told}");
            assert!(told["store"].as_str().unwrap().contains("register_"), "{told}");
        }
        assert_eq!(service.put_set(BANK, "KAR", set.clone()).await.status(), 503);
        assert!(!service.is_ready().await, "nothing can be recorded");
        database.open().await;
        let back = Instant::now();
        while status(lookup(&service, &customer)).await != 200 {
            assert!(back.elapsed() < Duration::from_secs(5), "{}", service.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(service.put_set(BANK, "KAR", set).await.status(), 200);
        assert!(lists(lookup(&service, &customer)).await);
    }
}

#[tokio::test]
async fn a_database_that_does_not_answer_in_time_is_504() {
    let service = Service::start_on_postgres(Caching::Without, "[store]\ntimeout_milliseconds = 300").await;
    assert_eq!(
        service
            .put_set(BANK, "KAR", whole_set("2015-01-01"))
            .await
            .status(),
        200
    );
    let customer = people().next().unwrap();
    assert!(lists(lookup(&service, &customer)).await);
    let mut connection = service.database.as_ref().unwrap().connect().await;
    let held = connection.transaction().await.unwrap();
    held.batch_execute("LOCK TABLE relationships IN ACCESS EXCLUSIVE MODE")
        .await
        .unwrap();
    for _ in 0..5 {
        assert_eq!(
            status(lookup(&service, &customer)).await,
            504,
            "{}",
            service.log()
        );
    }
    held.rollback().await.unwrap();
    assert!(lists(lookup(&service, &customer)).await);
}

/// Each instance tells the others what it has counted so soon.
const SHARED_WITHIN: Duration = Duration::from_secs(15);

#[tokio::test]
async fn the_customers_of_a_day_are_counted_over_all_instances_and_over_restarts() {
    let configuration = "[access]\ndaily_customers = 6";
    let mut service = Service::start_on_postgres(Caching::Without, configuration).await;
    let other = service.second_instance().await;
    let mut customers = people();
    let known: Vec<String> = customers.by_ref().take(6).collect();
    for (n, customer) in known.iter().enumerate() {
        let lookup = lookup(&service, customer);
        let asked = if n % 2 == 0 {
            lookup
        } else {
            on(&other.address, lookup)
        };
        assert_eq!(status(asked).await, 200);
    }
    let began = Instant::now();
    // One that is asked for before all are counted together is counted too.
    while status(lookup(&service, &customers.next().unwrap())).await != 429 {
        assert!(began.elapsed() < SHARED_WITHIN, "not counted together");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    while status(on(&other.address, lookup(&service, &customers.next().unwrap()))).await != 429 {
        assert!(began.elapsed() < SHARED_WITHIN, "not counted together");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(status(on(&other.address, lookup(&service, &known[0]))).await, 200);
    service.restart().await;
    let another = customers.next().unwrap();
    assert_eq!(status(lookup(&service, &another)).await, 429);
    assert_eq!(status(lookup(&service, &known[1])).await, 200, "it was counted");
}
