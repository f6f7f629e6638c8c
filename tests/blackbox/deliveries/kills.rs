//! `kill -9` in every phase of a delivery: nothing acknowledged is lost, no set is half there, the receipt says what
//! became of it, and nothing is left of what was broken off.

use super::side_by_side::Running;
use super::{BLABAERLIA, GRANSKAUEN, changing, lines, own, receipt, record, send};
use crate::harness::identifiers::people;
use crate::harness::{Caching, EITHER_WAY, Service, world};
use chrono::{Days, NaiveDate};
use reqwest::Method;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// Enough that there is something to sort.
const CUSTOMERS: usize = 6_000;
/// Enough that it is put in force in many steps.
const MANY_CUSTOMERS: usize = 40_000;
/// With more kills than these, there is time for many customers.
const KILLS: u64 = 10;
/// Customers whose records are looked at; the first and the last are among them.
const LOOKED_AT: usize = 13;
const READY_AGAIN: Duration = Duration::from_secs(5);

/// Where in a whole set the kill is meant to fall.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// While its lines come in.
    Receiving,
    /// Right after its last byte, while it is sorted, compared or switched to.
    Publishing,
    /// Once rows are being written.
    Merging,
}

const MOMENTS: [Moment; 3] = [Moment::Receiving, Moment::Publishing, Moment::Merging];

/// What was told to the banks, to hold what is found against.
#[derive(Default)]
struct Told {
    /// The version of the whole set that was acknowledged last.
    version: u64,
    /// Customers whose change was acknowledged, and those whose change may have been made.
    changed: Vec<usize>,
    perhaps: Vec<usize>,
    next: usize,
}

struct Trial {
    service: Service,
    who: Vec<String>,
    told: RefCell<Told>,
    slowest: Duration,
    /// Kills that fell while rows were being written.
    merging: Cell<u32>,
    published: u32,
    /// Published without having been acknowledged: the kill fell behind the switch.
    untold: u32,
}

fn day(version: u64) -> NaiveDate {
    world::today() - Days::new(version + 1)
}

/// All customers, with the version in their records.
fn set(who: &[String], version: u64) -> String {
    let from = json!({"fromDate": day(version).to_string()});
    lines(
        &who.iter()
            .map(|customer| record(customer, "owner", &from))
            .collect::<Vec<_>>(),
    )
}

fn random(below: u64) -> Duration {
    Duration::from_micros(uuid::Uuid::new_v4().as_u64_pair().1 % (below * 1_000).max(1))
}

impl Trial {
    async fn begin(caching: Caching, customers: usize) -> (Self, Duration) {
        let service = Service::start(caching).await;
        let who: Vec<String> = people().take(customers).collect();
        let body = set(&who, 0);
        let started = Instant::now();
        let running = Running::begin(&service, Method::PUT, BLABAERLIA, "relationships").await;
        super::published(running.finish(body).await);
        let trial = Self {
            service,
            who,
            told: RefCell::default(),
            slowest: Duration::ZERO,
            merging: Cell::default(),
            published: 0,
            untold: 0,
        };
        (trial, started.elapsed())
    }

    /// Another bank's changes, one after the other, until the kill.
    async fn keep_changing(&self) {
        loop {
            let customer = self.told.borrow().next;
            self.told.borrow_mut().next = (customer + 1) % self.who.len();
            let put = json!({"put": record(&self.who[customer], "other", &json!({}))});
            let request = changing(&self.service, GRANSKAUEN, "?register=KAR", &[put]);
            match request.send().await {
                Ok(response) if response.status() == 200 => self.told.borrow_mut().changed.push(customer),
                Ok(response) => panic!("{}", response.status()),
                Err(_) => return self.told.borrow_mut().perhaps.push(customer),
            }
        }
    }

