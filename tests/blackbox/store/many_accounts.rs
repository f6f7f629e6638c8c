//! An organisation with many accounts: each change of one of them is as quick as of anybody's, and so are its answers.
//!
//! `ORGANISATION_ACCOUNTS`, 5,000 by default.

use super::{BANK, line};
use crate::harness::identifiers::{accounts, organizations, people};
use crate::harness::{Caching, Service, world};
use reqwest::Method;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Changes of one record that are measured.
const CHANGES: usize = 60;
/// A change of one of many takes at most so many times what one of few takes, and some noise.
const TIMES: u32 = 4;
const NOISE: Duration = Duration::from_millis(20);
/// What a change adds to the files, some pages, whatever else the customer has.
const BYTES_A_CHANGE: u64 = 120_000;
/// All of the organisation's records are judged; a build for development is slow.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);

fn bytes(service: &Service) -> u64 {
    let size = |file: &PathBuf| file.metadata().map_or(0, |file| file.len());
    service.store_files().iter().map(size).sum()
}

/// The median time of changes of a customer's accounts.
async fn change_each(service: &Service, customer: &str, accounts: &[String]) -> Duration {
    let mut took = Vec::new();
    for account in accounts {
        let identity = json!({"customerID": customer, "accountID": account, "fromDate": "2015-01-01"});
        let mut put = identity.clone();
        put["role"] = json!("secondaryOwner");
        let request = service.v2(Method::POST, BANK, "relationships/changes?register=KAR");
        let asked = Instant::now();
        let answer = request
            .body(json!({ "put": put }).to_string())
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200);
        took.push(asked.elapsed());
    }
    took.sort();
    took[took.len() / 2]
}

#[tokio::test]
async fn an_organisation_with_many_accounts_that_change_one_by_one_stays_quick() {
    let many = std::env::var("ORGANISATION_ACCOUNTS").map_or(5_000, |count| count.parse().unwrap());
    let service = Service::start(Caching::With).await;
    let (organization, person) = (organizations().next().unwrap(), people().next().unwrap());
    let accounts: Vec<String> = accounts().take(many + CHANGES).collect();
    let (of_many, of_few) = accounts.split_at(many);
    let on = |customer: &str, account: &String| {
        line(customer, "2015-01-01", &format!(",\"accountID\":\"{account}\""))
    };
    let set = of_many.iter().map(|account| on(&organization, account));
    let set: String = set
        .chain(of_few.iter().map(|account| on(&person, account)))
        .collect();
    assert_eq!(service.put_set(BANK, "KAR", set).await.status(), 200);

    let few = change_each(&service, &person, of_few).await;
    let before = bytes(&service);
    let many_took = change_each(&service, &organization, &of_many[..CHANGES]).await;
    println!("a change of one of {many} accounts {many_took:?}, of one of {CHANGES} {few:?}");
    assert!(many_took < few * TIMES + NOISE, "{many_took:?}, {few:?}");
    let grown = bytes(&service).saturating_sub(before);
    assert!(grown < BYTES_A_CHANGE * CHANGES as u64, "{grown} bytes");

    let today = world::today().to_string();
    for _ in 0..3 {
        let asked = Instant::now();
        let request = service.relationships(&organization, &today, &today);
        let answer: Value = request.send().await.unwrap().json().await.unwrap();
        let took = asked.elapsed();
        assert_eq!(answer["banks"][0]["organizationID"], BANK);
        assert!(took < ANSWERED_WITHIN, "{took:?}");
        let asked = Instant::now();
        let found = service.account(&of_many[CHANGES]).send().await.unwrap();
        assert_eq!(found.status(), 200);
        assert!(asked.elapsed() < ANSWERED_WITHIN, "{:?}", asked.elapsed());
    }
}
