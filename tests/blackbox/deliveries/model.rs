//! Random histories of several banks over HTTP, held against a simple register in memory after every step: read from
//! the store, through a cache, and through one that is cut off, late, emptied, and full of what does not hold.

mod cache;
mod checks;
mod history;
mod register;

use super::encodings::{gzip, zstandard};
use super::side_by_side::Running;
use super::{BLABAERLIA, GRANSKAUEN, change, conflict, id_of, lines, newest, published, roll_back, send};
use crate::harness::identifiers::{accounts, people};
use crate::harness::keys::section;
use crate::harness::{Service, world};
use cache::Cache;
use chrono::{Days, Months, NaiveDate};
use history::{CUSTOMERS, Call, Change, KFR_SETS, Record, SETS, Step};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use register::{Latest, Outcome, Set, Standing};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

/// Days of the histories are so far apart: what ended on one of them ended more than a year before the next.
const STEP_DAYS: u64 = 400;
/// Longer than the histories reach back.
const LONG_YEARS: i64 = 20;

/// In KFR only; `kfrRole = "owner"`.
const ORRHANEN: &str = "210143130";
/// Accounts of each set: none is in two.
const ACCOUNTS: usize = 3;
/// Histories that are lived through at the same time.
const AT_A_TIME: usize = 4;

/// A service, and what it should know.
struct World {
    service: Service,
    cache: Cache,
    who: Vec<String>,
    accounts: Vec<String>,
    sets: Vec<Set>,
    /// KFR calls and batches of each bank that went well.
    made: BTreeMap<&'static str, (u64, usize)>,
    today: NaiveDate,
}

impl World {
    async fn begin(history: usize) -> Self {
        let set = |bank, register, kfr_role| Set::new(bank, register, kfr_role);
        let (service, cache) = Cache::begin(history).await;
        Self {
            service,
            cache,
            who: people().take(CUSTOMERS).collect(),
            accounts: accounts().take(SETS * ACCOUNTS).collect(),
            sets: vec![
                set(GRANSKAUEN, "KAR", "unknown"),
                set(BLABAERLIA, "KAR", "unknown"),
                set(GRANSKAUEN, "KFR", "unknown"),
                set(ORRHANEN, "KFR", "owner"),
            ],
            made: BTreeMap::new(),
            today: world::today(),
        }
    }

    fn day(&self, days_ago: u64) -> NaiveDate {
        self.today - Days::new(days_ago * STEP_DAYS)
    }

    async fn live(&mut self, step: &Step) {
        match step {
            Step::WholeSet {
                set,
                records,
                during,
                racing,
            } => match (KFR_SETS.contains(set), during.as_slice(), racing) {
                (true, [_, ..], _) | (true, [], Some(_)) => {
                    self.replace_amid_calls(*set, records, during, racing.as_ref())
                        .await;
                }
                _ => self.replace(*set, records).await,
            },
            Step::BrokenOff {
                set,
                records,
                during,
                killed,
            } => self.break_off(*set, records, during, *killed).await,
            Step::Changes {
                set,
                changes,
                lenient,
            } => self.change(*set, changes, *lenient).await,
            Step::Call { set, call } => {
                self.call(*set, call).await;
            }
            Step::RollBack { set } => self.roll_back(*set).await,
            Step::Rekey { set, during } => self.rekey(*set, during).await,
            Step::Erase => self.erase().await,
            Step::Restart => self.service.restart().await,
            Step::Kill => self.service.kill_and_restart().await,
        }
    }

    /// The lines of a file, and what it says.
    fn file(&self, at: usize, records: &[Record]) -> (Vec<Value>, Standing) {
        let mut new = Standing::new();
        records.iter().for_each(|record| self.put(at, &mut new, record));
        let values = records.iter().map(|record| self.record(at, record));
        (values.collect(), new)
    }

