//! Killed right after an acknowledgement, and with the index lost: all is there again.

use super::{BLABAERLIA, GRANSKAUEN, assert_index_agrees_with_journal, is_listed, large_set, lose_the_index};
use crate::harness::identifiers::people;
use crate::harness::redis::RedisServer;
use crate::harness::{ENGINES, Service};
use reqwest::Method;
use std::time::{Duration, Instant};

/// A start with a small journal takes a moment, even of a build for development.
const READY_AGAIN: Duration = Duration::from_secs(5);

async fn kill_and_start_again(service: &mut Service) {
    service.kill();
    start_again(service).await;
}

async fn start_again(service: &mut Service) {
    let started = Instant::now();
    service.start_again();
    service.wait_until_ready().await;
    assert!(
        started.elapsed() < READY_AGAIN,
        "ready after {:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn every_acknowledged_delivery_survives_a_kill() {
    for engine in ENGINES {
        let mut service = Service::start(engine).await;
        let who: Vec<String> = people().skip(6_000).take(4).collect();
        let post = service
            .kfr(Method::POST, GRANSKAUEN, &who[0])
            .send()
            .await
            .unwrap();
        assert_eq!(post.status(), 201);
        kill_and_start_again(&mut service).await;
        assert!(is_listed(&service, &who[0]).await, "{engine:?}: a registration");

        let batch = service
            .kfr_batch(GRANSKAUEN, &who[1..3].join(","))
            .send()
            .await
            .unwrap();
        assert_eq!(batch.status(), 201);
        kill_and_start_again(&mut service).await;
        assert!(
            is_listed(&service, &who[1]).await && is_listed(&service, &who[2]).await,
            "{engine:?}: a batch"
        );

        let delete = service
            .kfr(Method::DELETE, GRANSKAUEN, &who[0])
            .send()
            .await
            .unwrap();
        assert_eq!(delete.status(), 204);
        kill_and_start_again(&mut service).await;
        assert!(
            !is_listed(&service, &who[0]).await,
            "{engine:?}: a deregistration"
        );

        assert_eq!(
            service
                .put_set(BLABAERLIA, "KAR", large_set(2_000))
                .await
                .status(),
            200
        );
        kill_and_start_again(&mut service).await;
        for customer in people().take(2_000).step_by(333) {
            assert!(is_listed(&service, &customer).await, "{engine:?}: a whole set");
        }
        assert!(
            is_listed(&service, &who[1]).await,
            "{engine:?}: what was there before"
        );
        service.terminate();
        assert_index_agrees_with_journal(&service);
    }
}

#[tokio::test]
async fn a_kill_amid_deliveries_leaves_each_of_them_whole_or_absent() {
    for engine in ENGINES {
        let mut service = Service::start(engine).await;
        let who: Vec<String> = people().take(120).collect();
        let mut acknowledged = Vec::new();
        let calls: Vec<_> = who
            .chunks(3)
            .map(|chunk| tokio::spawn(service.kfr_batch(GRANSKAUEN, &chunk.join(",")).send()))
            .collect();
        tokio::time::sleep(Duration::from_millis(60)).await;
        service.kill();
        for call in calls {
            acknowledged.push(call.await.unwrap().is_ok_and(|response| response.status() == 201));
        }
        start_again(&mut service).await;
        for (chunk, acknowledged) in who.chunks(3).zip(acknowledged) {
            let mut there = Vec::new();
            for customer in chunk {
                there.push(is_listed(&service, customer).await);
            }
            assert!(
                there.iter().all(|one| *one == there[0]),
                "{engine:?}: a part of a batch"
            );
            assert!(there[0] || !acknowledged, "{engine:?}: acknowledged and lost");
        }
        service.terminate();
        assert_index_agrees_with_journal(&service);
    }
}

#[tokio::test]
async fn an_index_that_is_lost_is_rebuilt_at_start() {
    for engine in ENGINES {
        let mut service = Service::start(engine).await;
        service.deliver_world().await;
        let truths = super::truths(&service).await;
        let customer = people().nth(7_000).unwrap();
        assert_eq!(
            service
                .kfr(Method::POST, GRANSKAUEN, &customer)
                .send()
                .await
                .unwrap()
                .status(),
            201
        );
        service.kill();
        lose_the_index(&service);
        start_again(&mut service).await;
        for (customer, right) in &truths {
            assert_eq!(&service.listed(customer).await, right, "{engine:?}");
        }
        assert!(is_listed(&service, &customer).await, "{engine:?}");
        if let Some(redis) = &mut service.redis {
            redis.kill();
            redis.start_again();
            service
                .wait_until(|| service.log().matches("was built from the journal").count() >= 3)
                .await;
            service.wait_until_ready().await;
            assert!(is_listed(&service, &customer).await, "{engine:?}");
        }
        service.terminate();
        assert_index_agrees_with_journal(&service);
    }
}

#[tokio::test]
async fn a_service_that_is_started_before_its_redis_waits_for_it() {
    let mut redis = RedisServer::start();
    redis.kill();
    let service = Service::launch_on(&redis.url(), "").await;
    service
        .wait_until(|| service.log().contains("Redis is not there yet"))
        .await;
    redis.start_again();
    service.wait_until_ready().await;
}
