//! A Cluster of which one primary hangs, is emptied, or gives slots away, under lookups and calls.

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
const BACK_WITHIN: Duration = Duration::from_secs(2);
/// Slots that are held half-way between two primaries.
const SLOTS_BETWEEN: usize = 12;

struct Bench {
    service: Service,
    servers: MutexGuard<'static, Servers>,
    truths: Vec<(String, Value)>,
    next: AtomicUsize,
    acknowledged: std::sync::Mutex<Vec<String>>,
    over: AtomicBool,
}

impl Bench {
    async fn start() -> Self {
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
    async fn under_load(&self, faults: impl Future<Output = ()>) -> (usize, usize) {
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
    async fn back_within(&self, bound: Duration) {
        let (begun, mut right) = (Instant::now(), 0);
        let mut last = Duration::ZERO;
        for (customer, truth) in self.truths.iter().cycle() {
            match self.told_in_time(customer, truth).await {
                Told::Right => right += 1,
                Told::Unavailable => (right, last) = (0, begun.elapsed()),
            }
            assert!(last < bound, "{last:?}\n{}", self.service.log());
            if right == 100 {
                println!("back after {last:?} {}", self.service.log());
                return;
            }
        }
    }

    async fn all_hold(mut self) {
        self.service.wait_until_ready().await;
        let acknowledged = self.acknowledged.lock().unwrap().clone();
        for customer in &acknowledged {
            assert!(is_listed(&self.service, customer).await, "acknowledged and lost");
        }
        assert!(!acknowledged.is_empty());
        assert!(self.service.terminate().success());
        assert_index_agrees_with_journal(&self.service);
    }

    fn told_by(&self, port: u16, arguments: &[&str]) -> String {
        self.servers.command(port, arguments).trim().to_owned()
    }

    fn expect_ok(&self, port: u16, arguments: &[&str]) {
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
        // Five seconds on a quiet machine. The write timeout comes on top: a delivery that hangs is waited for.
        bench.back_within(Duration::from_secs(12 + 2)).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move_are_followed() {
    let bench = Bench::start().await;
    let masters = bench.servers.masters();
    let (from, to) = (masters[0], masters[1]);
    let slots: Vec<String> = (0..=255)
        .map(|group| bench.told_by(from, &["CLUSTER", "KEYSLOT", &format!("{{{group:02x}}}")]))
        .filter(|slot| {
            bench
                .told_by(from, &["CLUSTER", "COUNTKEYSINSLOT", slot])
                .parse::<u32>()
                .unwrap()
                > 5
        })
        .take(SLOTS_BETWEEN)
        .collect();
    assert_eq!(slots.len(), SLOTS_BETWEEN);
    for (from, to) in [(from, to), (to, from)] {
        let moved = async {
            for slot in &slots {
                bench.move_half(slot, from, to);
            }
            // Lookups and calls meet keys here and there.
            tokio::time::sleep(Duration::from_millis(1_500)).await;
            for slot in &slots {
                bench.move_rest(slot, from, to);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let (right, refused) = bench.under_load(moved).await;
        println!("{right} right, {refused} refused");
        assert!(right > 10 * refused, "{right} right, {refused} refused");
        bench.back_within(BACK_WITHIN).await;
    }
    bench.all_hold().await;
}

impl Bench {
    fn id(&self, port: u16) -> String {
        self.told_by(port, &["CLUSTER", "MYID"])
    }

    fn move_half(&self, slot: &str, from: u16, to: u16) {
        self.expect_ok(to, &["CLUSTER", "SETSLOT", slot, "IMPORTING", &self.id(from)]);
        self.expect_ok(from, &["CLUSTER", "SETSLOT", slot, "MIGRATING", &self.id(to)]);
        let count = self.told_by(from, &["CLUSTER", "COUNTKEYSINSLOT", slot]);
        migrate(slot, from, to, count.parse::<usize>().unwrap() / 2);
    }

    fn move_rest(&self, slot: &str, from: u16, to: u16) {
        while migrate(slot, from, to, 1_000) > 0 {}
        let id = self.id(to);
        for port in [to, from] {
            self.expect_ok(port, &["CLUSTER", "SETSLOT", slot, "NODE", &id]);
        }
    }
}

/// Moves so many keys of a slot, and gives how many there were to move.
fn migrate(slot: &str, from: u16, to: u16, count: usize) -> usize {
    let client = ::redis::Client::open(format!("redis://127.0.0.1:{from}")).unwrap();
    let mut connection = client.get_connection().unwrap();
    let mut ask = ::redis::cmd("CLUSTER");
    ask.arg("GETKEYSINSLOT").arg(slot).arg(count);
    let keys: Vec<Vec<u8>> = ask.query(&mut connection).unwrap();
    if !keys.is_empty() {
        let mut migrate = ::redis::cmd("MIGRATE");
        migrate
            .arg("127.0.0.1")
            .arg(to)
            .arg("")
            .arg(0)
            .arg(2_000)
            .arg("KEYS")
            .arg(&keys);
        migrate.exec(&mut connection).unwrap();
    }
    keys.len()
}
