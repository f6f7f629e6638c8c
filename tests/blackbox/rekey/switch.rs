//! The moment of the change: a kill between journal and index, and a delivery that began before and ends after.

use super::load::Questions;
use super::{
    BLABAERLIA, GRANSKAUEN, fingerprint, key_file, make_key, next_key_file, occurrences, progress,
    pseudonyms, relationships, start, stored, wait_until_done,
};
use crate::harness::calls::streamed;
use crate::harness::identifiers::people;
use crate::harness::{ENGINES, Engine, Service};
use crate::resilience::{assert_index_agrees_with_journal, is_listed};
use reqwest::Method;
use serde_json::Value;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Waits until `/internal/rekey` says so.
async fn wait_for(service: &Service, condition: impl Fn(&Value) -> bool) {
    let started = Instant::now();
    while !progress(service).await.as_ref().is_some_and(&condition) {
        assert!(started.elapsed() < Duration::from_secs(30), "{}", service.log());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn is_level(now: &Value) -> bool {
    let all = |amount: &Value| amount["total"] != 0 && amount["done"] == amount["total"];
    now["state"] == "loading" && all(&now["entries"]) && all(&now["sets"])
}

/// The journal is of the next key by now, and the index still answers by the former one.
async fn killed_between(engine: Engine, former_key_is_there: bool) {
    let mut service = start(engine).await;
    let put = service.put_set(BLABAERLIA, "KAR", relationships(1_500)).await;
    assert_eq!(put.status(), 200);
    let who = people().nth(9_000).unwrap();
    let call = service.kfr(Method::POST, GRANSKAUEN, &who).send().await.unwrap();
    assert_eq!(call.status(), 201);
    let customers: Vec<String> = people().take(1_510).step_by(50).chain([who]).collect();
    let questions = Questions::about(&service, &customers, &[]).await;
    make_key(&next_key_file(&service));
    let next = fingerprint(&next_key_file(&service));
    wait_for(&service, is_level).await;
    service.kill();
    let current = service.directory.path().join("journal/current");
    std::fs::write(current, format!("1 {next}\n")).unwrap();
    if !former_key_is_there {
        std::fs::rename(next_key_file(&service), key_file(&service)).unwrap();
    }
    service.start_again();
    wait_until_done(&service, &next).await;
    service.wait_until_ready().await;
    assert!(questions.all_are_right().await, "{engine:?}");
    let later = people().nth(9_001).unwrap();
    let call = service
        .kfr(Method::POST, GRANSKAUEN, &later)
        .send()
        .await
        .unwrap();
    assert_eq!(call.status(), 201);
    assert!(is_listed(&service, &later).await);
    assert_eq!(service.log().matches("was built from the journal").count(), 1);
    service.terminate();
    assert_index_agrees_with_journal(&service);
}

#[tokio::test]
async fn the_index_follows_the_journal_after_a_kill_between_the_two() {
    for engine in ENGINES {
        for former_key_is_there in [true, false] {
            killed_between(engine, former_key_is_there).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_set_that_comes_in_while_the_key_changes_is_kept() {
    for engine in ENGINES {
        let mut service = start(engine).await;
        let put = service.put_set(BLABAERLIA, "KAR", relationships(300)).await;
        assert_eq!(put.status(), 200);
        let customers: Vec<String> = people().take(290).step_by(37).collect();
        // At both banks, whichever of Granskauen's sets stands.
        let put = service.put_set(GRANSKAUEN, "KAR", relationships(300)).await;
        assert_eq!(put.status(), 200);
        let questions = Questions::about(&service, &customers, &[]).await;
        let stop = Arc::new(AtomicBool::new(false));
        let asking = questions.ask_on(0, &stop);
        let (pieces, body) = streamed();
        let sending = tokio::spawn(service.put(GRANSKAUEN, "?register=KAR").body(body).send());
        let all = relationships(400);
        let (first, rest) = all.split_at(all.len() / 2);
        pieces.send(Ok(first.to_owned())).await.unwrap();
        make_key(&next_key_file(&service));
        let next = fingerprint(&next_key_file(&service));
        wait_for(&service, |now| now["inForce"] == next).await;
        pieces.send(Ok(rest.to_owned())).await.unwrap();
        drop(pieces);
        let answer = sending.await.unwrap().unwrap();
        assert_eq!(
            answer.status(),
            200,
            "{engine:?}: {}",
            answer.text().await.unwrap()
        );
        wait_until_done(&service, &next).await;
        stop.store(true, Ordering::Relaxed);
        let told = asking.await.unwrap();
        assert_eq!((told.refused, told.unreachable), (0, 0), "{engine:?}");
        assert!(told.wrong.is_empty() && told.right > 100, "{engine:?}: {told:?}");
        let former = pseudonyms(&key_file(&service));
        let banks = service.listed(&customers[1]).await;
        assert_eq!(banks.as_array().unwrap().len(), 2, "{engine:?}: {banks}");
        assert!(is_listed(&service, &people().nth(399).unwrap()).await);
        service.terminate();
        assert_index_agrees_with_journal(&service);
        assert_eq!(occurrences(&stored(&service), &former, &customers), 0);
    }
}
