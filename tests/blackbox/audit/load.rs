//! Agencies that keep asking, what they were answered, and the record to hold it against.

use crate::harness::issuer::AGENCY;
use crate::harness::{PROGRAM, Service};
use serde_json::Value;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io::Write;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Requests that are under way at any time.
const CLIENTS: usize = 16;

/// An answer that a client got whole.
pub struct Answered {
    pub correlation: String,
    pub status: u16,
    pub elapsed: Duration,
}

/// What the clients got so far.
#[derive(Default)]
pub struct Ledger {
    pub answers: RefCell<Vec<Answered>>,
    stopped: Cell<bool>,
}

impl Ledger {
    /// Asks until [`stop`](Self::stop).
    pub async fn keep_asking(&self, service: &Service) {
        let client = async || {
            while !self.stopped.get() {
                self.ask_once(service).await;
            }
        };
        futures_util::future::join_all((0..CLIENTS).map(|_| client())).await;
    }

    pub async fn ask_once(&self, service: &Service) {
        let started = Instant::now();
        let request = service.relationships("13897210066", "2024-01-01", "2024-12-31");
        let Ok(response) = request.send().await else {
            return tokio::time::sleep(Duration::from_millis(5)).await;
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if response.bytes().await.is_ok() {
            self.answers.borrow_mut().push(Answered {
                correlation: headers["CorrelationID"].to_str().unwrap().to_owned(),
                status,
                elapsed: started.elapsed(),
            });
        }
    }

    pub fn stop(&self) {
        self.stopped.set(true);
    }

    pub fn count(&self, status: u16) -> usize {
        let answers = self.answers.borrow();
        answers.iter().filter(|answer| answer.status == status).count()
    }

    /// Waits for one more answer of this status.
    pub async fn wait_for_another(&self, status: u16, bound: Duration) {
        let (before, started) = (self.count(status), Instant::now());
        while self.count(status) == before {
            assert!(started.elapsed() < bound, "no answer {status} in {bound:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Every answer but 503 is in the record, with its status.
    pub fn assert_recorded(&self, service: &Service) {
        let recorded = recorded_statuses(service);
        for answer in self.answers.borrow().iter().filter(|answer| answer.status != 503) {
            let status = recorded.get(&answer.correlation);
            assert_eq!(
                status,
                Some(&u64::from(answer.status)),
                "an answer is not in the record"
            );
        }
    }
}

/// The agency's calls in the record: status by correlation id.
pub fn recorded_statuses(service: &Service) -> BTreeMap<String, u64> {
    let calls = search(service, &["--consumer", AGENCY], "");
    calls
        .iter()
        .map(|call| {
            (
                call["correlationID"].as_str().unwrap().to_owned(),
                call["status"].as_u64().unwrap(),
            )
        })
        .collect()
}

/// `audit search --json`.
pub fn search(service: &Service, criteria: &[&str], input: &str) -> Vec<Value> {
    let (success, output) = audit(service, &[&["search", "--json"], criteria].concat(), input);
    assert!(success, "{output}");
    // At the end it tells, on standard error, in how many entries it looked.
    output
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// `audit verify --json`, which must hold.
pub fn verify(service: &Service, heads: &[&str]) -> Value {
    let (success, output) = audit(service, &[&["verify", "--json"], heads].concat(), "");
    assert!(success, "{output}");
    serde_json::from_str(&output).unwrap()
}

/// An audit command on the service's configuration: whether it succeeded, and what it printed.
pub fn audit(service: &Service, arguments: &[&str], input: &str) -> (bool, String) {
    let mut child = Command::new(PROGRAM)
        .arg("audit")
        .args(arguments)
        .arg("--config")
        .arg(service.configuration())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that reads no input may have ended by now.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8(text).unwrap())
}

/// The head that the management port tells.
pub async fn management_head(service: &Service) -> Value {
    let url = format!("http://{}/internal/audit/head", service.management);
    service.http.get(url).send().await.unwrap().json().await.unwrap()
}