    async fn replace(&mut self, at: usize, records: &[Record]) {
        let (values, new) = self.file(at, records);
        let text = lines(&values);
        let (encoding, body) = match records.len() % 3 {
            0 => ("identity", text.into_bytes()),
            1 => ("gzip", gzip(text.as_bytes())),
            _ => ("zstd", zstandard(text.as_bytes())),
        };
        let tail = self.tail(at, "relationships", "&confirmShrink=true");
        let request = self.service.v2(Method::PUT, self.sets[at].bank, &tail);
        let answer = send(request.header("Content-Encoding", encoding).body(body)).await;
        assert_eq!(answer.1["stored"], json!(new.len()), "identities");
        self.sets[at].replace(published(answer), new, false);
    }

    /// A whole set that comes in piece by piece, with a call between any two.
    async fn upload<'c>(
        &mut self,
        at: usize,
        values: &[Value],
        during: &'c [Call],
    ) -> (Running, Vec<&'c Call>) {
        let tail = self.tail(at, "relationships", "&confirmShrink=true");
        let running = Running::begin(&self.service, Method::PUT, self.sets[at].bank, &tail).await;
        let mut carried = Vec::new();
        let mut pieces = values.chunks(values.len() / (during.len() + 1) + 1);
        for call in during {
            if self.call(at, call).await {
                carried.push(call);
            }
            if let Some(piece) = pieces.next() {
                running.send(lines(piece)).await;
            }
        }
        for piece in pieces {
            running.send(lines(piece)).await;
        }
        (running, carried)
    }

    async fn replace_amid_calls(
        &mut self,
        at: usize,
        records: &[Record],
        during: &[Call],
        racing: Option<&Call>,
    ) {
        let (values, mut new) = self.file(at, records);
        let identities = new.len();
        let (running, mut carried) = self.upload(at, &values, during).await;
        let race = async {
            let status = self.request(at, racing?).send().await.unwrap().status().as_u16();
            assert!(
                matches!(status, 200 | 201 | 204 | 400 | 404),
                "{racing:?}: {status}"
            );
            racing.filter(|_| status < 300)
        };
        let (answer, raced) = tokio::join!(running.finish("\n".to_owned()), race);
        assert_eq!(answer.1["stored"], json!(identities), "identities");
        // Before the switch or after it: it holds.
        if let Some(call) = raced {
            self.note_made(at, call);
            carried.push(call);
        }
        for call in carried {
            self.take_call(at, &mut new, call);
        }
        self.sets[at].replace(published(answer), new, racing.is_some());
    }

    async fn break_off(&mut self, at: usize, records: &[Record], during: &[Call], killed: bool) {
        let (values, _) = self.file(at, records);
        let during: &[Call] = if KFR_SETS.contains(&at) { during } else { &[] };
        let (running, _) = self.upload(at, &values, during).await;
        let id = running.id.clone();
        if killed {
            self.service.kill();
            running.break_off().await;
            self.service.start_again();
            self.service.wait_until_ready().await;
            self.service.wait_until_given_up().await;
        } else {
            running.break_off().await;
        }
        let told = newest(&self.service, self.sets[at].bank, "abandoned").await;
        assert_eq!(told["deliveryID"], id);
        self.sets[at].abandoned.push(id);
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

    fn request(&self, at: usize, call: &Call) -> RequestBuilder {
        let (service, bank) = (&self.service, self.sets[at].bank);
        match call {
            Call::Add { customer } => service.kfr(Method::POST, bank, &self.who[*customer]),
            Call::End { customer, days_ago } => {
                let to = days_ago.map(|days_ago| ("toDate", self.day(days_ago).to_string()));
                service
                    .kfr(Method::DELETE, bank, &self.who[*customer])
                    .query(&to.into_iter().collect::<Vec<_>>())
            }
            Call::Batch(customers) => {
                let item = |(customer, days_ago): &(usize, u64)| {
                    format!("{}#{}", self.who[*customer], self.day(*days_ago))
                };
                let items: Vec<String> = customers.iter().map(item).collect();
                service.kfr_batch(bank, &items.join(","))
            }
        }
    }

    /// Makes a KFR call; whether it went well.
    async fn call(&mut self, at: usize, call: &Call) -> bool {
        let mut new = self.sets[at].standing.clone();
        let outcome = self.take_call(at, &mut new, call);
        let expected = match (call, outcome) {
            (Call::Batch(_) | Call::Add { .. }, Outcome::Changed) => 201,
            (_, Outcome::Stood) => 200,
            (Call::End { .. }, Outcome::Changed) => 204,
            (_, Outcome::Nothing) => 404,
            (_, Outcome::TooEarly) => 400,
        };
        let status = self.request(at, call).send().await.unwrap().status();
        assert_eq!(status, expected, "{call:?}");
        if expected >= 300 {
            return false;
        }
        self.note_made(at, call);
        self.sets[at].change(None, new);
        true
    }

    fn note_made(&mut self, at: usize, call: &Call) {
        let (calls, batches) = self.made.entry(self.sets[at].bank).or_default();
        match call {
            Call::Batch(_) => {
                *batches += 1;
                self.sets[at].is_loaded = true;
            }
            Call::Add { .. } | Call::End { .. } => *calls += 1,
        }
    }

    async fn rekey(&mut self, at: usize, during: &[Call]) {
        self.service.name_next_key();
        self.service.restart().await;
        let rekey = self.service.begin_rekey();
        for call in during {
            self.call(at, call).await;
        }
        let done = rekey.await.unwrap();
        assert!(done.status.success(), "{done:?}");
        self.service.name_next_key_only();
        self.service.restart().await;
    }

    /// Records are kept for a year once they have ended, until those that ended longer ago are gone.
    async fn erase(&mut self) {
        let years = |years: i64| {
            move |table: &mut toml::Table| {
                section(table, "retention").insert("closed_years".to_owned(), years.into());
                section(table, "store").insert("upkeep_seconds".to_owned(), 1.into());
            }
        };
        let day = self.today - Months::new(12);
        self.service.configure(years(1));
        self.service.restart().await;
        self.service.wait_until_erased(day).await;
        self.service.configure(years(LONG_YEARS));
        assert!(self.service.terminate().success());
        // By the rules of that time what is cached of it does not answer; here, where time goes back, no entry counts.
        let drawn = match self.service.database {
            None => "UPDATE publications SET drawn = randomblob(8)",
            Some(_) => "UPDATE publications SET drawn = substr(decode(md5(random()::text), 'hex'), 1, 8)",
        };
        self.service.change_store(drawn).await;
        self.service.start_again();
        self.service.wait_until_ready().await;
        self.sets.iter_mut().for_each(|set| set.erase(day));
    }

    async fn roll_back(&mut self, at: usize) {
        let bank = self.sets[at].bank;
        let query = "?discardLaterChanges=true";
        match self.sets[at].latest() {
            Some(Latest::Known(whole)) => {
                let answer = roll_back(&self.service, bank, &whole, query).await;
                assert_eq!(answer.1["discardedDeliveries"][0], whole, "{}", answer.1);
                self.sets[at].roll_back(published(answer));
            }
            Some(Latest::First(whole)) => {
                let answer = roll_back(&self.service, bank, &whole, query).await;
                assert_eq!(conflict(answer).0, "deliveryID");
            }
            Some(Latest::Raced) | None => {}
        }
    }
}

async fn live_through(number: usize, history: &[Step]) -> usize {
    let mut world = World::begin(number).await;
    for (number, step) in history.iter().enumerate() {
        world.live(step).await;
        world.check_some(number).await;
        world.cache.trouble(number);
        world.check_some(number).await;
    }
    world.check_all().await;
    world.service.kill_and_restart().await;
    world.check_all().await;
    world.service.assert_store_is_sound();
    world.service.wait_until_swept().await;
    world.cache.faults()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn random_histories_answer_as_a_simple_register_does_whatever_the_cache_does() {
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
                let mut faults = 0;
                loop {
                    let Some((number, history)) = waiting.lock().unwrap().next() else {
                        return faults;
                    };
                    let told = format!("history {number}: {history:#?}");
                    let lived = tokio::spawn(async move { live_through(number, &history).await });
                    faults += lived.await.unwrap_or_else(|cause| panic!("{told}\n{cause}"));
                }
            })
        })
        .collect();
    let mut faults = 0;
    for worker in workers {
        faults += worker.await.unwrap();
    }
    println!(
        "{sequences} histories of {steps} steps in {:.0} s; {faults} replies of Redis were cut off or late",
        started.elapsed().as_secs_f64()
    );
}
