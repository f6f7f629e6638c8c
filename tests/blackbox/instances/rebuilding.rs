//! An index that is built anew from several journals.

use super::{BLABAERLIA, GRANSKAUEN, assert_listed, customers, first_instance, put_once_taken};
use crate::harness::ask::Ask;
use crate::harness::{PROGRAM, Service};
use reqwest::Method;
use std::process::{Command, Output};

async fn register(service: &Service, customer: &str) {
    let post = service.kfr(Method::POST, GRANSKAUEN, customer).send().await;
    assert_eq!(post.unwrap().status(), 201, "{}", service.log());
}

/// The KFR set of one bank in turns: at the first instance, at the second, and at the first again; and a set of
/// another bank at the second.
async fn in_two_journals(first: &mut Service, second: &mut Service) -> Vec<String> {
    let in_turn = customers(100, 3);
    register(first, &in_turn[0]).await;
    first.terminate();
    register(second, &in_turn[1]).await;
    let set = customers(110, 2);
    put_once_taken(second, BLABAERLIA, &set).await;
    first.start_again();
    first.wait_until_ready().await;
    second.terminate();
    register(first, &in_turn[2]).await;
    second.start_again();
    second.wait_until_ready().await;
    [in_turn, set].concat()
}

async fn coverage(service: &Service) -> String {
    let told = Ask::account(service).send().await;
    told.header("Register-Coverage").unwrap().to_owned()
}

/// What `GET /v2/participants` says of a bank.
async fn state_of(service: &Service, bank: &str) -> String {
    let told = Ask::participants(service).send().await.body();
    let banks = told["participants"].as_array().unwrap().clone();
    let bank = banks.iter().find(|one| one["organizationID"] == bank).unwrap();
    bank["state"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_emptied_redis_is_built_from_all_journals() {
    let mut first = first_instance().await;
    let mut second = first.beside(super::QUICK).await;
    let all = in_two_journals(&mut first, &mut second).await;
    for service in [&first, &second] {
        assert_listed(service, &all, true).await;
    }
    let known = coverage(&first).await;
    let built = |service: &Service| service.log().matches("was built from the journal").count();
    let before = built(&first) + built(&second);
    first.redis.as_ref().unwrap().command(&["FLUSHALL"]);
    first.wait_until(|| built(&first) + built(&second) > before).await;
    for service in [&first, &second] {
        service.wait_until_ready().await;
        assert_listed(service, &all, true).await;
        assert_eq!(coverage(service).await, known, "nothing is missing");
    }
}

#[tokio::test]
async fn what_a_missing_journal_has_is_a_gap_until_the_bank_delivers_a_whole_set() {
    let mut first = first_instance().await;
    let mut second = first.beside(super::QUICK).await;
    let all = in_two_journals(&mut first, &mut second).await;
    assert_eq!(state_of(&first, BLABAERLIA).await, "current");
    second.kill();
    first.redis.as_ref().unwrap().command(&["FLUSHALL"]);
    first
        .wait_until(|| first.log().contains("a journal is missing"))
        .await;
    first.wait_until_ready().await;
    assert_listed(&first, &all[..1], true).await;
    assert_listed(&first, &all[2..3], true).await;
    // In KAR it delivered to the missing one only; nothing is known of it now.
    assert_eq!(state_of(&first, BLABAERLIA).await, "notLoaded");
    let whole = customers(120, 2);
    put_once_taken(&first, BLABAERLIA, &whole).await;
    assert_eq!(state_of(&first, BLABAERLIA).await, "current");
    assert_listed(&first, &whole, true).await;
}

fn rebuild(service: &Service, others: &[&Service]) -> Output {
    let mut command = Command::new("timeout");
    command
        .args(["60", PROGRAM, "index", "rebuild", "--json", "--config"])
        .arg(service.configuration());
    for other in others {
        command
            .arg("--journal")
            .arg(other.directory.path().join("journal"));
    }
    command.output().unwrap()
}

#[tokio::test]
async fn index_rebuild_reads_several_journals() {
    let mut first = first_instance().await;
    let mut second = first.beside(super::QUICK).await;
    let all = in_two_journals(&mut first, &mut second).await;
    first.terminate();
    second.terminate();
    let output = rebuild(&first, &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("are in no journal given") && said.contains(GRANSKAUEN),
        "{said}"
    );
    first.redis.as_ref().unwrap().command(&["FLUSHALL"]);
    let output = rebuild(&first, &[&second]);
    assert!(output.status.success(), "{output:?}");
    first.start_again();
    first.wait_until_ready().await;
    assert_listed(&first, &all, true).await;
}
