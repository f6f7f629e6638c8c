//! A store that is restored from an older backup, under a Redis that is warm with what came after: nothing of the lost
//! future answers.

use super::{BANK, call, is_listed, line};
use crate::harness::identifiers::people;
use crate::harness::{Caching, Service};
use reqwest::Method;

/// Asked so often that also what was just written behind an answer is read.
const TIMES: usize = 3;

async fn assert_listed(service: &Service, who: &[String], listed: &[bool], moment: &str) {
    for _ in 0..TIMES {
        for (number, (customer, listed)) in who.iter().zip(listed).enumerate() {
            assert_eq!(is_listed(service, customer).await, *listed, "{moment}: {number}");
        }
    }
}

async fn put(service: &Service, register: &str, who: &[String]) {
    let set: String = who
        .iter()
        .map(|customer| line(customer, "2015-01-01", ""))
        .collect();
    let put = service.put(BANK, &format!("?register={register}&confirmShrink=true"));
    assert_eq!(put.body(set).send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn no_entry_of_a_lost_future_answers() {
    let mut service = Service::start_on_file(Caching::With, "").await;
    let who: Vec<String> = people().take(6).collect();
    put(&service, "KFR", &who[..2]).await;
    put(&service, "KAR", &who[2..3]).await;
    let past = [true, true, true, false, false, false];
    assert_listed(&service, &who, &past, "before the backup").await;
    let backup = service.directory.path().join("backup.tar");
    service.back_up(&backup);

    // The future that is lost: two calls, a whole set.
    assert_eq!(call(&service, Method::DELETE, &who[0]).await, 204);
    assert_eq!(call(&service, Method::POST, &who[3]).await, 201);
    put(&service, "KAR", &who[4..5]).await;
    let future = [false, true, false, true, true, false];
    assert_listed(&service, &who, &future, "before it was lost").await;
    assert!(service.terminate().success());
    service.restore(&backup);
    service.start_again();
    service.wait_until_ready().await;
    assert_listed(&service, &who, &past, "restored").await;

    // As many publications again, which have the numbers of those that were lost.
    assert_eq!(call(&service, Method::POST, &who[5]).await, 201);
    assert_listed(&service, &who, &[true, true, true, false, false, true], "one").await;
    assert_eq!(call(&service, Method::DELETE, &who[1]).await, 204);
    assert_listed(&service, &who, &[true, false, true, false, false, true], "two").await;
    put(&service, "KAR", &[]).await;
    assert_listed(&service, &who, &[true, false, false, false, false, true], "three").await;
    // The record was not restored, and goes on.
    assert!(service.command(&["audit", "verify"]).status.success());
    // None of all this is a reason to read the store each time.
    assert!(service.cache_lookups("hit").await > 0.0);
}

#[tokio::test]
async fn a_store_that_is_begun_anew_under_a_warm_redis_knows_nothing() {
    let mut service = Service::start_on_file(Caching::With, "").await;
    let who: Vec<String> = people().take(3).collect();
    put(&service, "KFR", &who[..2]).await;
    assert_listed(&service, &who, &[true, true, false], "before").await;
    assert!(service.terminate().success());
    for file in service.store_files() {
        let _ = std::fs::remove_file(file);
    }
    service.start_again();
    service.wait_until_ready().await;
    assert_listed(&service, &who, &[false; 3], "begun anew").await;
    put(&service, "KFR", &who[2..]).await;
    assert_listed(&service, &who, &[false, false, true], "delivered anew").await;
}
