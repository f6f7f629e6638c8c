//! Killed right after an acknowledgement: all is there again, on the same directory.

use super::{BLABAERLIA, GRANSKAUEN, is_listed, large_set};
use crate::harness::identifiers::people;
use crate::harness::{EITHER_WAY, Service};
use reqwest::Method;
use std::time::{Duration, Instant};

/// A start takes a moment, even of a build for development.
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
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
        let who: Vec<String> = people().skip(6_000).take(4).collect();
        let post = service
            .kfr(Method::POST, GRANSKAUEN, &who[0])
            .send()
            .await
            .unwrap();
        assert_eq!(post.status(), 201);
        kill_and_start_again(&mut service).await;
        assert!(is_listed(&service, &who[0]).await, "{caching:?}: a registration");

        let batch = service
            .kfr_batch(GRANSKAUEN, &who[1..3].join(","))
            .send()
            .await
            .unwrap();
        assert_eq!(batch.status(), 201);
        kill_and_start_again(&mut service).await;
        assert!(
            is_listed(&service, &who[1]).await && is_listed(&service, &who[2]).await,
            "{caching:?}: a batch"
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
            "{caching:?}: a deregistration"
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
            assert!(is_listed(&service, &customer).await, "{caching:?}: a whole set");
        }
        assert!(
            is_listed(&service, &who[1]).await,
            "{caching:?}: what was there before"
        );
        service.terminate();
        service.assert_store_is_sound();
    }
}

#[tokio::test]
async fn a_kill_amid_deliveries_leaves_each_of_them_whole_or_absent() {
    for caching in EITHER_WAY {
        let mut service = Service::start(caching).await;
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
                "{caching:?}: a part of a batch"
            );
            assert!(there[0] || !acknowledged, "{caching:?}: acknowledged and lost");
        }
        service.terminate();
        service.assert_store_is_sound();
    }
}
