//! Random histories of several banks over HTTP, held against a simple register in memory after every step, and once
//! more when the index was built anew.

mod checks;
mod history;
mod register;

use super::encodings::{gzip, zstandard};
use super::side_by_side::Running;
use super::{
    BLABAERLIA, GRANSKAUEN, change, conflict, id_of, kill_and_restart, lines, published, rebuild_index,
    restart, roll_back, send,
};
use crate::harness::identifiers::{accounts, people};
use crate::harness::{Engine, Service, world};
use chrono::{Days, NaiveDate};
use history::{CUSTOMERS, Call, Change, KFR_SETS, Record, SETS, Step};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use register::{Set, Standing};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// In KFR only; `kfrRole = "owner"`.
const ORRHANEN: &str = "210143130";
/// Accounts of each set: none is in two.
const ACCOUNTS: usize = 3;
/// Histories that are lived through at the same time: on Redis a publication waits a while to be seen.
const AT_A_TIME: usize = 5;

/// A service, and what it should know.
struct World {
    service: Service,
    who: Vec<String>,
    accounts: Vec<String>,
    sets: Vec<Set>,
    today: NaiveDate,
}

impl World {
    async fn begin(engine: Engine) -> Self {
        let set = |bank, register, kfr_role| Set::new(bank, register, kfr_role);
        Self {
            service: Service::start(engine).await,
            who: people().take(CUSTOMERS).collect(),
            accounts: accounts().take(SETS * ACCOUNTS).collect(),
            sets: vec![
                set(GRANSKAUEN, "KAR", "unknown"),
                set(BLABAERLIA, "KAR", "unknown"),
                set(GRANSKAUEN, "KFR", "unknown"),
                set(ORRHANEN, "KFR", "owner"),
            ],
            today: world::today(),
        }
    }

    fn day(&self, days_ago: u64) -> NaiveDate {
        self.today - Days::new(days_ago)
    }

    async fn live(&mut self, step: &Step) {
        match step {
            Step::WholeSet { set, records, during } => self.replace(*set, records, during).await,
            Step::Changes {
                set,
                changes,
                lenient,
            } => self.change(*set, changes, *lenient).await,
            Step::Call { set, call } => {
                self.call(*set, call, false).await;
            }
            Step::Batch { set, customers } => self.batch(*set, customers).await,
            Step::RollBack { set } => self.roll_back(*set).await,
            Step::Restart => restart(&mut self.service).await,
            Step::Kill => kill_and_restart(&mut self.service).await,
        }
    }

    async fn replace(&mut self, at: usize, records: &[Record], during: &[Call]) {
        let (mut carried, mut new) = (Vec::new(), Standing::new());
        let values: Vec<Value> = records.iter().map(|record| self.record(at, record)).collect();
        records.iter().for_each(|record| self.put(at, &mut new, record));
        let tail = self.tail(at, "relationships", "&confirmShrink=true");
        let bank = self.sets[at].bank;
        let answer = if KFR_SETS.contains(&at) && !during.is_empty() {
            let running = Running::begin(&self.service, Method::PUT, bank, &tail).await;
            for call in during {
                if self.call(at, call, true).await {
                    carried.push(call);
                }
            }
            running.finish(lines(&values)).await
        } else {
            let (encoding, body) = match records.len() % 3 {
                0 => ("identity", lines(&values).into_bytes()),
                1 => ("gzip", gzip(lines(&values).as_bytes())),
                _ => ("zstd", zstandard(lines(&values).as_bytes())),
            };
            let request = self.service.v2(Method::PUT, bank, &tail);
            send(request.header("Content-Encoding", encoding).body(body)).await
        };
        assert_eq!(answer.1["stored"], json!(new.len()), "identities");
        for call in carried {
            self.take_call(at, &mut new, call);
        }
        self.sets[at].replace(published(answer), new);
    }

    async fn change(&mut self, at: usize, changes: &[Change], lenient: bool) {
        let mut new = self.sets[at].standing.clone();
        let made: Vec<bool> = changes
            .iter()
            .map(|change| self.take_change(at, &mut new, change))
            .collect();
        let bad = made.iter().filter(|made| !**made).count();
        let values: Vec<Value> = changes
            .iter()
            .map(|change| self.change_line(at, change))
            .collect();
        let query = format!(
            "?register={}&maxRejects={}",
            self.sets[at].register,
            u8::from(lenient)
        );
        let (status, receipt) = change(&self.service, self.sets[at].bank, &query, &values).await;
        assert_eq!(receipt["rejected"], json!(bad), "{receipt}");
        if bad <= usize::from(lenient) {
            let id = published((status, receipt));
            self.sets[at].change(Some(id), new);
        } else {
            assert_eq!(
                (status, &receipt["state"]),
                (422, &json!("rejected")),
                "{receipt}"
            );
            self.sets[at].rejected.push(id_of(&receipt));
        }
    }

