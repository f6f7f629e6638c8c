//! Histories of several banks and agencies on two instances, with faults amid: every answer is one that the calls which were
//! acknowledged before it, or are under way, allow.

use super::{line, postgres::on};
use crate::harness::identifiers::people;
use crate::harness::{Caching, Instance, Service};
use reqwest::{Method, RequestBuilder};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Of KAR.
const BANKS: [&str; 3] = ["210099093", "210011013", "210077073"];
/// Of each bank.
const CUSTOMERS: usize = 4;
const ROLES: [(&str, &str); 3] = [
    ("owner", "primaryOwner"),
    ("other", "notPrimaryOwner"),
    ("unknown", "unknown"),
];
/// Long enough for an instance to be killed and to come back, more than once.
const LASTS: Duration = Duration::from_secs(6);
const BETWEEN_FAULTS: Duration = Duration::from_millis(700);

const BREAK_CONNECTIONS: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// What a bank did about a customer, and what agencies were told. Only one call about it is made at a time.
#[derive(Default)]
struct Ledger(Mutex<Vec<Write>>);

/// A role that was given, or perhaps was.
struct Write {
    role: usize,
    began: Instant,
    /// When it was acknowledged; `None`: it may take effect at any time, until the next one has.
    acknowledged: Option<Instant>,
}

impl Ledger {
    fn begin(&self, role: usize) {
        self.0.lock().unwrap().push(Write {
            role,
            began: Instant::now(),
            acknowledged: None,
        });
    }

    /// It was refused, and never takes effect.
    fn withdraw(&self) {
        self.0.lock().unwrap().pop();
    }

    fn acknowledge(&self) {
        self.0.lock().unwrap().last_mut().unwrap().acknowledged = Some(Instant::now());
    }

    /// Roles that may be told to one who asked between two moments.
    fn allowed(&self, asked: Instant, told: Instant) -> Vec<usize> {
        let writes = self.0.lock().unwrap();
        let known = writes
            .iter()
            .rposition(|write| write.acknowledged.is_some_and(|at| at < asked))
            .unwrap_or(0);
        let may_be = writes[known..].iter().filter(|write| write.began < told);
        may_be.map(|write| write.role).collect()
    }
}

/// Two instances of which one may be down, and who keeps the ledger of each customer.
struct Country {
    service: Service,
    /// Calls go to one of these.
    addresses: [String; 2],
    customers: Vec<(&'static str, String, Arc<Ledger>)>,
}

impl Country {
    fn of(&self, number: usize, request: RequestBuilder) -> RequestBuilder {
        on(&self.addresses[number % 2], request)
    }

    /// A bank that gives its customers one role after the other, until the end.
    async fn deliver(&self, number: usize, end: Instant) {
        let own = &self.customers[number * CUSTOMERS..][..CUSTOMERS];
        for turn in number.. {
            if Instant::now() > end {
                return;
            }
            let (bank, customer, ledger) = &own[turn % CUSTOMERS];
            let role = turn % ROLES.len();
            let change =
                line(customer, "2015-01-01", "").replace("\"owner\"", &format!("\"{}\"", ROLES[role].0));
            let change = format!("{{\"put\":{}}}", change.trim());
            let call = self
                .service
                .v2(Method::POST, bank, "relationships/changes?register=KAR");
            let call = call.header("Content-Type", "application/x-ndjson").body(change);
            ledger.begin(role);
            match self.of(turn, call).send().await {
                Ok(answer) if answer.status() == 200 => ledger.acknowledge(),
                // What an instance was receiving that was killed is not given up yet.
                Ok(answer) if answer.status() == 409 => ledger.withdraw(),
                // It may have taken effect, or not.
                Ok(answer) => assert_eq!(answer.status(), 503),
                Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(40)).await;
        }
    }

