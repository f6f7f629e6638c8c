//! Another pseudonym key: lookups, deliveries and kills meanwhile, and nothing of the former key afterwards.

mod command;
mod load;
mod pace;
mod switch;
mod through_kills;

use crate::harness::identifiers::{accounts, people};
use crate::harness::{Engine, PROGRAM, Service};
use kundeforhold::domain::identifiers::{CustomerId, IdentifierRules};
use kundeforhold::pseudonym::{MasterKey, Pseudonyms};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// In both registers.
pub const GRANSKAUEN: &str = "210099093";
/// In KAR only.
pub const BLABAERLIA: &str = "210011013";
/// In KFR only.
pub const RYPA: &str = "210132120";

/// The record of use has a key of its own, and the key may change.
pub async fn start(engine: Engine) -> Service {
    let key = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, [9; 64]);
    Service::start_with(engine, &format!("[audit]\nkeys = [{key:?}]\n")).await
}

pub fn key_file(service: &Service) -> PathBuf {
    service.directory.path().join("pseudonym.key")
}

pub fn next_key_file(service: &Service) -> PathBuf {
    service.directory.path().join("pseudonym.key.next")
}

pub fn make_key(path: &Path) {
    let made = Command::new(PROGRAM)
        .args(["key", "new"])
        .arg(path)
        .stdout(Stdio::null())
        .status();
    assert!(made.unwrap().success());
}

pub fn pseudonyms(key_file: &Path) -> Pseudonyms {
    Pseudonyms::new(&MasterKey::read(key_file).unwrap())
}

/// So many people have records; those after them have none, unless a test says so.
pub const PEOPLE: usize = 30_000;

/// So many records, each with an account of its own.
pub fn relationships(count: usize) -> String {
    let line = |(customer, account)| {
        format!(
            "{{\"customerID\":\"{customer}\",\"accountID\":\"{account}\",\"role\":\"owner\",\"fromDate\":\"2015-01-01\"}}\n"
        )
    };
    let owners = (0..).flat_map(|_| people().take(PEOPLE));
    owners.zip(accounts()).take(count).map(line).collect()
}

/// `/internal/rekey`; `None` while the service is down.
pub async fn progress(service: &Service) -> Option<Value> {
    let address = format!("http://{}/internal/rekey", service.management);
    let response = service.http.get(address).send().await.ok()?;
    response.json().await.ok()
}

pub fn fingerprint(key_file: &Path) -> String {
    format!("{:016x}", u64::from_be_bytes(pseudonyms(key_file).fingerprint()))
}

pub async fn wait_until_done(service: &Service, key: &str) {
    let started = Instant::now();
    loop {
        let now = progress(service).await;
        if now
            .as_ref()
            .is_some_and(|now| now["inForce"] == key && now["state"] == "idle")
        {
            return;
        }
        assert!(
            started.elapsed() < Duration::from_secs(600),
            "{now:?}\n{}",
            service.log()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Everything that stands in the journal, and, on Redis, in the index.
pub fn stored(service: &Service) -> Vec<Vec<u8>> {
    fn walk(directory: &Path, found: &mut Vec<Vec<u8>>) {
        for item in std::fs::read_dir(directory).unwrap() {
            let path = item.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(std::fs::read(path).unwrap());
            }
        }
    }
    let mut found = Vec::new();
    walk(&service.directory.path().join("journal"), &mut found);
    if let Some(redis) = &service.redis {
        found.extend(redis.contents());
    }
    found
}

/// How often pseudonyms of these customers stand there.
pub fn occurrences(stored: &[Vec<u8>], pseudonyms: &Pseudonyms, customers: &[String]) -> usize {
    let rules = IdentifierRules::SYNTHETIC;
    let stands = |customer: &String| {
        let sealed = pseudonyms.customer(&CustomerId::parse(customer, &rules).unwrap());
        // The first byte of a pseudonym in Redis is the name of its slot group.
        let needle = sealed.customer_key().0[1..].to_vec();
        stored
            .iter()
            .filter(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
            .count()
    };
    customers.iter().map(stands).sum()
}
