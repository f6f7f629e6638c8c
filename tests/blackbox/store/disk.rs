//! The disk of the store does not sync, is full, or cannot be written: nothing is acknowledged after it, what is refused
//! is refused soon, lookups go on, and so does everything by itself once the disk works again.

use super::{BANK, call, is_listed, line, whole_set};
use crate::audit::disk::Mount;
use crate::harness::calls::code_of;
use crate::harness::identifiers::people;
use crate::harness::strace::{SYNC, Tampered, WRITE};
use crate::harness::{Caching, EITHER_WAY, Service};
use reqwest::Method;
use std::time::{Duration, Instant};

/// A call that cannot be kept is refused within this.
const REFUSED_WITHIN: Duration = Duration::from_millis(1_500);
/// The service takes calls again this soon after the end of a fault.
const RECOVERY: Duration = Duration::from_secs(10);
/// Calls in a fault.
const CALLS: usize = 12;

/// Calls one after the other, each of a customer of its own.
struct Calls {
    who: Box<dyn Iterator<Item = String>>,
    acknowledged: Vec<String>,
}

impl Calls {
    fn new(first: usize) -> Self {
        Self {
            who: Box::new(people().skip(first)),
            acknowledged: Vec::new(),
        }
    }

    /// The next one: whether it was acknowledged. A refusal is the right one, and soon told.
    async fn make(&mut self, service: &Service) -> bool {
        let customer = self.who.next().unwrap();
        let asked = Instant::now();
        let answer = service.kfr(Method::POST, BANK, &customer).send().await.unwrap();
        if answer.status() == 201 {
            self.acknowledged.push(customer);
            return true;
        }
        assert!(asked.elapsed() < REFUSED_WITHIN, "{:?}", asked.elapsed());
        assert!(answer.headers().contains_key("Retry-After"));
        assert_eq!(code_of(answer, 503).await, "KFR-016");
        false
    }

