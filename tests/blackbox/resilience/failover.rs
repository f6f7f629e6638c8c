//! A primary that is killed, or hangs, under lookups and deliveries: none of them is refused, none answered wrongly, and
//! the cache is used again once another has taken its place.
//!
//! `FAILOVERS` kills of each arrangement, 2 by default.

use super::{BLABAERLIA, asking_during, is_listed, large_set, register, truths, wait_until_cache_is_used};
use crate::harness::Service;
use crate::harness::identifiers::people;
use crate::harness::servers::Servers;
use std::time::{Duration, Instant};

/// Sentinels wait twice their failover-timeout before they replace the same master again.
const BETWEEN: Duration = Duration::from_millis(12_500);
/// Calls of a round at most, each with a customer of its own.
const CALLS: usize = 2_000;
const CALL_EVERY: Duration = Duration::from_millis(30);

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_master_of_a_sentinel_group_costs_no_lookup_and_no_delivery() {
    lose_primaries("sentinel", Fault::Killed, setting("FAILOVERS", 2)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_sentinel_group_that_hangs_costs_no_lookup_and_no_delivery() {
    lose_primaries("sentinel", Fault::Hanging, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_of_a_cluster_costs_no_lookup_and_no_delivery() {
    lose_primaries("cluster", Fault::Killed, setting("FAILOVERS", 2)).await;
}

/// What becomes of a primary, until another has taken its place.
#[derive(Clone, Copy)]
enum Fault {
    Killed,
    /// It wakes up as the primary that it was.
    Hanging,
}

impl Fault {
    fn begin(self, servers: &Servers, port: u16) {
        match self {
            Self::Killed => servers.kill(port),
            Self::Hanging => servers.signal(port, "-STOP"),
        }
    }

    fn end(self, servers: &Servers, port: u16) {
        match self {
            Self::Killed => servers.start_again(port),
            Self::Hanging => servers.signal(port, "-CONT"),
        }
    }
}

async fn lose_primaries(kind: &str, fault: Fault, rounds: usize) {
    let servers = tokio::task::block_in_place(|| Servers::start(kind));
    let service = Service::start_on(servers.url(), "").await;
    service.deliver_world().await;
    let set = service.put_set(BLABAERLIA, "KAR", large_set(3_000)).await;
    assert_eq!(set.status(), 200);
    let truths = truths(&service).await;
    let mut acknowledged = Vec::new();
    let mut last = Instant::now() - BETWEEN;
    for round in 0..rounds {
        wait_until_cache_is_used(&service, &truths).await;
        tokio::time::sleep(BETWEEN.saturating_sub(last.elapsed())).await;
        last = Instant::now();
        let masters = servers.masters();
        let victim = masters[round % masters.len()];
        let lost = async {
            fault.begin(&servers, victim);
            let begun = Instant::now();
            let replaced = wait_until_replaced(&servers, victim, &masters);
            let (called, ()) = tokio::join!(call_on(&service, round), replaced);
            wait_until_cache_is_used(&service, &truths).await;
            println!(
                "{kind} {round}: the cache was used again after {:?}",
                begun.elapsed()
            );
            called
        };
        acknowledged.extend(asking_during(&service, &truths, lost).await);
        fault.end(&servers, victim);
        assert_all_listed(&service, &acknowledged).await;
        tokio::task::block_in_place(|| servers.wait_until_whole());
        assert_all_listed(&service, &acknowledged).await;
    }
}

/// Until there is a primary that was none. One that hangs is not asked: it would hold up the lookups of the test.
async fn wait_until_replaced(servers: &Servers, victim: u16, masters: &[u16]) {
    let started = Instant::now();
    let took_over = |port: &u16| {
        let told = || servers.command(*port, &["INFO", "replication"]);
        *port != victim && !masters.contains(port) && told().contains("role:master")
    };
    while !servers.ports().iter().any(took_over) {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "nobody took its place"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A set, and one registration after the other, all of which are in the next answer.
async fn call_on(service: &Service, round: usize) -> Vec<String> {
    let set = service
        .put_set(BLABAERLIA, "KAR", large_set(3_000 + round % 20))
        .await;
    assert_eq!(set.status(), 200);
    let (started, mut acknowledged) = (Instant::now(), Vec::new());
    for customer in people().skip(20_000 + CALLS * round).take(CALLS) {
        if started.elapsed() > Duration::from_secs(4) {
            break;
        }
        assert!(!is_listed(service, &customer).await);
        register(service, &customer).await;
        assert!(is_listed(service, &customer).await);
        acknowledged.push(customer);
        tokio::time::sleep(CALL_EVERY).await;
    }
    acknowledged
}

async fn assert_all_listed(service: &Service, customers: &[String]) {
    for customer in customers {
        assert!(is_listed(service, customer).await, "acknowledged and missing");
    }
}