    /// Makes a KFR call; whether it was published. One that changes nothing is, when a whole set is under way.
    async fn call(&mut self, at: usize, call: &Call, under_way: bool) -> bool {
        let mut new = self.sets[at].standing.clone();
        let (bank, customer) = (self.sets[at].bank, &self.who[call.customer()]);
        let request = match call {
            Call::Add { .. } => self.service.kfr(Method::POST, bank, customer),
            Call::End { days_ago, .. } => {
                let to = [("toDate", self.day(*days_ago).to_string())];
                self.service.kfr(Method::DELETE, bank, customer).query(&to)
            }
        };
        let status = request.send().await.unwrap().status().as_u16();
        let changed = self.take_call(at, &mut new, call);
        let (expected, is_published) = match (call, changed) {
            (Call::Add { .. }, true) => (201, true),
            (Call::Add { .. }, false) => (200, under_way),
            (Call::End { .. }, true) => (204, true),
            (Call::End { .. }, false) => (404, false),
        };
        assert_eq!(status, expected, "{call:?}");
        if is_published {
            self.sets[at].change(None, new);
        }
        is_published
    }

    async fn batch(&mut self, at: usize, customers: &[(usize, u64)]) {
        let item =
            |(customer, days_ago): &(usize, u64)| format!("{}#{}", self.who[*customer], self.day(*days_ago));
        let items: Vec<String> = customers.iter().map(item).collect();
        let request = self.service.kfr_batch(self.sets[at].bank, &items.join(","));
        assert_eq!(request.send().await.unwrap().status(), 201);
        let mut new = self.sets[at].standing.clone();
        for (customer, days_ago) in customers {
            register::add(
                &mut new,
                *customer,
                self.day(*days_ago),
                self.today,
                self.sets[at].kfr_role,
            );
        }
        self.sets[at].change(None, new);
    }

    async fn roll_back(&mut self, at: usize) {
        let bank = self.sets[at].bank;
        if let Some(whole) = self.sets[at].latest_whole_set() {
            let answer = roll_back(&self.service, bank, &whole, "?discardLaterChanges=true").await;
            assert_eq!(answer.1["discardedDeliveries"][0], whole, "{}", answer.1);
            self.sets[at].roll_back(published(answer));
        } else if let Some(undone) = self.sets[at].any_whole_set() {
            let answer = roll_back(&self.service, bank, &undone, "?discardLaterChanges=true").await;
            assert_eq!(conflict(answer).0, "deliveryID");
        }
    }
}

async fn live_through(engine: Engine, history: &[Step]) {
    let mut world = World::begin(engine).await;
    for (number, step) in history.iter().enumerate() {
        world.live(step).await;
        world.check_some(number).await;
    }
    world.check_all().await;
    rebuild_index(&mut world.service).await;
    world.check_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_histories_answer_as_a_simple_register_does_and_a_rebuilt_index_too() {
    let sequences: u32 = std::env::var("DELIVERY_SEQUENCES").map_or(30, |text| text.parse().unwrap());
    let started = std::time::Instant::now();
    let mut runner = TestRunner::default();
    let histories: Vec<Vec<Step>> = (0..sequences)
        .map(|_| history::steps().new_tree(&mut runner).unwrap().current())
        .collect();
    let steps: usize = histories.iter().map(Vec::len).sum();
    let waiting = Arc::new(Mutex::new(histories.into_iter().enumerate()));
    let workers: Vec<_> = (0..AT_A_TIME)
        .map(|_| {
            let waiting = Arc::clone(&waiting);
            tokio::spawn(async move {
                loop {
                    let Some((number, history)) = waiting.lock().unwrap().next() else {
                        return;
                    };
                    let engine = crate::harness::ENGINES[number % 2];
                    let told = format!("history {number} on {engine:?}: {history:#?}");
                    let lived = tokio::spawn(async move { live_through(engine, &history).await });
                    lived.await.unwrap_or_else(|cause| panic!("{told}\n{cause}"));
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    println!(
        "{sequences} histories of {steps} steps in {:.0} s",
        started.elapsed().as_secs_f64()
    );
}