    async fn until_acknowledged(&mut self, service: &Service) {
        let ended = Instant::now();
        while !self.make(service).await {
            assert!(ended.elapsed() < RECOVERY, "{}", service.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        service.wait_until_ready().await;
    }

    /// All that was acknowledged is there, now and after a kill.
    async fn all_hold(&self, service: &mut Service) {
        for _ in 0..2 {
            for customer in &self.acknowledged {
                assert!(is_listed(service, customer).await, "acknowledged and lost");
            }
            service.assert_store_is_sound();
            service.kill_and_restart().await;
        }
    }
}

#[tokio::test]
async fn after_a_sync_that_fails_nothing_is_acknowledged_until_the_disk_works_again() {
    for caching in EITHER_WAY {
        let mut service = Service::start_on_file(caching, "").await;
        let mut calls = Calls::new(1_000);
        for number in [1, 2, 5] {
            assert!(calls.make(&service).await, "{}", service.log());
            let known = calls.acknowledged.last().unwrap().clone();
            let failing = Tampered::begin(&service, SYNC, &format!("error=EIO:when={number}+"));
            let mut acknowledged = Vec::new();
            for _ in 0..CALLS {
                acknowledged.push(calls.make(&service).await);
                assert!(is_listed(&service, &known).await, "lookups go on");
            }
            let first_refused = acknowledged.iter().position(|done| !done);
            let first_refused = first_refused.expect("a sync failed, and nobody was told");
            assert!(
                acknowledged[first_refused..].iter().all(|done| !done),
                "{caching:?}: acknowledged after a failed sync: {acknowledged:?}"
            );
            assert_eq!(service.metric("kundeforhold_store_writable").await, 0.0);
            failing.end();
            calls.until_acknowledged(&service).await;
            service
                .wait_until_metrics(|metrics| metrics.contains("kundeforhold_store_writable 1"))
                .await;
        }
        calls.all_hold(&mut service).await;
    }
}

/// A sync that failed once may have lost what it was to keep, whatever the next one says.
#[tokio::test]
async fn one_sync_that_fails_is_recovered_from_and_costs_nothing_that_was_acknowledged() {
    let mut service = Service::start_on_file(Caching::With, "").await;
    let mut calls = Calls::new(2_000);
    for number in 1..=4 {
        let failing = Tampered::begin(&service, SYNC, &format!("error=EIO:when={number}"));
        for _ in 0..CALLS {
            calls.make(&service).await;
        }
        calls.until_acknowledged(&service).await;
        failing.end();
    }
    assert!(calls.acknowledged.len() > CALLS, "{}", calls.acknowledged.len());
    calls.all_hold(&mut service).await;
}

#[tokio::test]
async fn whole_sets_on_a_failing_disk_leave_the_former_one_and_come_through_afterwards() {
    for (calls, how) in [
        (SYNC, "error=EIO"),
        (WRITE, "error=ENOSPC"),
        (WRITE, "error=EIO:when=40+"),
    ] {
        let mut service = Service::start_on_file(Caching::With, "").await;
        let customer = people().next().unwrap();
        let former = service.put_set(BANK, "KAR", whole_set("2019-01-01")).await;
        assert_eq!(former.status(), 200);
        let failing = Tampered::begin(&service, calls, how);
        let refused = service.put_set(BANK, "KAR", whole_set("2021-01-01")).await;
        assert_eq!(code_of(refused, 503).await, "KFR-016", "{calls} {how}");
        assert!(
            service.is_listed_on(&customer, "2019-06-01").await,
            "{calls} {how}"
        );
        failing.end();
        let ended = Instant::now();
        loop {
            let again = service.put_set(BANK, "KAR", whole_set("2021-01-01")).await;
            if again.status() == 200 {
                break;
            }
            // What is broken off may have to be removed first.
            assert!(matches!(again.status().as_u16(), 503 | 409), "{}", again.status());
            assert!(ended.elapsed() < RECOVERY, "{calls} {how}: {}", service.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for _ in 0..2 {
            assert!(
                !service.is_listed_on(&customer, "2019-06-01").await,
                "{calls} {how}"
            );
            assert!(
                service.is_listed_on(&customer, "2021-06-01").await,
                "{calls} {how}"
            );
            service.assert_store_is_sound();
            service.wait_until_swept().await;
            service.kill_and_restart().await;
        }
    }
}

#[tokio::test]
async fn a_full_disk_refuses_what_it_cannot_keep_and_takes_it_once_there_is_room() {
    let mount = Mount::new(&["-t", "tmpfs", "-o", "size=24m", "none"]);
    let file = mount.path().join("register.sqlite");
    let url = format!("sqlite:{}", file.display());
    let configuration = format!("[store]\nurl = {url:?}\n[delivery]\nmin_free_megabytes = 0\n");
    let mut service = Service::start_on_file(Caching::Without, &configuration).await;
    let former = service.put_set(BANK, "KAR", whole_set("2019-01-01")).await;
    assert_eq!(former.status(), 200);
    let mut calls = Calls::new(4_000);
    assert!(calls.make(&service).await);
    let filler = mount.path().join("filler");
    assert!(
        std::fs::write(&filler, vec![1; 48 << 20]).is_err(),
        "it is not full"
    );
    let mut refused = 0;
    for _ in 0..100 {
        refused += u32::from(!calls.make(&service).await);
        if refused > 5 {
            break;
        }
    }
    assert!(refused > 5, "a full disk took everything");
    let set = service.put_set(BANK, "KAR", whole_set("2021-01-01")).await;
    assert_eq!(code_of(set, 503).await, "KFR-016");
    let customer = people().next().unwrap();
    assert!(service.is_listed_on(&customer, "2019-06-01").await);
    std::fs::remove_file(&filler).unwrap();
    calls.until_acknowledged(&service).await;
    let set = service.put_set(BANK, "KAR", whole_set("2021-01-01")).await;
    assert_eq!(set.status(), 200, "{}", service.log());
    for customer in &calls.acknowledged {
        assert!(is_listed(&service, customer).await, "acknowledged and lost");
    }
    service.kill_and_restart().await;
    for customer in &calls.acknowledged {
        assert!(is_listed(&service, customer).await, "acknowledged and lost");
    }
    let sound = rusqlite::Connection::open(&file).unwrap();
    let told: String = sound
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(told, "ok");
    drop(service);
}

/// Nothing that is being written delays what others ask.
#[tokio::test]
async fn a_disk_that_syncs_slowly_delays_calls_and_no_lookup() {
    const SLOW_SYNC: &str = "delay_enter=300000";
    let service = Service::start_on_file(Caching::Without, "").await;
    let who: Vec<String> = people().take(5).collect();
    let set: String = who
        .iter()
        .map(|customer| line(customer, "2019-01-01", ""))
        .collect();
    assert_eq!(service.put_set(BANK, "KAR", set).await.status(), 200);
    let slow = Tampered::begin(&service, SYNC, SLOW_SYNC);
    let called = async {
        for customer in people().skip(5_000).take(4) {
            assert_eq!(call(&service, Method::POST, &customer).await, 201);
        }
    };
    let asked = async {
        for customer in who.iter().cycle().take(60) {
            let asked = Instant::now();
            assert!(is_listed(&service, customer).await);
            assert!(
                asked.elapsed() < Duration::from_millis(900),
                "{:?}",
                asked.elapsed()
            );
        }
    };
    tokio::join!(called, asked);
    slow.end();
}
