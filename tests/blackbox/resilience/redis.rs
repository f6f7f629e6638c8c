//! A Redis that hangs, goes away, comes back, or is another than it was.

use super::{
    BLABAERLIA, GRANSKAUEN, asking_during, assert_all_right, is_listed, large_set, register, truths,
    wait_until_cache_is_used,
};
use crate::harness::identifiers::people;
use crate::harness::{Caching, Service};
use reqwest::Method;
use std::time::Duration;

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_hangs_holds_up_nobody() {
    let service = Service::start(Caching::With).await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    wait_until_cache_is_used(&service, &truths).await;
    let redis = service.redis.as_ref().unwrap();
    redis.signal("-STOP");
    let hanging = async {
        let many = (0..8).map(|_| assert_all_right(&service, &truths));
        futures_util::future::join_all(many).await;
        for customer in people().skip(3_000).take(5) {
            register(&service, &customer).await;
            assert!(is_listed(&service, &customer).await);
        }
        assert!(service.is_ready().await);
        service
            .wait_until_metrics(|metrics| metrics.contains("kundeforhold_cache_reachable 0"))
            .await;
        redis.signal("-CONT");
        wait_until_cache_is_used(&service, &truths).await;
    };
    asking_during(&service, &truths, hanging).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_is_not_missed_and_used_again_when_it_is_back() {
    let mut service = Service::start(Caching::With).await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    wait_until_cache_is_used(&service, &truths).await;
    let mut redis = service.redis.take().unwrap();
    let away = async {
        for _ in 0..3 {
            redis.kill();
            tokio::time::sleep(Duration::from_millis(500)).await;
            assert!(service.is_ready().await);
            redis.start_again();
            wait_until_cache_is_used(&service, &truths).await;
        }
    };
    asking_during(&service, &truths, away).await;
    service
        .wait_until_metrics(|metrics| metrics.contains("kundeforhold_cache_reachable 1"))
        .await;
}

#[tokio::test]
async fn the_service_starts_without_redis_and_uses_it_once_it_is_there() {
    let mut service = Service::start(Caching::With).await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    service.kill();
    service.redis.as_mut().unwrap().kill();
    service.start_again();
    service.wait_until_ready().await;
    assert_all_right(&service, &truths).await;
    service.redis.as_mut().unwrap().start_again();
    wait_until_cache_is_used(&service, &truths).await;
}

#[tokio::test]
async fn deliveries_while_redis_is_away_are_taken_and_hold_when_it_comes_back_as_it_was() {
    let mut service = Service::start(Caching::With).await;
    service.deliver_world().await;
    let who: Vec<String> = people().skip(4_000).take(6).collect();
    register(&service, &who[0]).await;
    // So that Redis has an entry of each, which will not hold.
    for customer in &who {
        assert_eq!(is_listed(&service, customer).await, *customer == who[0]);
    }
    let set = service.put_set(BLABAERLIA, "KAR", large_set(500)).await;
    assert_eq!(set.status(), 200);
    for customer in people().take(500).step_by(50) {
        assert!(is_listed(&service, &customer).await);
    }
    let older = tempfile::tempdir().unwrap();
    service.redis.as_ref().unwrap().save(older.path());
    service.redis.as_mut().unwrap().kill();

    register(&service, &who[1]).await;
    let ended = service.kfr(Method::DELETE, GRANSKAUEN, &who[0]).send().await;
    assert_eq!(ended.unwrap().status(), 204);
    let batch = service.kfr_batch(GRANSKAUEN, &who[2..4].join(",")).send().await;
    assert_eq!(batch.unwrap().status(), 201);
    let emptied = service.put(BLABAERLIA, "?confirmShrink=true").body("");
    assert_eq!(emptied.send().await.unwrap().status(), 200);

    service.redis.as_mut().unwrap().start_again_from(older.path());
    for _ in 0..3 {
        for (customer, listed) in who.iter().zip([false, true, true, true, false, false]) {
            assert_eq!(is_listed(&service, customer).await, listed);
        }
        for customer in people().take(500).step_by(50) {
            assert!(!is_listed(&service, &customer).await);
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}
