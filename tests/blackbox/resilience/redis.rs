//! A Redis that is emptied, hangs, goes away, or comes back as somebody else's.

use super::{
    BLABAERLIA, GRANSKAUEN, REDIS, Told, assert_index_agrees_with_journal, is_listed, large_set, run, told,
    truths,
};
use crate::harness::calls::code_of;
use crate::harness::identifiers::people;
use crate::harness::{Service, world};
use reqwest::Method;
use serde_json::Value;
use std::time::{Duration, Instant};

/// What hangs is told within the index's bound of a second, and some.
const TOLD_WITHIN: Duration = Duration::from_millis(2_500);

async fn not_ready_within(service: &Service, bound: Duration) {
    let started = Instant::now();
    while service.is_ready().await {
        assert!(started.elapsed() < bound, "still ready:\n{}", service.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub async fn all_right(service: &Service, truths: &[(String, Value)]) {
    for (customer, right) in truths {
        assert_eq!(told(service, customer, right).await, Told::Right);
    }
}

#[tokio::test]
async fn a_redis_that_hangs_is_told_in_time_and_recovers_by_itself() {
    let service = Service::start(REDIS).await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    let redis = service.redis.as_ref().unwrap();
    redis.signal("-STOP");
    for (customer, right) in &truths {
        let started = Instant::now();
        assert_eq!(told(&service, customer, right).await, Told::Unavailable);
        assert!(started.elapsed() < TOLD_WITHIN, "{:?}", started.elapsed());
    }
    let many = truths.iter().cycle().take(40).map(|(customer, right)| async {
        let started = Instant::now();
        assert_eq!(told(&service, customer, right).await, Told::Unavailable);
        assert!(
            started.elapsed() < TOLD_WITHIN,
            "many at once: {:?}",
            started.elapsed()
        );
    });
    futures_util::future::join_all(many).await;
    not_ready_within(&service, TOLD_WITHIN).await;
    redis.signal("-CONT");
    service.wait_until_ready().await;
    all_right(&service, &truths).await;
}

#[tokio::test]
async fn a_redis_that_is_away_makes_not_ready_and_comes_back_by_itself() {
    let mut service = Service::start(REDIS).await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    service.redis.as_mut().unwrap().kill();
    for (customer, right) in &truths {
        assert_eq!(told(&service, customer, right).await, Told::Unavailable);
    }
    not_ready_within(&service, TOLD_WITHIN).await;
    let alive = service
        .http
        .get(format!("http://{}/isalive", service.management))
        .send()
        .await
        .unwrap();
    assert_eq!(alive.status(), 200, "alive all the same");
    service.redis.as_mut().unwrap().start_again();
    service.wait_until_ready().await;
    all_right(&service, &truths).await;
}

#[tokio::test]
async fn the_service_starts_without_redis_and_waits_for_it() {
    let mut service = Service::start(REDIS).await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    service.kill();
    service.redis.as_mut().unwrap().kill();
    service.start_again();
    service
        .wait_until(|| service.log().matches("\"listening\"").count() >= 2)
        .await;
    assert!(!service.is_ready().await);
    assert_eq!(
        told(&service, &truths[0].0, &truths[0].1).await,
        Told::Unavailable
    );
    service.redis.as_mut().unwrap().start_again();
    service.wait_until_ready().await;
    all_right(&service, &truths).await;
}

#[tokio::test]
async fn deliveries_while_redis_is_away_are_503_and_afterwards_whole_or_absent() {
    let mut service = Service::start(REDIS).await;
    let former: Vec<String> = people().skip(4_000).take(2).collect();
    assert_eq!(
        service
            .kfr_batch(GRANSKAUEN, &former.join(","))
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
    service.redis.as_mut().unwrap().kill();
    let who: Vec<String> = people().skip(4_100).take(6).collect();
    let post = service.kfr(Method::POST, GRANSKAUEN, &who[0]);
    let delete = service.kfr(Method::DELETE, GRANSKAUEN, &former[0]);
    let batch = service.kfr_batch(GRANSKAUEN, &who[1..4].join(","));
    for request in [post, delete, batch] {
        let response = request.send().await.unwrap();
        assert!(response.headers().contains_key("Retry-After"));
        assert_eq!(code_of(response, 503).await, "KFR-016");
    }
    let put = service.put_set(BLABAERLIA, "KAR", large_set(500)).await;
    assert_eq!(code_of(put, 503).await, "KFR-016");
    let own = service.kfr_own(GRANSKAUEN, &former[0]).send().await.unwrap();
    assert_eq!(code_of(own, 503).await, "ERR-503");

    service.redis.as_mut().unwrap().start_again();
    // So short an absence may go unnoticed by readiness.
    service
        .wait_until(|| service.log().matches("was built from the journal").count() >= 2)
        .await;
    service.wait_until_ready().await;
    assert!(is_listed(&service, &former[1]).await);
    let mut there = Vec::new();
    for customer in &who[1..4] {
        there.push(is_listed(&service, customer).await);
    }
    assert!(
        there.iter().all(|one| *one == there[0]),
        "a part of a batch: {there:?}"
    );
    let mut there = Vec::new();
    for customer in people().take(500).step_by(50) {
        there.push(is_listed(&service, &customer).await);
    }
    assert!(
        there.iter().all(|one| *one == there[0]),
        "a part of a set: {there:?}"
    );
    // Sent again they hold, whatever became of them before.
    assert!(
        service
            .kfr(Method::POST, GRANSKAUEN, &who[0])
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
    assert!(is_listed(&service, &who[0]).await);
    assert_eq!(
        service.put_set(BLABAERLIA, "KAR", large_set(500)).await.status(),
        200
    );
    service.terminate();
    assert_index_agrees_with_journal(&service);
}

#[tokio::test]
async fn somebody_elses_redis_is_refused() {
    let other = Service::start(REDIS).await;
    let foreign = tempfile::tempdir().unwrap();
    other.redis.as_ref().unwrap().save(foreign.path());
    let mut service = Service::start(REDIS).await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    let redis = service.redis.as_mut().unwrap();
    redis.kill();
    redis.start_again_from(foreign.path());
    for _ in 0..3 {
        for (customer, right) in &truths[..4] {
            assert_eq!(told(&service, customer, right).await, Told::Unavailable);
        }
    }
    not_ready_within(&service, TOLD_WITHIN).await;
    service
        .wait_until(|| service.log().contains("belongs to another register"))
        .await;
    let post = service
        .kfr(Method::POST, GRANSKAUEN, &truths[4].0)
        .send()
        .await
        .unwrap();
    assert_eq!(code_of(post, 503).await, "KFR-016");
    for (customer, right) in &truths[..4] {
        assert_eq!(told(&service, customer, right).await, Told::Unavailable);
    }
    let size = service.redis.as_ref().unwrap().command(&["DBSIZE"]);
    service.kill();
    service.start_again();
    service
        .wait_until(|| service.log().matches("belongs to another register").count() >= 2)
        .await;
    assert!(!service.is_ready().await);
    assert_eq!(
        told(&service, &truths[0].0, &truths[0].1).await,
        Told::Unavailable
    );
    assert_eq!(
        service.redis.as_ref().unwrap().command(&["DBSIZE"]),
        size,
        "what is not ours is left alone"
    );
}

#[tokio::test]
async fn a_redis_that_comes_back_with_an_old_state_is_caught_up() {
    let mut service = Service::start(REDIS).await;
    service.deliver_world().await;
    let old = tempfile::tempdir().unwrap();
    service.redis.as_ref().unwrap().save(old.path());
    let customer = people().nth(4_500).unwrap();
    assert_eq!(
        service
            .kfr(Method::POST, GRANSKAUEN, &customer)
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
    let right = service.listed(&customer).await;
    let redis = service.redis.as_mut().unwrap();
    redis.kill();
    redis.start_again_from(old.path());
    let started = Instant::now();
    let today = world::today().to_string();
    loop {
        let request = service
            .relationships(&customer, &today, &today)
            .query(&[("onlyPrimaryOwner", "false")]);
        let response = request.send().await.unwrap();
        if response.status() == 200 && response.json::<Value>().await.unwrap()["banks"] == right {
            break;
        }
        assert!(
            started.elapsed() < Duration::from_secs(3),
            "not caught up:\n{}",
            service.log()
        );
    }
    service.wait_until_ready().await;
    assert_eq!(service.listed(&customer).await, right);
}

#[tokio::test]
async fn a_redis_that_evicts_is_refused_at_start_with_what_to_change() {
    let mut service = Service::start(REDIS).await;
    service.terminate();
    service
        .redis
        .as_ref()
        .unwrap()
        .command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let output = run(&service, &["serve"]);
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("maxmemory-policy noeviction"), "{said}");
}
