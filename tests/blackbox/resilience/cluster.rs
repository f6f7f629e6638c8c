//! A Cluster of which one primary hangs or is emptied, under lookups and calls.

use super::{BLABAERLIA, GRANSKAUEN, Told, assert_index_agrees_with_journal, is_listed, large_set, told};
use crate::harness::Service;
use crate::harness::faults::NODE_TIMEOUT;
use crate::harness::identifiers::people;
use crate::harness::servers::Servers;
use reqwest::Method;
use serde_json::Value;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Mutex, MutexGuard};

/// The same Cluster for all tests, which take turns.
static CLUSTER: LazyLock<Mutex<Servers>> = LazyLock::new(|| Mutex::new(Servers::start("cluster")));
/// So many that every slot group has some.
const CUSTOMERS: usize = 3_000;
/// Each so many of them is asked for.
const STEP: usize = 7;
/// A lookup is answered or refused within this, whatever hangs.
const TOLD_WITHIN: Duration = Duration::from_secs(2);
/// From the end of a fault until all is right again.
pub const BACK_WITHIN: Duration = Duration::from_secs(2);
/// From the node timeout until a primary that hangs was replaced and all is right again.
const REPLACED_WITHIN: Duration = Duration::from_secs(5);

/// An instance over the Cluster, and what is rightly told of some customers of each slot group.
pub struct Bench {
    service: Service,
    pub servers: MutexGuard<'static, Servers>,
    truths: Vec<(String, Value)>,
    next: AtomicUsize,
    acknowledged: std::sync::Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Bench {
    pub async fn start() -> Self {
        tokio::task::block_in_place(|| LazyLock::force(&CLUSTER));
        let servers = CLUSTER.lock().await;
        for port in servers.masters() {
            assert_eq!(servers.command(port, &["FLUSHALL"]).trim(), "OK");
        }
        let service = Service::start_on(servers.url(), "").await;
        service.deliver_world().await;
        let set = service.put_set(BLABAERLIA, "KAR", large_set(CUSTOMERS)).await;
        assert_eq!(set.status(), 200);
        let mut truths = Vec::new();
        for customer in people().take(CUSTOMERS).step_by(STEP) {
            let right = service.listed(&customer).await;
            assert_ne!(right, serde_json::json!([]));
            truths.push((customer, right));
        }
        Self {
            service,
            servers,
            truths,
            next: AtomicUsize::new(30_000),
            acknowledged: std::sync::Mutex::default(),
            over: AtomicBool::new(false),
        }
    }

    /// Lookups and calls as long as the faults go on. Gives how many lookups were right and how many refused.
    pub async fn under_load(&self, faults: impl Future<Output = ()>) -> (usize, usize) {
        self.over.store(false, Ordering::SeqCst);
        let faults = async {
            faults.await;
            self.over.store(true, Ordering::SeqCst);
        };
        let (first, second, (), ()) =
            tokio::join!(self.look_on(0), self.look_on(100), self.call_on(), faults);
        (first.0 + second.0, first.1 + second.1)
    }

    async fn look_on(&self, skipped: usize) -> (usize, usize) {
        let (mut right, mut refused) = (0, 0);
        for (customer, truth) in self.truths.iter().cycle().skip(skipped) {
            if self.over.load(Ordering::SeqCst) {
                break;
            }
            match self.told_in_time(customer, truth).await {
                Told::Right => right += 1,
                Told::Unavailable => refused += 1,
            }
        }
        (right, refused)
    }

    async fn call_on(&self) {
        while !self.over.load(Ordering::SeqCst) {
            let customer = people().nth(self.next.fetch_add(1, Ordering::SeqCst)).unwrap();
            let call = self
                .service
                .kfr(Method::POST, GRANSKAUEN, &customer)
                .send()
                .await
                .unwrap();
            match call.status().as_u16() {
                201 => self.acknowledged.lock().unwrap().push(customer),
                status => assert!(matches!(status, 503 | 504), "{status}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn told_in_time(&self, customer: &str, right: &Value) -> Told {
        let asked = Instant::now();
        let told = told(&self.service, customer, right).await;
        assert!(asked.elapsed() < TOLD_WITHIN, "{:?}", asked.elapsed());
        told
    }

    /// Until a hundred lookups one after the other, of as many slot groups, were right.
    pub async fn back_within(&self, bound: Duration) {
        let (begun, mut right) = (Instant::now(), 0);
        let mut last = Duration::ZERO;
        for (customer, truth) in self.truths.iter().cycle() {
            match self.told_in_time(customer, truth).await {
                Told::Right => right += 1,
                Told::Unavailable => (right, last) = (0, begun.elapsed()),
            }
            assert!(last < bound, "{last:?}\n{}", self.service.log());
            if right == 100 {
                println!("back after {last:?}");
                return;
            }
        }
    }

    pub async fn all_hold(mut self) {
        self.service.wait_until_ready().await;
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        for customer in &acknowledged {
            assert!(is_listed(&self.service, customer).await, "acknowledged and lost");
        }
        assert!(!acknowledged.is_empty());
        assert!(self.service.terminate().success());
        assert_index_agrees_with_journal(&self.service);
    }

    pub fn log(&self) -> String {
        self.service.log()
    }

    pub fn told_by(&self, port: u16, arguments: &[&str]) -> String {
        self.servers.command(port, arguments).trim().to_owned()
    }

    pub fn expect_ok(&self, port: u16, arguments: &[&str]) {
        let told = self.told_by(port, arguments);
        assert!(matches!(told.as_str(), "OK" | "NOKEY"), "{arguments:?}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_hangs_is_replaced_and_lookups_wait_for_nothing() {
    let bench = Bench::start().await;
    let victim = bench.servers.masters()[0];
    let replaced = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        bench.servers.signal(victim, "-STOP");
        tokio::time::sleep(NODE_TIMEOUT).await;
        // However long a write may wait: it is given up once the primary is replaced.
        bench.back_within(REPLACED_WITHIN).await;
        bench.servers.signal(victim, "-CONT");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    let (right, refused) = bench.under_load(replaced).await;
    println!("{right} right, {refused} refused");
    assert!(right > 0 && refused > 0);
    bench.back_within(BACK_WITHIN).await;
    tokio::task::block_in_place(|| bench.servers.wait_until_whole());
    bench.all_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shard_that_is_emptied_is_built_again_and_never_answered_from() {
    let bench = Bench::start().await;
    for victim in bench.servers.masters() {
        let emptied = async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            bench.expect_ok(victim, &["FLUSHALL"]);
            // It is looked for once a second, and then built.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
        };
        let (_, refused) = bench.under_load(emptied).await;
        assert!(refused > 0);
        bench.back_within(Duration::from_secs(4)).await;
    }
    bench.all_hold().await;
}