    /// Delivers a version and kills the service at a moment; the id of the delivery.
    async fn deliver_and_kill(&self, version: u64, moment: Moment, usual: Duration) -> String {
        let usual = u64::try_from(usual.as_millis()).unwrap();
        let running = Running::begin(&self.service, Method::PUT, BLABAERLIA, "relationships").await;
        let (id, body) = (running.id.clone(), set(&self.who, version));
        let deliver = async {
            match moment {
                Moment::Receiving => running.drip(body).await,
                Moment::Publishing | Moment::Merging => running.finish_unless_killed(body).await,
            }
        };
        let kill = async {
            match moment {
                // With the other bank's changes beside it, it takes longer than usual.
                Moment::Receiving | Moment::Publishing => tokio::time::sleep(random(usual * 2)).await,
                Moment::Merging => self.wait_until_merging(usual * 4).await,
            }
            self.service.signal("-KILL");
        };
        let (acknowledged, ()) = tokio::join!(deliver, kill);
        if acknowledged {
            self.told.borrow_mut().version = version;
        }
        id
    }

    /// Until a step has been written since now, and some moments more; a small set may be through before.
    async fn wait_until_merging(&self, patience: u64) {
        const STEPS: &str = "kundeforhold_merge_steps_total";
        let (started, before) = (Instant::now(), self.service.metric(STEPS).await);
        while started.elapsed() < Duration::from_millis(patience) {
            if self.service.metric(STEPS).await > before {
                self.merging.set(self.merging.get() + 1);
                return tokio::time::sleep(random(20)).await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn look(&mut self, version: u64, id: &str, what: &str) {
        self.service.kill();
        let started = Instant::now();
        self.service.start_again();
        self.service.wait_until_ready().await;
        self.slowest = self.slowest.max(started.elapsed());
        self.service.wait_until_given_up().await;
        let mut state = json!("receiving");
        while state == "receiving" {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "{what}: neither whole nor absent"
            );
            state = receipt(&self.service, BLABAERLIA, id).await["state"].clone();
        }
        let (known, changed) = {
            let told = self.told.borrow();
            let last = told.changed.iter().rev().take(20).copied();
            (told.version, last.collect::<Vec<usize>>())
        };
        let stands = match state.as_str() {
            Some("published") => version,
            Some("abandoned") => known,
            other => panic!("{what}: {other:?}"),
        };
        assert!(stands >= known, "{what}: acknowledged and lost");
        for customer in self.who.iter().step_by(self.who.len() / (LOOKED_AT - 1) - 1) {
            let records = own(&self.service, BLABAERLIA, customer).await;
            let days: Vec<&Value> = records.iter().map(|record| &record["fromDate"]).collect();
            assert_eq!(
                days,
                [&json!(day(stands).to_string())],
                "{what}: half a set ({state})"
            );
        }
        for customer in changed {
            let records = own(&self.service, GRANSKAUEN, &self.who[customer]).await;
            assert_eq!(records.len(), 1, "{what}: a change was acknowledged and lost");
        }
        self.service.assert_store_is_sound();
        self.service.wait_until_swept().await;
        self.published += u32::from(stands == version);
        self.untold += u32::from(stands > known);
        self.told.borrow_mut().version = stands;
    }
}

#[tokio::test]
async fn a_kill_at_any_moment_of_a_delivery_leaves_it_whole_or_absent_and_its_receipt_says_which() {
    let kills: u64 = std::env::var("DELIVERY_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let customers = if kills > KILLS { MANY_CUSTOMERS } else { CUSTOMERS };
    for caching in EITHER_WAY {
        let (mut trial, usual) = Trial::begin(caching, customers).await;
        let kills = kills / 2;
        for version in 1..=kills {
            let moment = MOMENTS[version as usize % MOMENTS.len()];
            let what = format!("{caching:?}, kill {version}, {moment:?}");
            let (id, ()) = tokio::join!(
                trial.deliver_and_kill(version, moment, usual),
                trial.keep_changing()
            );
            trial.look(version, &id, &what).await;
        }
        let changed = trial.told.borrow().changed.len();
        println!(
            "{caching:?}: {kills} kills, {} while rows were written, {} of the deliveries published, {} of them untold; \
             {changed} changes acknowledged, none lost; ready after at most {:.1} s",
            trial.merging.get(),
            trial.published,
            trial.untold,
            trial.slowest.as_secs_f64()
        );
        assert!(trial.slowest < READY_AGAIN, "ready after {:?}", trial.slowest);
        let (status, body) = send(trial.service.v2(Method::GET, BLABAERLIA, "deliveries")).await;
        assert_eq!(status, 200, "{body}");
    }
}
