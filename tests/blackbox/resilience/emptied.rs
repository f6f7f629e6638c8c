//! A Redis that is emptied while the service runs: in peace, amid a rebuild, amid deliveries.

use super::redis::all_right;
use super::{
    BLABAERLIA, GRANSKAUEN, REDIS, Told, assert_index_agrees_with_journal, is_listed, large_set, told, truths,
};
use crate::harness::Service;
use crate::harness::identifiers::people;
use reqwest::Method;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Asks on until told to end; gives how many were right and how many unavailable.
async fn ask_on(service: Arc<Service>, truths: Vec<(String, Value)>, end: Arc<AtomicBool>) -> (u32, u32) {
    let (mut right, mut unavailable) = (0, 0);
    for (customer, truth) in truths.iter().cycle() {
        if end.load(Ordering::SeqCst) {
            break;
        }
        match told(&service, customer, truth).await {
            Told::Right => right += 1,
            Told::Unavailable => unavailable += 1,
        }
    }
    (right, unavailable)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_redis_is_503_until_rebuilt_and_never_a_wrong_answer() {
    let service = Arc::new(Service::start(REDIS).await);
    service.deliver_world().await;
    assert_eq!(
        service
            .put_set(BLABAERLIA, "KAR", large_set(3_000))
            .await
            .status(),
        200
    );
    let mut truths = truths(&service).await;
    for customer in people().take(3_000).step_by(700) {
        truths.push((customer.clone(), service.listed(&customer).await));
    }
    let end = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = (0..3)
        .map(|_| tokio::spawn(ask_on(Arc::clone(&service), truths.clone(), Arc::clone(&end))))
        .collect();
    let redis = service.redis.as_ref().unwrap();
    // Once in peace, and then again and again, amid the rebuilding too.
    for pause in [
        1_500, 400, 150, 220, 90, 130, 310, 60, 170, 240, 110, 80, 190, 140, 260, 330, 75, 205, 155, 95,
    ] {
        redis.command(&["FLUSHALL"]);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    service.wait_until_ready().await;
    all_right(&service, &truths).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    end.store(true, Ordering::SeqCst);
    let (mut right, mut unavailable) = (0, 0);
    for task in asking {
        let counted = task.await.unwrap();
        (right, unavailable) = (right + counted.0, unavailable + counted.1);
    }
    assert!(
        right > 20 && unavailable > 0,
        "{right} right, {unavailable} unavailable"
    );
}

#[tokio::test]
async fn a_redis_emptied_amid_a_rebuild_is_rebuilt_once_more() {
    const CUSTOMERS: usize = 20_000;
    let service = Service::start(REDIS).await;
    assert_eq!(
        service
            .put_set(BLABAERLIA, "KAR", large_set(CUSTOMERS))
            .await
            .status(),
        200
    );
    let redis = service.redis.as_ref().unwrap();
    for loaded in [1_000, 5_000, 9_000] {
        let rows = || redis.command(&["DBSIZE"]).trim().parse::<usize>().unwrap();
        // On a busy machine the rebuild may have ended before it is looked at: then it is emptied once more.
        let mut attempts = 0..30;
        loop {
            assert!(
                attempts.next().is_some(),
                "always too late to be amid the rebuild"
            );
            redis.command(&["FLUSHALL"]);
            service.wait_until(|| rows() > loaded).await;
            if rows() < CUSTOMERS {
                break;
            }
        }
        redis.command(&["FLUSHALL"]);
        tokio::time::sleep(Duration::from_millis(300)).await;
        service.wait_until_ready().await;
        for customer in people().take(CUSTOMERS).step_by(499) {
            assert!(
                is_listed(&service, &customer).await,
                "emptied after {loaded} rows"
            );
        }
    }
}

#[tokio::test]
async fn deliveries_amid_flushes_are_whole_or_absent() {
    let mut service = Service::start(REDIS).await;
    let redis = service.redis.as_ref().unwrap();
    let who: Vec<String> = people().take(120).collect();
    let mut acknowledged = Vec::new();
    for (number, chunk) in who.chunks(2).enumerate() {
        let sending = tokio::spawn(service.kfr_batch(GRANSKAUEN, &chunk.join(",")).send());
        if number % 6 == 3 {
            tokio::time::sleep(Duration::from_millis(number as u64 % 7)).await;
            redis.command(&["FLUSHALL"]);
        }
        acknowledged.push(sending.await.unwrap().unwrap().status() == 201);
    }
    assert!(acknowledged.iter().any(|done| *done));
    tokio::time::sleep(Duration::from_millis(300)).await;
    service.wait_until_ready().await;
    for (chunk, acknowledged) in who.chunks(2).zip(acknowledged) {
        let (first, second) = (
            is_listed(&service, &chunk[0]).await,
            is_listed(&service, &chunk[1]).await,
        );
        assert!(
            first == second && (first || !acknowledged),
            "{first} {second}, acknowledged {acknowledged}"
        );
    }
    service.terminate();
    assert_index_agrees_with_journal(&service);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_comes_back_older_is_not_answered_from_until_it_has_caught_up() {
    let mut service = Service::start(REDIS).await;
    service.deliver_world().await;
    for customer in people().take(5) {
        let snapshot = tempfile::tempdir().unwrap();
        service.redis.as_ref().unwrap().save(snapshot.path());
        let added = service
            .kfr(Method::POST, GRANSKAUEN, &customer)
            .send()
            .await
            .unwrap();
        assert_eq!(added.status(), 201);
        let truth = service.listed(&customer).await;
        assert_ne!(truth, serde_json::json!([]));
        let redis = service.redis.as_mut().unwrap();
        redis.kill();
        redis.start_again_from(snapshot.path());
        let started = std::time::Instant::now();
        let mut right = 0;
        while right < 20 {
            assert!(started.elapsed() < Duration::from_secs(10), "{}", service.log());
            if told(&service, &customer, &truth).await == Told::Right {
                right += 1;
            }
        }
    }
}
