//! Entries that do not hold: of other keys, other moments and other registers, or none at all. Not one of them answers.

use super::{
    BLABAERLIA, GRANSKAUEN, asking_during, assert_all_right, is_listed, large_set, register, run, truths,
    wait_until_cache_is_used,
};
use crate::harness::identifiers::people;
use crate::harness::{Caching, Service};
use reqwest::Method;
use serde_json::Value;
use std::time::Duration;

/// A service whose Redis has an entry of each of the truths.
async fn warm() -> (Service, Vec<(String, Value)>) {
    let service = Service::start(Caching::With).await;
    service.deliver_world().await;
    let set = service.put_set(BLABAERLIA, "KAR", large_set(300)).await;
    assert_eq!(set.status(), 200);
    let mut truths = truths(&service).await;
    for customer in people().take(300).step_by(17) {
        let right = service.listed(&customer).await;
        truths.push((customer, right));
    }
    wait_until_cache_is_used(&service, &truths).await;
    assert_all_right(&service, &truths).await;
    (service, truths)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_emptied_again_and_again_is_filled_again() {
    let (service, truths) = warm().await;
    let emptied = async {
        for pause in [300, 40, 150, 10, 90, 130, 5, 60, 170, 240, 1, 80] {
            service.redis.as_ref().unwrap().command(&["FLUSHALL"]);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
        wait_until_cache_is_used(&service, &truths).await;
    };
    asking_during(&service, &truths, emptied).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_other_keys_and_garbage_are_refused_and_counted() {
    let (service, truths) = warm().await;
    let before = service.cache_lookups("refused").await;
    let mixed = async {
        for _ in 0..10 {
            service.redis.as_ref().unwrap().mix_up();
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    asking_during(&service, &truths, mixed).await;
    assert!(service.cache_lookups("refused").await > before);
    // What was refused is written anew.
    wait_until_cache_is_used(&service, &truths).await;
}

#[tokio::test]
async fn an_entry_of_a_former_moment_is_refused_whatever_was_published_since() {
    let (service, _) = warm().await;
    let redis = service.redis.as_ref().unwrap();
    let customer = people().nth(7_500).unwrap();
    let listed = async |expected: bool, moment: &str| {
        for _ in 0..3 {
            assert_eq!(is_listed(&service, &customer).await, expected, "{moment}");
        }
    };
    listed(false, "before").await;
    // Entries are written behind the answer.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let of_nobody = redis.entries();
    register(&service, &customer).await;
    redis.write(&of_nobody);
    listed(true, "registered").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    let of_a_customer = redis.entries();
    let ended = service.kfr(Method::DELETE, GRANSKAUEN, &customer).send().await;
    assert_eq!(ended.unwrap().status(), 204);
    redis.write(&of_a_customer);
    listed(false, "ended").await;
    let set = large_set(7_501).lines().last().unwrap().to_owned();
    let set = service
        .put(GRANSKAUEN, "?register=KFR&confirmShrink=true")
        .body(set);
    let set = set.send().await.unwrap();
    assert_eq!(set.status(), 200);
    for former in [&of_nobody, &of_a_customer] {
        redis.write(former);
        listed(true, "in a whole set").await;
    }
}

#[tokio::test]
async fn entries_of_another_register_are_none_of_this_one() {
    let (service, truths) = warm().await;
    let (other, _) = warm().await;
    let (redis, others) = (service.redis.as_ref().unwrap(), other.redis.as_ref().unwrap());
    let theirs = others.entries();
    assert!(!theirs.is_empty());
    redis.write(&theirs);
    let values = theirs.into_iter().map(|(_, value)| value).cycle();
    let under_our_keys: Vec<_> = redis
        .entries()
        .into_iter()
        .map(|(key, _)| key)
        .zip(values)
        .collect();
    redis.write(&under_our_keys);
    assert_all_right(&service, &truths).await;
    assert!(service.cache_lookups("refused").await > 0.0);
}

#[tokio::test]
async fn a_cache_that_is_cleared_is_empty_and_what_is_not_ours_is_left_alone() {
    let (service, truths) = warm().await;
    let redis = service.redis.as_ref().unwrap();
    redis.command(&["SET", "session:1", "theirs"]);
    let cleared = run(&service, &["cache", "clear"]);
    assert!(cleared.status.success(), "{cleared:?}");
    assert_eq!(redis.command(&["DBSIZE"]).trim(), "1");
    assert_all_right(&service, &truths).await;
}