    /// An agency that asks about one after the other. Gives how many answers it got.
    async fn ask(&self, seed: usize, end: Instant) -> usize {
        let mut answers = 0;
        for turn in seed.. {
            if Instant::now() > end {
                break;
            }
            let (bank, customer, ledger) = &self.customers[turn * 7 % self.customers.len()];
            let question = self.service.relationships(customer, "2016-01-01", "2016-12-31");
            let question = question.query(&[("onlyPrimaryOwner", "false")]);
            let asked = Instant::now();
            let Ok(answer) = self.of(turn / 3, question).send().await else {
                continue;
            };
            if answer.status() == 503 {
                continue;
            }
            assert_eq!(answer.status(), 200);
            let Ok(answer) = answer.json::<serde_json::Value>().await else {
                continue;
            };
            let told = Instant::now();
            let banks = answer["banks"].as_array().unwrap();
            let listed = banks.iter().find(|listed| listed["organizationID"] == *bank);
            let role = listed
                .and_then(|listed| listed["ownershipType"].as_str())
                .unwrap();
            let role = ROLES
                .iter()
                .position(|(_, ownership)| *ownership == role)
                .unwrap();
            let allowed = ledger.allowed(asked, told);
            assert!(allowed.contains(&role), "{role} of {allowed:?} was told");
            answers += 1;
        }
        answers
    }
}

/// What befalls them, over and over.
async fn befall(country: &Country, instance: &mut Instance, seed: usize, end: Instant) {
    let (database, redis) = (&country.service.database, &country.service.redis);
    let (database, redis) = (database.as_ref().unwrap(), redis.as_ref().unwrap());
    for turn in seed.. {
        tokio::time::sleep(BETWEEN_FAULTS).await;
        if Instant::now() > end {
            return;
        }
        match turn % 5 {
            0 => {
                instance.kill();
                instance.start_again(&country.service.http).await;
            }
            1 => drop(database.number(BREAK_CONNECTIONS).await),
            2 => drop(redis.command(&["FLUSHALL"])),
            3 => {
                redis.signal("-STOP");
                tokio::time::sleep(Duration::from_millis(150)).await;
                redis.signal("-CONT");
            }
            _ => {
                instance.signal("-STOP");
                tokio::time::sleep(Duration::from_millis(300)).await;
                instance.signal("-CONT");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_answer_is_older_than_what_was_acknowledged_before_it() {
    let histories: usize = std::env::var("HISTORIES").map_or(3, |text| text.parse().unwrap());
    let mut answers = 0;
    for seed in 0..histories {
        answers += history(seed).await;
    }
    println!("{histories} histories: {answers} answers, none older than what was acknowledged");
    assert!(answers > histories * 100, "{answers} answers");
}

async fn history(seed: usize) -> usize {
    let service = Service::start_on_postgres(Caching::With, "").await;
    let mut instance = service.second_instance().await;
    let mut people = people();
    let mut customers = Vec::new();
    for bank in BANKS {
        let own: Vec<String> = people.by_ref().take(CUSTOMERS).collect();
        let set: String = own
            .iter()
            .map(|customer| line(customer, "2015-01-01", ""))
            .collect();
        assert_eq!(service.put_set(bank, "KAR", set).await.status(), 200);
        for customer in own {
            let ledger = Arc::new(Ledger::default());
            ledger.begin(0);
            ledger.acknowledge();
            customers.push((bank, customer, ledger));
        }
    }
    let country = Country {
        addresses: [service.address.clone(), instance.address.clone()],
        service,
        customers,
    };
    let end = Instant::now() + LASTS;
    let deliveries = (0..BANKS.len()).map(|number| country.deliver(number, end));
    let deliveries = futures_util::future::join_all(deliveries);
    let questions = futures_util::future::join_all((0..8).map(|agency| country.ask(seed + agency, end)));
    let faults = befall(&country, &mut instance, seed, end);
    let (_, answers, ()) = tokio::join!(deliveries, questions, faults);
    answers.into_iter().sum()
}
