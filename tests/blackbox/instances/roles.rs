//! One instance at a time takes a bank's deliveries; all answer.

use super::{
    BLABAERLIA, GRANSKAUEN, assert_listed, customers, first_instance, newest_receipt, put_once_taken, set_of,
};
use crate::harness::ask::Ask;
use crate::harness::calls::{code_of, streamed};
use crate::harness::{Engine, Service};
use reqwest::Method;
use std::time::{Duration, Instant};

async fn refused_with(response: reqwest::Response, says: &str) {
    assert!(response.headers().contains_key("Retry-After"));
    assert_eq!(response.status(), 503);
    let text = response.text().await.unwrap();
    assert!(text.contains("KFR-016") && text.contains(says), "{text}");
}

#[tokio::test]
async fn only_one_instance_takes_a_banks_deliveries_until_it_is_gone() {
    let mut first = first_instance().await;
    let second = first.beside(super::QUICK).await;
    let (of_first, of_second) = (customers(0, 3), customers(3, 3));
    assert_eq!(
        first.put_set(BLABAERLIA, "KAR", set_of(&of_first)).await.status(),
        200
    );
    assert_listed(&second, &of_first, true).await;
    let put = second.put_set(BLABAERLIA, "KAR", set_of(&of_second)).await;
    refused_with(put, "route all calls of a bank to one instance").await;
    let other_bank = second.kfr(Method::POST, GRANSKAUEN, &of_second[0]).send();
    assert_eq!(other_bank.await.unwrap().status(), 201);
    refused_with(
        first
            .kfr(Method::POST, GRANSKAUEN, &of_second[1])
            .send()
            .await
            .unwrap(),
        "another instance",
    )
    .await;
    assert_listed(&first, &of_second[..1], true).await;

    first.kill();
    put_once_taken(&second, BLABAERLIA, &of_second).await;
    assert_listed(&second, &of_first, false).await;
    assert_listed(&second, &of_second, true).await;
    // The former holder comes back with a journal that stands behind.
    first.start_again();
    first.wait_until_ready().await;
    assert_listed(&first, &of_first, false).await;
    assert_listed(&first, &of_second, true).await;
}

#[tokio::test]
async fn a_lease_is_given_up_at_shutdown_and_numbers_and_guards_go_on() {
    let mut first = first_instance().await;
    let second = first.beside("").await;
    let many = customers(10, 6);
    assert_eq!(
        first.put_set(BLABAERLIA, "KAR", set_of(&many)).await.status(),
        200
    );
    let changes = |service: &Service, sequence: &str| {
        let post = service.v2(Method::POST, BLABAERLIA, "relationships/changes?register=KAR");
        post.header("Delivery-Sequence", sequence)
            .header("Content-Type", "application/x-ndjson")
            .send()
    };
    assert_eq!(changes(&first, "1").await.unwrap().status(), 200);
    assert!(first.terminate().success());
    // The default lease would last ten seconds.
    let repeated = changes(&second, "1").await.unwrap();
    assert_eq!(code_of(repeated, 409).await, "KFR-011");
    assert_eq!(changes(&second, "2").await.unwrap().status(), 200);
    let shrunk = second.put_set(BLABAERLIA, "KAR", set_of(&many[..1])).await;
    assert_eq!(
        code_of(shrunk, 409).await,
        "KFR-011",
        "the guard knows what stands"
    );
}

#[tokio::test]
async fn a_holder_that_slept_beyond_its_lease_shows_nothing_of_what_it_took() {
    let first = first_instance().await;
    let second = first.beside(super::QUICK).await;
    let (standing, late, taken) = (customers(20, 2), customers(22, 2), customers(24, 2));
    assert_eq!(
        first.put_set(BLABAERLIA, "KAR", set_of(&standing)).await.status(),
        200
    );
    let (pieces, body) = streamed();
    let put = first.put(BLABAERLIA, "?register=KAR").body(body).send();
    let put = tokio::spawn(put);
    pieces.send(Ok(set_of(&late[..1]))).await.unwrap();
    let running = async || newest_receipt(&first, BLABAERLIA).await["state"] == "receiving";
    while !running().await {}

    first.signal("-STOP");
    put_once_taken(&second, BLABAERLIA, &taken).await;
    first.signal("-CONT");
    pieces.send(Ok(set_of(&late[1..]))).await.unwrap();
    drop(pieces);
    refused_with(put.await.unwrap().unwrap(), "another instance").await;
    // That it ended is filed beside the refusal.
    let refused = Instant::now();
    while running().await {
        assert!(refused.elapsed() < Duration::from_secs(5), "{}", first.log());
    }
    let receipt = newest_receipt(&first, BLABAERLIA).await;
    assert_eq!(receipt["state"], "abandoned", "{receipt}");
    first.wait_until_ready().await;
    for service in [&first, &second] {
        assert_listed(service, &taken, true).await;
        assert_listed(service, &late, false).await;
        assert_listed(service, &standing, false).await;
    }
}

#[tokio::test]
async fn a_holder_that_does_not_know_yet_that_its_lease_is_gone_shows_nothing_of_what_it_took() {
    let first = Service::start_with(Engine::Redis, "[index]\nlease_seconds = 60\n").await;
    let second = first.beside(super::QUICK).await;
    let (standing, taken, late) = (customers(50, 2), customers(52, 2), customers(54, 2));
    let put = first.put_set(BLABAERLIA, "KAR", set_of(&standing)).await;
    assert_eq!(put.status(), 200);
    // By its own clock the first holds it for a minute.
    let lease = format!("{{kf}}lease{BLABAERLIA}");
    let deleted = first.redis.as_ref().unwrap().command(&["DEL", &lease]);
    assert_eq!(deleted.trim(), "1");
    let put = second.put_set(BLABAERLIA, "KAR", set_of(&taken)).await;
    assert_eq!(put.status(), 200);
    let put = first.put_set(BLABAERLIA, "KAR", set_of(&late)).await;
    refused_with(put, "another instance").await;
    for service in [&first, &second] {
        assert_listed(service, &taken, true).await;
        assert_listed(service, &late, false).await;
        assert_listed(service, &standing, false).await;
    }
}

#[tokio::test]
async fn an_instance_without_a_journal_only_answers_and_sees_what_is_acknowledged() {
    let first = first_instance().await;
    let answering = first.beside("[journal]\ndirectory = \"\"").await;
    for customer in customers(30, 8) {
        let post = first.kfr(Method::POST, GRANSKAUEN, &customer).send().await;
        assert_eq!(post.unwrap().status(), 201);
        assert_listed(&answering, &[customer], true).await;
    }
    let set = customers(40, 2);
    assert_eq!(first.put_set(BLABAERLIA, "KAR", set_of(&set)).await.status(), 200);
    assert_listed(&answering, &set, true).await;
    let says = "this instance only answers lookups";
    refused_with(answering.put_set(BLABAERLIA, "KAR", set_of(&set)).await, says).await;
    let kfr = answering.kfr(Method::POST, GRANSKAUEN, &set[0]).send().await;
    refused_with(kfr.unwrap(), says).await;
    refused_with(
        answering.kfr_batch(GRANSKAUEN, &set[0]).send().await.unwrap(),
        says,
    )
    .await;
    let participants = Ask::participants(&answering).send().await;
    assert_eq!(participants.status, 200);
    let coverage = Ask::account(&answering).send().await;
    assert!(coverage.header("Register-Coverage").is_some());
}
