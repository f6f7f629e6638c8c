//! Connections to Redis that fail after a command was sent: nothing is done twice, and nothing by halves.
//!
//! `CUT_REPLIES` replies to changes are cut off, 300 by default.

use super::{GRANSKAUEN, Told, assert_index_agrees_with_journal, is_listed, told, truths};
use crate::harness::Service;
use crate::harness::fault_proxy::FaultProxy;
use crate::harness::identifiers::people;
use crate::harness::redis::RedisServer;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;
use std::time::{Duration, Instant};

/// All that are in KFR.
const BANKS: [&str; 4] = [GRANSKAUEN, "210110100", "210132120", "210143130"];
/// So that each has customers of its own.
const CUSTOMERS: usize = 40_000;
/// Customers of a batch.
const BATCH: usize = 3;
/// A lookup is answered or refused within this, whatever hangs.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// Longest wait of a delivery for Redis, so that the test need not wait long.
const WRITE_TIMEOUT: &str = "[index]\nwrite_timeout_milliseconds = 1500\n";

async fn behind_a_proxy() -> (Service, FaultProxy, RedisServer) {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(&redis.address());
    let service = Service::start_on(&proxy.url(), WRITE_TIMEOUT).await;
    service.deliver_world().await;
    (service, proxy, redis)
}

/// Customers that were sent together, and what must hold of them.
struct Sent {
    customers: Vec<String>,
    /// `None`: nothing was acknowledged of them.
    listed: Option<bool>,
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_that_are_cut_off_leave_each_change_done_once_or_not_at_all() {
    let wanted = std::env::var("CUT_REPLIES").map_or(300, |count| count.parse().unwrap());
    let (mut service, proxy, _redis) = behind_a_proxy().await;
    proxy.cut_one_in(3);
    let started = Instant::now();
    let banks = (0..)
        .zip(BANKS)
        .map(|(at, bank)| send_on(&service, at, bank, &proxy, wanted));
    let sent = futures_util::future::join_all(banks).await;
    println!("{} replies cut off in {:?}", proxy.cut(), started.elapsed());
    proxy.cut_one_in(0);
    service.wait_until_ready().await;
    let sent: Vec<Sent> = sent.into_iter().flatten().collect();
    wait_until_level(&service).await;
    for sent in &sent {
        let mut listed = Vec::new();
        for customer in &sent.customers {
            let banks = service.listed(customer).await;
            assert!(banks.as_array().unwrap().len() <= 1, "{banks}");
            listed.push(banks != serde_json::json!([]));
        }
        assert!(listed.iter().all(|one| *one == listed[0]), "a part of a batch");
        assert!(
            sent.listed.is_none_or(|right| right == listed[0]),
            "acknowledged and lost"
        );
    }
    let acknowledged = sent.iter().filter(|sent| sent.listed.is_some()).count();
    assert!(acknowledged > 10 && acknowledged < sent.len());
    assert!(service.terminate().success());
    assert_index_agrees_with_journal(&service);
}

/// What is journalled though it was not acknowledged is brought into the index once it can be.
async fn wait_until_level(service: &Service) {
    for bank in BANKS {
        let customer = people().nth(CUSTOMERS - 1).unwrap();
        let started = Instant::now();
        while !service
            .kfr(Method::POST, bank, &customer)
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
        {
            assert!(started.elapsed() < Duration::from_secs(10), "{}", service.log());
        }
    }
}

/// Batches, calls and their ends, some again until they are acknowledged, until so many replies were cut off.
async fn send_on(service: &Service, at: usize, bank: &str, proxy: &FaultProxy, wanted: usize) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut who = people().skip(CUSTOMERS * (at + 1)).take(CUSTOMERS);
    for number in 0.. {
        if proxy.cut() >= wanted {
            break;
        }
        let customers: Vec<String> = who
            .by_ref()
            .take(if number % 2 == 0 { BATCH } else { 1 })
            .collect();
        assert!(!customers.is_empty(), "no customers are left");
        let register = || match customers.as_slice() {
            [one] => service.kfr(Method::POST, bank, one),
            several => service.kfr_batch(bank, &several.join(",")),
        };
        let attempts = if number % 3 == 0 { 1 } else { 50 };
        let mut listed = is_acknowledged(register, attempts).await.then_some(true);
        if number % 4 == 1 && listed == Some(true) {
            let end = || service.kfr(Method::DELETE, bank, &customers[0]);
            listed = is_acknowledged(end, attempts).await.then_some(false);
        }
        sent.push(Sent { customers, listed });
    }
    sent
}

/// Whether it was at last; what was refused may have been done all the same.
async fn is_acknowledged(request: impl Fn() -> RequestBuilder, attempts: usize) -> bool {
    for _ in 0..attempts {
        let status = request().send().await.unwrap().status();
        if status.is_success() || status == 404 {
            return true;
        }
        assert!(matches!(status.as_u16(), 503 | 504), "{status}");
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    false
}

async fn told_in_time(service: &Service, customer: &str, right: &Value) -> Told {
    let asked = Instant::now();
    let told = told(service, customer, right).await;
    assert!(asked.elapsed() < TOLD_WITHIN, "{:?}", asked.elapsed());
    told
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_are_found_out_and_others_made() {
    let (mut service, proxy, _redis) = behind_a_proxy().await;
    let truths = truths(&service).await;
    proxy.hold_connections();
    let held = Instant::now();
    let mut right = 0;
    while right < 20 {
        assert!(held.elapsed() < Duration::from_secs(8), "{}", service.log());
        for (customer, truth) in &truths {
            right += usize::from(told_in_time(&service, customer, truth).await == Told::Right);
        }
    }
    let customer = people().nth(9_000).unwrap();
    let post = || service.kfr(Method::POST, GRANSKAUEN, &customer);
    assert!(is_acknowledged(post, 20).await);
    assert!(is_listed(&service, &customer).await);
    proxy.release();
    assert!(service.terminate().success());
    assert_index_agrees_with_journal(&service);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_arrives_after_it_was_given_up_does_not_undo_a_later_one() {
    let (mut service, proxy, _redis) = behind_a_proxy().await;
    // What is held may be a change that the service makes by itself; then the call goes through.
    let mut given_up = None;
    for customer in people().skip(9_001).take(50) {
        proxy.hold_next_change();
        let post = service.kfr(Method::POST, GRANSKAUEN, &customer).send();
        match post.await.unwrap().status().as_u16() {
            503 | 504 => {
                given_up = Some(customer);
                break;
            }
            status => assert_eq!(status, 201),
        }
        proxy.release();
    }
    let customer = given_up.unwrap();
    let end = || service.kfr(Method::DELETE, GRANSKAUEN, &customer);
    assert!(is_acknowledged(end, 100).await);
    assert!(!is_listed(&service, &customer).await);
    proxy.release();
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(!is_listed(&service, &customer).await, "it was ended");
    assert!(service.terminate().success());
    assert_index_agrees_with_journal(&service);
}
