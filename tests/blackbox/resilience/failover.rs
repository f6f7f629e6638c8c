//! A primary that is killed under lookups and deliveries: moments are lost, and nothing else.
//!
//! `FAILOVERS` kills of each arrangement, 3 by default, each clean again `CLEAN_SECONDS` after the node timeout: 5 on a
//! quiet machine, 12 by default, since the tests beside delay Sentinels too.

use super::{
    BLABAERLIA, GRANSKAUEN, Told, assert_index_agrees_with_journal, is_listed, large_set, told, truths,
};
use crate::harness::Service;
use crate::harness::faults::NODE_TIMEOUT;
use crate::harness::identifiers::people;
use crate::harness::servers::Servers;
use reqwest::Method;
use serde_json::Value;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Deliveries go on for so long before the kill.
const BEFORE: Duration = Duration::from_millis(700);
/// Sentinels wait twice their failover-timeout before they replace the same master again.
const BETWEEN: Duration = Duration::from_millis(12_500);
const LOOKERS: usize = 4;
/// Calls of a round, each with a customer of its own.
const CALLS: usize = 100;
const CALL_EVERY: Duration = Duration::from_millis(20);

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_master_of_a_sentinel_group_costs_moments_and_no_delivery() {
    kill_primaries("sentinel").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_of_a_cluster_costs_moments_and_no_delivery() {
    kill_primaries("cluster").await;
}

async fn kill_primaries(kind: &str) {
    let servers = Servers::start(kind);
    let mut service = Service::start_on(servers.url(), "").await;
    service.deliver_world().await;
    let response = service.put_set(BLABAERLIA, "KAR", large_set(3_000)).await;
    assert_eq!(response.status(), 200);
    let truths = truths(&service).await;
    let clean_within = NODE_TIMEOUT + Duration::from_secs(setting("CLEAN_SECONDS", 12) as u64);
    let mut acknowledged = Vec::new();
    let mut last = Instant::now() - BETWEEN;
    for round in 0..setting("FAILOVERS", 3) {
        tokio::time::sleep(BETWEEN.saturating_sub(last.elapsed())).await;
        last = Instant::now();
        let masters = servers.masters();
        let victim = masters[round % masters.len()];
        let seen = Seen::default();
        let under_way = async {
            tokio::time::sleep(BEFORE).await;
            servers.kill(victim);
            let took = seen.wait_until_clean(Instant::now()).await;
            seen.over.store(true, Ordering::Relaxed);
            took
        };
        let lookers = (0..LOOKERS).map(|_| look_on(&service, &truths, &seen));
        let set = service.put_set(BLABAERLIA, "KAR", large_set(3_000 + round % 20));
        let (took, _, called, set) = tokio::join!(
            under_way,
            futures_util::future::join_all(lookers),
            call_on(&service, round, &seen),
            set
        );
        println!(
            "{kind} {round}: clean after {took:?}; {} right, {} refused, {} calls acknowledged, the set {}",
            seen.right.load(Ordering::Relaxed),
            seen.refused.load(Ordering::Relaxed),
            called.len(),
            set.status()
        );
        assert!(seen.right.load(Ordering::Relaxed) > 0 && !called.is_empty());
        assert!(took < clean_within, "{took:?}\n{}", service.log());
        acknowledged.extend(called);
        for customer in &acknowledged {
            assert!(
                is_listed(&service, customer).await,
                "an acknowledged delivery is missing"
            );
        }
        servers.start_again(victim);
        tokio::task::block_in_place(|| servers.wait_until_whole());
    }
    service.wait_until_ready().await;
    assert!(service.terminate().success());
    assert_index_agrees_with_journal(&service);
}

/// What was seen of the lookups.
#[derive(Default)]
struct Seen {
    right: AtomicUsize,
    refused: AtomicUsize,
    last_refused: Mutex<Option<Instant>>,
    over: AtomicBool,
}

impl Seen {
    /// How long after the kill the last lookup was refused, once none has been for two seconds after some were.
    async fn wait_until_clean(&self, killed: Instant) -> Duration {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let last = self.last_refused.lock().unwrap().filter(|last| *last > killed);
            match last {
                Some(last) if last.elapsed() > Duration::from_secs(2) => return last - killed,
                None if killed.elapsed() > 3 * NODE_TIMEOUT => return Duration::ZERO,
                _ => assert!(
                    killed.elapsed() < Duration::from_secs(60),
                    "it does not come back"
                ),
            }
        }
    }
}

async fn look_on(service: &Service, truths: &[(String, Value)], seen: &Seen) {
    for (customer, right) in truths.iter().cycle() {
        if seen.over.load(Ordering::Relaxed) {
            return;
        }
        match told(service, customer, right).await {
            Told::Right => seen.right.fetch_add(1, Ordering::Relaxed),
            Told::Unavailable => {
                *seen.last_refused.lock().unwrap() = Some(Instant::now());
                seen.refused.fetch_add(1, Ordering::Relaxed)
            }
        };
    }
}

/// Registers one customer after the other, and gives those that were acknowledged.
async fn call_on(service: &Service, round: usize, seen: &Seen) -> Vec<String> {
    let mut acknowledged = Vec::new();
    for customer in people().skip(20_000 + CALLS * round).take(CALLS) {
        if seen.over.load(Ordering::Relaxed) {
            break;
        }
        let response = service
            .kfr(Method::POST, GRANSKAUEN, &customer)
            .send()
            .await
            .unwrap();
        match response.status().as_u16() {
            201 => acknowledged.push(customer),
            status => assert!(matches!(status, 503 | 504), "{status}"),
        }
        tokio::time::sleep(CALL_EVERY).await;
    }
    acknowledged
}
