//! A Cluster of which one primary hangs or is emptied, or slots move, under lookups and calls.

use super::{BLABAERLIA, asking_during, is_listed, large_set, register, truths, wait_until_cache_is_used};
use crate::harness::Service;
use crate::harness::faults::NODE_TIMEOUT;
use crate::harness::identifiers::people;
use crate::harness::servers::Servers;
use serde_json::Value;
use std::process::Command;
use std::time::Duration;

/// So many that every primary has entries of some.
const CUSTOMERS: usize = 300;
const SLOTS_RESHARDED: usize = 2_000;

/// A service over a Cluster, and what is rightly told of customers whose entries all primaries share.
struct Bench {
    service: Service,
    servers: Servers,
    truths: Vec<(String, Value)>,
}

impl Bench {
    async fn start() -> Self {
        let servers = tokio::task::block_in_place(|| Servers::start("cluster"));
        let service = Service::start_on(servers.url(), "").await;
        service.deliver_world().await;
        let set = service.put_set(BLABAERLIA, "KAR", large_set(CUSTOMERS)).await;
        assert_eq!(set.status(), 200);
        let mut truths = truths(&service).await;
        for customer in people().take(CUSTOMERS).step_by(7) {
            let right = service.listed(&customer).await;
            truths.push((customer, right));
        }
        wait_until_cache_is_used(&service, &truths).await;
        Self {
            service,
            servers,
            truths,
        }
    }

    /// Lookups, and registrations that are in the next answer, as long as the faults go on.
    async fn under_load(&self, first: usize, faults: impl Future<Output = ()>) {
        let calls = async {
            tokio::select! {
                () = faults => {}
                () = self.register_on(first) => {}
            }
        };
        asking_during(&self.service, &self.truths, calls).await;
    }

    async fn register_on(&self, first: usize) {
        for customer in people().skip(first) {
            assert!(!is_listed(&self.service, &customer).await);
            register(&self.service, &customer).await;
            assert!(is_listed(&self.service, &customer).await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    async fn used_again(&self) {
        wait_until_cache_is_used(&self.service, &self.truths).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_hangs_or_is_emptied_is_not_missed() {
    let bench = Bench::start().await;
    let faults = async {
        for victim in bench.servers.masters() {
            assert_eq!(bench.servers.command(victim, &["FLUSHALL"]).trim(), "OK");
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let victim = bench.servers.masters()[0];
        bench.servers.signal(victim, "-STOP");
        tokio::time::sleep(2 * NODE_TIMEOUT).await;
        bench.used_again().await;
        bench.servers.signal(victim, "-CONT");
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    bench.under_load(30_000, faults).await;
    bench.used_again().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_move_are_followed() {
    let bench = Bench::start().await;
    let masters = bench.servers.masters();
    let id = |port| {
        let told = bench.servers.command(port, &["CLUSTER", "MYID"]);
        told.trim().to_owned()
    };
    let faults = async {
        for (from, to) in [(masters[0], masters[1]), (masters[1], masters[0])] {
            let mut reshard = Command::new("timeout");
            reshard.args(["120", "redis-cli", "--cluster", "reshard"]);
            reshard.arg(format!("127.0.0.1:{to}"));
            reshard.args(["--cluster-from", &id(from), "--cluster-to", &id(to)]);
            reshard.args(["--cluster-yes", "--cluster-slots", &SLOTS_RESHARDED.to_string()]);
            let moved = tokio::task::spawn_blocking(move || reshard.output().unwrap());
            let output = moved.await.unwrap();
            assert!(output.status.success(), "{output:?}");
            bench.used_again().await;
        }
    };
    bench.under_load(31_000, faults).await;
}
