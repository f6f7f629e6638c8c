//! A single Redis that is full, evicts, is made a replica by hand, or refuses what managed ones refuse.

use super::{asking_during, assert_all_right, is_listed, register, run, truths, wait_until_cache_is_used};
use crate::harness::identifiers::people;
use crate::harness::redis::RedisServer;
use crate::harness::{Caching, Service};
use std::time::Duration;

/// Registers a customer who was asked about before, and finds it in the next answer.
async fn change_and_look(service: &Service, number: usize) {
    let customer = people().nth(8_000 + number).unwrap();
    assert!(!is_listed(service, &customer).await);
    register(service, &customer).await;
    assert!(is_listed(service, &customer).await);
    assert!(is_listed(service, &customer).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_full_or_evicts_is_of_use_as_far_as_it_goes() {
    let service = Service::start(Caching::With).await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    let redis = service.redis.as_ref().unwrap();
    let full = async {
        for (number, (bytes, policy)) in [
            ("1", "noeviction"),
            ("1", "allkeys-lru"),
            ("3mb", "allkeys-lru"),
            ("3mb", "volatile-ttl"),
        ]
        .into_iter()
        .enumerate()
        {
            redis.command(&["CONFIG", "SET", "maxmemory", bytes]);
            redis.command(&["CONFIG", "SET", "maxmemory-policy", policy]);
            for further in 0..5 {
                change_and_look(&service, number * 10 + further).await;
            }
            assert!(service.is_ready().await);
        }
        redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
        wait_until_cache_is_used(&service, &truths).await;
    };
    asking_during(&service, &truths, full).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_made_a_replica_makes_no_answer_wrong() {
    let service = Service::start(Caching::With).await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    wait_until_cache_is_used(&service, &truths).await;
    let older = tempfile::tempdir().unwrap();
    let redis = service.redis.as_ref().unwrap();
    redis.save(older.path());
    let mut other = RedisServer::start();
    other.kill();
    other.start_again_from(older.path());
    let replica = async {
        // A replica of nobody keeps its entries, one of an older copy takes over what that has.
        for (number, master) in ["1", other.port()].into_iter().enumerate() {
            change_and_look(&service, 100 + number * 10).await;
            redis.command(&["REPLICAOF", "127.0.0.1", master]);
            for further in 1..5 {
                change_and_look(&service, 100 + number * 10 + further).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            assert!(service.is_ready().await);
            redis.command(&["REPLICAOF", "NO", "ONE"]);
            wait_until_cache_is_used(&service, &truths).await;
        }
    };
    asking_during(&service, &truths, replica).await;
}

/// As the services of cloud providers do.
#[tokio::test]
async fn a_redis_that_refuses_config_and_scripts_is_all_the_service_needs() {
    const REFUSED: [&str; 7] = [
        "CONFIG", "EVAL", "EVALSHA", "SCRIPT", "KEYS", "FLUSHALL", "CLIENT",
    ];
    let mut options = Vec::new();
    for command in REFUSED {
        options.extend(["--rename-command", command, ""]);
    }
    let redis = RedisServer::start_with(&options);
    let service = Service::start_on(&redis.url(), "").await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    wait_until_cache_is_used(&service, &truths).await;
    change_and_look(&service, 200).await;
    let cleared = run(&service, &["cache", "clear"]);
    assert!(cleared.status.success(), "{cleared:?}");
    assert_all_right(&service, &truths).await;
}
