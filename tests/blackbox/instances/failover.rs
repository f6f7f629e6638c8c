//! A Redis that has lost what it took last: nothing is answered until every instance has said what it has.

use super::{BLABAERLIA, GRANSKAUEN, QUICK, customers, first_instance, set_of};
use crate::harness::Service;
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

/// `None`: it is not answered.
async fn answered(service: &Service, customer: &str) -> Option<bool> {
    let found = service.find_listed(customer).await;
    found.map(|banks| banks != json!([]))
}

/// No instance ever answers otherwise, and in the end all answer.
async fn assert_told_rightly(services: &[&Service], customers: &[(&str, bool)]) {
    let started = Instant::now();
    let mut right = 0;
    while right < 10 * customers.len() * services.len() {
        for service in services {
            for (customer, listed) in customers {
                match answered(service, customer).await {
                    Some(told) => {
                        assert_eq!(told, *listed, "{}", service.log());
                        right += 1;
                    }
                    None => assert!(
                        started.elapsed() < Duration::from_secs(20),
                        "not vouched for:\n{}",
                        service.log()
                    ),
                }
            }
        }
    }
}

async fn register(service: &Service, customer: &str) {
    let call = service.kfr(Method::POST, GRANSKAUEN, customer).send();
    assert_eq!(call.await.unwrap().status(), 201);
}

/// Redis is as it was before.
struct Snapshot(tempfile::TempDir);

impl Snapshot {
    fn of(service: &Service) -> Self {
        let directory = tempfile::tempdir().unwrap();
        service.redis.as_ref().unwrap().save(directory.path());
        Self(directory)
    }

    fn put_back(self, service: &mut Service) {
        let redis = service.redis.as_mut().unwrap();
        redis.kill();
        redis.start_again_from(self.0.path());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_instance_brings_back_what_it_took() {
    let mut first = first_instance().await;
    let second = first.beside(QUICK).await;
    let (of_first, of_second) = (customers(200, 4), customers(204, 2));
    let put = first.put_set(BLABAERLIA, "KAR", set_of(&of_first[..2])).await;
    assert_eq!(put.status(), 200);
    register(&second, &of_second[0]).await;
    let snapshot = Snapshot::of(&first);
    let put = first.put_set(BLABAERLIA, "KAR", set_of(&of_first[1..])).await;
    assert_eq!(put.status(), 200);
    register(&second, &of_second[1]).await;

    snapshot.put_back(&mut first);
    let truths = [
        (of_first[0].as_str(), false),
        (of_first[3].as_str(), true),
        (of_second[0].as_str(), true),
        (of_second[1].as_str(), true),
    ];
    assert_told_rightly(&[&first, &second], &truths).await;
    for service in [&first, &second] {
        assert!(service.log().contains("what it lost brought back"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_answers_before_the_one_that_took_a_bank_over_has_told_so() {
    let mut first = first_instance().await;
    let second = first.beside(QUICK).await;
    let registered = customers(210, 3);
    register(&first, &registered[0]).await;
    let snapshot = Snapshot::of(&first);
    assert!(first.terminate().success());
    register(&second, &registered[1]).await;
    first.start_again();
    first.wait_until_ready().await;
    // Redis forgets that the bank was taken over, and the one that did it cannot tell.
    second.signal("-STOP");
    snapshot.put_back(&mut first);
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        assert_eq!(answered(&first, &registered[1]).await, None, "{}", first.log());
    }
    second.signal("-CONT");
    // It is in two journals, so that it is built together.
    let truths = [(registered[0].as_str(), true), (registered[1].as_str(), true)];
    assert_told_rightly(&[&first, &second], &truths).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_knows_nothing_yet_does_not_answer_by_what_redis_kept() {
    let mut first = first_instance().await;
    let mut answering = first.beside("[journal]\ndirectory = \"\"").await;
    let registered = customers(220, 2);
    register(&first, &registered[0]).await;
    let snapshot = Snapshot::of(&first);
    register(&first, &registered[1]).await;
    // The one that has it in its journal cannot tell, and the other has forgotten how far Redis was.
    first.signal("-STOP");
    answering.kill();
    snapshot.put_back(&mut first);
    answering.start_again();
    answering.wait_until_alive().await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(1) {
        assert_eq!(answered(&answering, &registered[1]).await, None);
    }
    first.signal("-CONT");
    let truths = [(registered[0].as_str(), true), (registered[1].as_str(), true)];
    assert_told_rightly(&[&first, &answering], &truths).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_journalled_but_not_written_is_not_taken_for_written() {
    let mut first = first_instance().await;
    let registered = customers(230, 2);
    register(&first, &registered[0]).await;
    // Customers' rows are refused; what tells how far they go is not.
    let redis = first.redis.as_ref().unwrap();
    let may = [
        "ACL",
        "SETUSER",
        "default",
        "resetkeys",
        "~{kf}*",
        "~{*}[mp]",
        "%R~*",
    ];
    assert_eq!(redis.command(&may).trim(), "OK");
    let refused = first.kfr(Method::POST, GRANSKAUEN, &registered[1]).send().await;
    assert_eq!(refused.unwrap().status(), 503);
    // Longer than the pause between two checkpoints.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let snapshot = Snapshot::of(&first);
    snapshot.put_back(&mut first);
    first.wait_until_ready().await;
    let started = Instant::now();
    while answered(&first, &registered[1]).await != Some(true) {
        assert!(started.elapsed() < Duration::from_secs(5), "{}", first.log());
    }
}
