//! Connections to Redis that fail half-way: no answer is wrong or refused, and none late.
//!
//! `CUT_REPLIES` replies are cut off, 20 by default: after each, Redis is left alone for a moment.

use super::{asking_during, assert_all_right, is_listed, register, truths, wait_until_cache_is_used};
use crate::harness::Service;
use crate::harness::fault_proxy::FaultProxy;
use crate::harness::identifiers::people;
use crate::harness::redis::RedisServer;
use serde_json::Value;
use std::time::{Duration, Instant};

/// Within which so many replies are cut.
const PATIENCE: Duration = Duration::from_secs(300);

async fn behind_a_proxy() -> (Service, FaultProxy, RedisServer, Vec<(String, Value)>) {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(&redis.address());
    let service = Service::start_on(&proxy.url(), "").await;
    service.deliver_world().await;
    let truths = truths(&service).await;
    wait_until_cache_is_used(&service, &truths).await;
    (service, proxy, redis, truths)
}

/// One registration after the other, each found in the next answer, until something is so.
async fn register_until(service: &Service, first: usize, done: impl Fn() -> bool) {
    let started = Instant::now();
    for customer in people().skip(first) {
        if done() {
            return;
        }
        assert!(started.elapsed() < PATIENCE, "too few faults");
        assert!(!is_listed(service, &customer).await);
        register(service, &customer).await;
        assert!(
            is_listed(service, &customer).await,
            "acknowledged and not in the next answer"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_are_cut_off_cost_no_answer() {
    let wanted = std::env::var("CUT_REPLIES").map_or(20, |count| count.parse().unwrap());
    let (service, proxy, _redis, truths) = behind_a_proxy().await;
    proxy.cut_one_in(3);
    let cut = register_until(&service, 10_000, || proxy.cut() >= wanted);
    asking_during(&service, &truths, cut).await;
    println!("{} replies cut off", proxy.cut());
    proxy.cut_one_in(0);
    wait_until_cache_is_used(&service, &truths).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_are_late_are_not_waited_for_and_answer_nobody_elses_question() {
    let (service, proxy, _redis, truths) = behind_a_proxy().await;
    // Some in time, some not.
    for (one_in, delay) in [(2, 20), (2, 120), (3, 700)] {
        let before = proxy.delayed();
        proxy.delay_one_in(one_in, Duration::from_millis(delay));
        let late = register_until(&service, 20_000 + delay as usize * 10, || {
            proxy.delayed() >= before + 20
        });
        asking_during(&service, &truths, late).await;
        proxy.delay_one_in(0, Duration::ZERO);
        wait_until_cache_is_used(&service, &truths).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_are_found_out_and_others_made() {
    let (service, proxy, _redis, truths) = behind_a_proxy().await;
    proxy.hold_connections();
    let held = async {
        wait_until_cache_is_used(&service, &truths).await;
        let customer = people().nth(9_000).unwrap();
        register(&service, &customer).await;
        assert!(is_listed(&service, &customer).await);
    };
    asking_during(&service, &truths, held).await;
    // What was held arrives now: entries of moments that are over.
    proxy.release();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_all_right(&service, &truths).await;
    assert!(is_listed(&service, &people().nth(9_000).unwrap()).await);
}
