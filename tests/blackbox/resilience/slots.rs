//! Slots of a Cluster that move from one primary to another, under lookups and calls.

use super::cluster::{BACK_WITHIN, Bench};
use std::process::Command;
use std::time::Duration;

/// Slots that are held half-way between two primaries.
const SLOTS_BETWEEN: usize = 12;
/// Of 5,461 that a primary has; one in 64 has keys.
const SLOTS_RESHARDED: usize = 2_000;
/// Keys that went with them.
const MOVED_AT_LEAST: usize = 100;

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
        bench.assert_nearly_all_right(right, refused);
        bench.back_within(BACK_WITHIN).await;
    }
    bench.all_hold().await;
}

/// In it is what decides whose rows answer.
#[tokio::test(flavor = "multi_thread")]
async fn the_slot_of_the_state_is_followed_while_it_is_between_two_primaries() {
    let bench = Bench::start().await;
    let masters = bench.servers.masters();
    let slot = bench.told_by(masters[0], &["CLUSTER", "KEYSLOT", "{kf}"]);
    let keys = |port| bench.told_by(port, &["CLUSTER", "COUNTKEYSINSLOT", &slot]);
    let (has, has_not): (Vec<u16>, Vec<u16>) = masters.iter().partition(|port| keys(**port) != "0");
    for (from, to) in [(has[0], has_not[0]), (has_not[0], has[0])] {
        let moved = async {
            bench.move_half(&slot, from, to);
            // Several times the age of a state that answers.
            tokio::time::sleep(Duration::from_millis(1_000)).await;
            while migrate(&slot, from, to, 1_000) > 0 {}
            tokio::time::sleep(Duration::from_millis(1_000)).await;
            bench.move_rest(&slot, from, to);
        };
        let (right, refused) = bench.under_load(moved).await;
        bench.assert_nearly_all_right(right, refused);
        bench.back_within(BACK_WITHIN).await;
    }
    bench.all_hold().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reshard_by_the_usual_tool_is_followed() {
    let bench = Bench::start().await;
    let masters = bench.servers.masters();
    for (from, to) in [(masters[0], masters[1]), (masters[1], masters[0])] {
        let keys = || bench.told_by(to, &["DBSIZE"]).parse::<usize>().unwrap();
        let before = keys();
        let (from_id, to_id) = (bench.id(from), bench.id(to));
        let resharded = async {
            let mut reshard = Command::new("timeout");
            reshard.args([
                "120",
                "redis-cli",
                "--cluster",
                "reshard",
                &format!("127.0.0.1:{to}"),
            ]);
            reshard.args([
                "--cluster-from",
                &from_id,
                "--cluster-to",
                &to_id,
                "--cluster-yes",
            ]);
            reshard.args(["--cluster-slots", &SLOTS_RESHARDED.to_string()]);
            let output = tokio::task::spawn_blocking(move || reshard.output().unwrap());
            let output = output.await.unwrap();
            assert!(output.status.success(), "{output:?}");
        };
        let (right, refused) = bench.under_load(resharded).await;
        assert!(keys() > before + MOVED_AT_LEAST);
        bench.assert_nearly_all_right(right, refused);
        bench.back_within(BACK_WITHIN).await;
    }
    bench.all_hold().await;
}

impl Bench {
    fn assert_nearly_all_right(&self, right: usize, refused: usize) {
        println!("{right} right, {refused} refused");
        assert!(
            right > 10 * refused,
            "{right} right, {refused} refused\n{}",
            self.log()
        );
    }

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
