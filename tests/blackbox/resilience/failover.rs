//! A primary that is killed, or hangs, under lookups and deliveries: moments are lost, and nothing else.
//!
//! `FAILOVERS` kills of each arrangement, 3 by default, each clean again `CLEAN_SECONDS` after the node timeout: 5 alone on
//! the machine, 8 by default, since the tests beside delay the servers' own election too.

use super::{BLABAERLIA, GRANSKAUEN, Told, is_listed, large_set, run, told, truths};
use crate::harness::faults::NODE_TIMEOUT;
use crate::harness::identifiers::people;
use crate::harness::servers::Servers;
use crate::harness::{Service, world};
use futures_util::{StreamExt, stream};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Deliveries go on for so long before the kill.
const BEFORE: Duration = Duration::from_millis(700);
/// Sentinels wait twice their failover-timeout before they replace the same master again.
const BETWEEN: Duration = Duration::from_millis(12_500);
/// So long without a refusal, an instance is taken for clean.
const QUIET: Duration = Duration::from_secs(2);
/// One that is not clean by then does not come back.
const GIVEN_UP: Duration = Duration::from_secs(30);
/// Acknowledged customers that are asked about at a time.
const CHECKED_AT_ONCE: usize = 16;
const ANSWERS_ONLY: &str = "[journal]\ndirectory = \"\"\n";
/// Calls of a round, each with a customer of its own.
const CALLS: usize = 100;
const CALL_EVERY: Duration = Duration::from_millis(50);

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).map_or(default, |value| value.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_master_of_a_sentinel_group_costs_moments_and_no_delivery() {
    lose_primaries("sentinel", Fault::Killed, setting("FAILOVERS", 3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_master_of_a_sentinel_group_that_hangs_costs_moments_and_no_delivery() {
    lose_primaries("sentinel", Fault::Hanging, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_of_a_cluster_costs_moments_and_no_delivery() {
    lose_primaries("cluster", Fault::Killed, setting("FAILOVERS", 3)).await;
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

/// Over the same Redis, each taking deliveries of other banks, or none.
struct Instances {
    first: Service,
    second: Service,
    answering: Service,
    /// Only answers too, and nobody asks it while primaries are killed.
    idle: Service,
    truths: Vec<(String, Value)>,
}

impl Instances {
    async fn start(index: &str) -> Self {
        let first = Service::start_on(index, "").await;
        let second = first.beside_on(index, "").await;
        let (answering, idle) = tokio::join!(
            first.beside_on(index, ANSWERS_ONLY),
            first.beside_on(index, ANSWERS_ONLY)
        );
        let sets = world::sets().into_iter().map(async |(bank, register, records)| {
            let takes = if bank == GRANSKAUEN { &second } else { &first };
            assert_eq!(takes.put_set(&bank, &register, records).await.status(), 200);
        });
        futures_util::future::join_all(sets).await;
        let set = first.put_set(BLABAERLIA, "KAR", large_set(3_000)).await;
        assert_eq!(set.status(), 200);
        let truths = truths(&first).await;
        Self {
            first,
            second,
            answering,
            idle,
            truths,
        }
    }

    fn asked(&self) -> [&Service; 3] {
        [&self.first, &self.second, &self.answering]
    }

    /// What one has acknowledged, all answer with, as soon as they answer: the last first, which were at most risk.
    async fn assert_all_list(&self, customers: &[String]) {
        let last_first = stream::iter(customers.iter().rev());
        let checked = last_first.for_each_concurrent(CHECKED_AT_ONCE, async |customer| {
            for service in self.asked() {
                let found = service.find_listed(customer).await;
                assert_ne!(found, Some(json!([])), "an acknowledged delivery is missing");
            }
        });
        checked.await;
    }

    /// The one that took them answers, and has not lost one.
    async fn assert_second_lists(&self, customers: &[String]) {
        let checked = stream::iter(customers).for_each_concurrent(CHECKED_AT_ONCE, async |customer| {
            let listed = is_listed(&self.second, customer).await;
            assert!(listed, "an acknowledged delivery is missing");
        });
        checked.await;
    }

    async fn end(mut self) {
        for service in [&self.first, &self.second, &self.answering, &self.idle] {
            service.wait_until_ready().await;
        }
        for service in [
            &mut self.answering,
            &mut self.idle,
            &mut self.second,
            &mut self.first,
        ] {
            assert!(service.terminate().success());
        }
        let journal = self.second.directory.path().join("journal");
        let verify = [
            "index",
            "verify",
            "--json",
            "--journal",
            journal.to_str().unwrap(),
        ];
        let output = run(&self.first, &verify);
        assert!(output.status.success(), "{output:?}");
    }
}

async fn lose_primaries(kind: &str, fault: Fault, rounds: usize) {
    let servers = Servers::start(kind);
    let instances = Instances::start(servers.url()).await;
    let clean_within = NODE_TIMEOUT + Duration::from_secs(setting("CLEAN_SECONDS", 8) as u64);
    let mut acknowledged = Vec::new();
    let mut last = Instant::now() - BETWEEN;
    for round in 0..rounds {
        tokio::time::sleep(BETWEEN.saturating_sub(last.elapsed())).await;
        last = Instant::now();
        let masters = servers.masters();
        let victim = masters[round % masters.len()];
        let begin = || fault.begin(&servers, victim);
        let (took, called) = lose_under_load(&instances, round, begin).await;
        println!(
            "{kind} {round}: clean after {took:?}, {} calls acknowledged",
            called.len()
        );
        assert!(!called.is_empty());
        for (service, took) in instances.asked().into_iter().chain([&instances.idle]).zip(took) {
            assert!(took < clean_within, "{took:?}\n{}", service.log());
        }
        acknowledged.extend(called);
        instances.assert_second_lists(&acknowledged).await;
        instances.assert_all_list(&acknowledged).await;
        fault.end(&servers, victim);
        instances.assert_all_list(&acknowledged).await;
        tokio::task::block_in_place(|| servers.wait_until_whole());
    }
    instances.end().await;
}

/// Gives how long after the fault began each instance was clean, and the customers whose registration was acknowledged.
async fn lose_under_load(
    instances: &Instances,
    round: usize,
    begin: impl Fn(),
) -> (Vec<Duration>, Vec<String>) {
    let (seen, of_idle, over) = (<[Seen; 3]>::default(), Seen::default(), AtomicBool::new(false));
    let under_way = async {
        tokio::time::sleep(BEFORE).await;
        begin();
        let begun = Instant::now();
        let clean = seen
            .iter()
            .chain([&of_idle])
            .map(|seen| seen.wait_until_clean(begun));
        let took = futures_util::future::join_all(clean).await;
        over.store(true, Ordering::Relaxed);
        took
    };
    let lookers = instances.asked().into_iter().zip(&seen);
    let lookers = lookers.map(|(service, seen)| look_on(service, &instances.truths, seen, &over));
    let set = large_set(3_000 + round % 20);
    let (took, called, set, ..) = tokio::join!(
        under_way,
        call_on(instances, round, &over),
        instances.first.put_set(BLABAERLIA, "KAR", set),
        futures_util::future::join_all(lookers),
        watch_readiness(&instances.idle, &of_idle, &over),
    );
    let told = seen.each_ref().map(Seen::right_and_refused);
    println!("right and refused {told:?}, the set {}", set.status());
    assert!(told.iter().all(|(right, _)| *right > 0));
    (took, called)
}

/// What was seen of the lookups.
#[derive(Default)]
struct Seen {
    right: AtomicUsize,
    refused: AtomicUsize,
    last_refused: Mutex<Option<Instant>>,
}

impl Seen {
    fn note(&self, told: Told) {
        match told {
            Told::Right => self.right.fetch_add(1, Ordering::Relaxed),
            Told::Unavailable => {
                *self.last_refused.lock().unwrap() = Some(Instant::now());
                self.refused.fetch_add(1, Ordering::Relaxed)
            }
        };
    }

    fn right_and_refused(&self) -> (usize, usize) {
        (
            self.right.load(Ordering::Relaxed),
            self.refused.load(Ordering::Relaxed),
        )
    }

    /// How long after the kill the last lookup was refused, once none has been for a while after some were.
    async fn wait_until_clean(&self, killed: Instant) -> Duration {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            let last = self.last_refused.lock().unwrap().filter(|last| *last > killed);
            match last {
                Some(last) if last.elapsed() > QUIET => return last - killed,
                None if killed.elapsed() > 3 * NODE_TIMEOUT => return Duration::ZERO,
                _ if killed.elapsed() > GIVEN_UP => return GIVEN_UP,
                _ => {}
            }
        }
    }
}

/// Asks an instance one question after the other.
async fn look_on(service: &Service, truths: &[(String, Value)], seen: &Seen, over: &AtomicBool) {
    for (customer, right) in truths.iter().cycle() {
        if over.load(Ordering::Relaxed) {
            return;
        }
        seen.note(told(service, customer, right).await);
    }
}

/// Looks whether an instance that nobody asks would be asked by a proxy.
async fn watch_readiness(service: &Service, seen: &Seen, over: &AtomicBool) {
    while !over.load(Ordering::Relaxed) {
        let is_ready = service.is_ready().await;
        seen.note(if is_ready { Told::Right } else { Told::Unavailable });
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Registers one customer after the other, each until it is taken, and gives those that were acknowledged.
async fn call_on(instances: &Instances, round: usize, over: &AtomicBool) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let mut customers = people().skip(20_000 + CALLS * round).take(CALLS).peekable();
    while let Some(customer) = customers.peek().filter(|_| !over.load(Ordering::Relaxed)) {
        let call = instances.second.kfr(Method::POST, GRANSKAUEN, customer).send();
        match call.await.unwrap().status().as_u16() {
            200 | 201 => {
                instances.assert_all_list(std::slice::from_ref(customer)).await;
                acknowledged.extend(customers.next());
            }
            status => assert!(matches!(status, 503 | 504), "{status}"),
        }
        tokio::time::sleep(CALL_EVERY).await;
    }
    acknowledged
}
