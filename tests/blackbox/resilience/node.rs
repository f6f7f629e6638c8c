//! A single Redis that is full, is made a replica by hand, or forgets its scripts.

use super::redis::all_right;
use super::{
    BLABAERLIA, GRANSKAUEN, REDIS, Told, assert_index_agrees_with_journal, is_listed, large_set, told, truths,
};
use crate::harness::Service;
use crate::harness::calls::code_of;
use crate::harness::identifiers::people;
use crate::harness::redis::RedisServer;
use reqwest::Method;
use std::time::{Duration, Instant};

/// From the end of a fault until all is right again.
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// An answer is never older than this.
const STATE_AGE: Duration = Duration::from_millis(250);

async fn post(service: &Service, customer: &str) -> reqwest::Response {
    service
        .kfr(Method::POST, GRANSKAUEN, customer)
        .send()
        .await
        .unwrap()
}

#[tokio::test]
async fn a_redis_that_is_full_takes_no_deliveries_and_answers_on() {
    let mut service = Service::start(REDIS).await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    let who: Vec<String> = people().skip(8_000).take(4).collect();
    assert_eq!(post(&service, &who[0]).await.status(), 201);
    let redis = service.redis.as_ref().unwrap();
    redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    assert_eq!(code_of(post(&service, &who[1]).await, 503).await, "KFR-016");
    let batch = service.kfr_batch(GRANSKAUEN, &who[2..].join(",")).send().await;
    assert_eq!(code_of(batch.unwrap(), 503).await, "KFR-016");
    let set = service.put_set(BLABAERLIA, "KAR", large_set(300)).await;
    assert_eq!(set.status(), 503);
    let full = Instant::now();
    // Longer than the pause between two checkpoints, which cannot be written either.
    while full.elapsed() < Duration::from_millis(2_500) {
        // What was delivered last may hold already, or not yet.
        for (customer, right) in &truths {
            assert_eq!(told(&service, customer, right).await, Told::Right);
        }
        assert!(is_listed(&service, &who[0]).await);
    }
    assert!(service.is_ready().await);
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    let raised = Instant::now();
    while !post(&service, &who[1]).await.status().is_success() {
        assert!(raised.elapsed() < BACK_WITHIN, "{}", service.log());
    }
    assert!(is_listed(&service, &who[1]).await);
    // The former one may be in the journal, and is brought in before another is taken.
    while service.put_set(BLABAERLIA, "KAR", large_set(300)).await.status() != 200 {
        assert!(raised.elapsed() < BACK_WITHIN, "{}", service.log());
    }
    assert_eq!(
        is_listed(&service, &who[2]).await,
        is_listed(&service, &who[3]).await
    );
    assert!(service.terminate().success());
    assert_index_agrees_with_journal(&service);
}

#[tokio::test]
async fn a_node_that_is_made_a_replica_answers_nothing_until_it_is_a_primary_again() {
    let mut service = Service::start(REDIS).await;
    service.deliver_world().await;
    let older = tempfile::tempdir().unwrap();
    service.redis.as_ref().unwrap().save(older.path());
    let mut other = RedisServer::start();
    other.kill();
    other.start_again_from(older.path());
    let customer = people().nth(8_100).unwrap();
    assert_eq!(post(&service, &customer).await.status(), 201);
    let right = service.listed(&customer).await;
    // A replica of nobody keeps its rows, one of an older copy takes over what that has.
    for master in ["1", other.port()] {
        let redis = service.redis.as_ref().unwrap();
        redis.command(&["REPLICAOF", "127.0.0.1", master]);
        let demoted = Instant::now();
        while demoted.elapsed() < Duration::from_millis(1_500) {
            let asked = demoted.elapsed();
            let told = told(&service, &customer, &right).await;
            assert!(
                told == Told::Unavailable || asked < 2 * STATE_AGE,
                "after {asked:?}"
            );
        }
        assert!(!service.is_ready().await);
        assert_eq!(post(&service, &people().nth(8_101).unwrap()).await.status(), 503);
        redis.command(&["REPLICAOF", "NO", "ONE"]);
        let promoted = Instant::now();
        while told(&service, &customer, &right).await != Told::Right {
            assert!(promoted.elapsed() < BACK_WITHIN, "{}", service.log());
        }
        service.wait_until_ready().await;
    }
    assert!(service.terminate().success());
    assert_index_agrees_with_journal(&service);
}

#[tokio::test]
async fn scripts_that_are_forgotten_are_not_missed() {
    let service = Service::start(REDIS).await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    for customer in people().skip(8_200).take(5) {
        assert_eq!(
            service
                .redis
                .as_ref()
                .unwrap()
                .command(&["SCRIPT", "FLUSH"])
                .trim(),
            "OK"
        );
        assert_eq!(post(&service, &customer).await.status(), 201);
        assert!(is_listed(&service, &customer).await);
        all_right(&service, &truths).await;
    }
}
