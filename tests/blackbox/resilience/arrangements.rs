//! A Redis that does not fit `cache.url`: as good as none, and told.

use super::{assert_all_right, register, truths};
use crate::harness::Service;
use crate::harness::identifiers::people;
use crate::harness::redis::RedisServer;

/// Answers are right, deliveries are taken, and the metrics tell that the cache is not there.
async fn is_as_good_as_none(cache: &str) {
    let service = Service::start_on(cache, "").await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    for customer in people().skip(5_500).take(3) {
        register(&service, &customer).await;
        assert_all_right(&service, &truths).await;
    }
    service
        .wait_until_metrics(|metrics| metrics.contains("kundeforhold_cache_reachable 0"))
        .await;
    assert_eq!(service.cache_lookups("hit").await, 0.0);
}

#[tokio::test]
async fn a_database_that_others_use_too_is_used_beside_them() {
    let redis = RedisServer::start();
    redis.command(&["SET", "session:1", "theirs"]);
    let service = Service::start_on(&redis.url(), "").await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    super::wait_until_cache_is_used(&service, &truths).await;
    assert_eq!(redis.command(&["GET", "session:1"]).trim(), "theirs");
}

#[tokio::test]
async fn a_node_under_the_url_of_a_cluster_is_as_good_as_none() {
    let redis = RedisServer::start();
    is_as_good_as_none(&format!("redis-cluster://{}", redis.address())).await;
}

#[tokio::test]
async fn a_name_that_the_sentinels_do_not_know_is_as_good_as_none() {
    let directory = tempfile::tempdir().unwrap();
    let master = RedisServer::start();
    let file = directory.path().join("sentinel.conf");
    let watched = format!("sentinel monitor theirs 127.0.0.1 {} 1\n", master.port());
    std::fs::write(&file, watched).unwrap();
    let sentinel = RedisServer::start_with(&[file.to_str().unwrap(), "--sentinel"]);
    is_as_good_as_none(&format!("redis-sentinel://{}/ours", sentinel.address())).await;
}

#[tokio::test]
async fn nobody_at_the_address_is_as_good_as_none() {
    is_as_good_as_none(&format!("redis://{}/0", crate::harness::free_address())).await;
}
