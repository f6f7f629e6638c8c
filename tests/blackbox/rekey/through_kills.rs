//! The key is changed while the service is killed again and again: no answer is wrong, nothing delivered is lost, and
//! the former key is needed no more.

use super::load::{Calls, Figures, Questions};
use super::{
    BLABAERLIA, RYPA, fingerprint, key_file, make_key, next_key_file, occurrences, progress, pseudonyms,
    relationships, start, stored, wait_until_done,
};
use crate::harness::identifiers::{accounts, people};
use crate::harness::{ENGINES, Engine, Service};
use crate::resilience::{assert_index_agrees_with_journal, is_listed};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const RECORDS: usize = 4_000;
const ASKING: usize = 3;

/// Waits until the change of key is in a state, or past it.
async fn wait_for(service: &Service, state: &str, next: &str) {
    let started = Instant::now();
    loop {
        if let Some(now) = progress(service).await
            && (now["state"] == state || now["inForce"] == next)
        {
            return;
        }
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "{state}:\n{}",
            service.log()
        );
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn kill_and_start_again(service: &mut Service, after: Duration) {
    tokio::time::sleep(after).await;
    service.kill();
    service.start_again();
    service.wait_until_alive().await;
}

async fn change_the_key_through_kills(service: &mut Service, next: &str) {
    wait_for(service, "loading", next).await;
    kill_and_start_again(service, Duration::ZERO).await;
    wait_for(service, "copying", next).await;
    kill_and_start_again(service, Duration::from_millis(40)).await;
    for milliseconds in [0, 4, 10, 20, 60] {
        wait_for(service, "switching", next).await;
        kill_and_start_again(service, Duration::from_millis(milliseconds)).await;
    }
    wait_for(service, "removing", next).await;
    kill_and_start_again(service, Duration::from_millis(100)).await;
    wait_until_done(service, next).await;
    service.wait_until_ready().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_answer_is_wrong_and_nothing_is_lost_whenever_it_is_killed() {
    for engine in ENGINES {
        through_kills(engine).await;
    }
}

async fn through_kills(engine: Engine) {
    let mut service = start(engine).await;
    service.deliver_world().await;
    let put = service.put_set(BLABAERLIA, "KAR", relationships(RECORDS)).await;
    assert_eq!(put.status(), 200);
    let customers: Vec<String> = people().take(RECORDS + 200).step_by(97).collect();
    let their_accounts: Vec<String> = accounts().take(RECORDS).step_by(311).collect();
    let questions = Questions::about(&service, &customers, &their_accounts).await;
    let former = pseudonyms(&key_file(&service));
    assert!(occurrences(&stored(&service), &former, &customers[..3]) > 0);

    let stop = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = (0..ASKING)
        .map(|from| questions.ask_on(from * 7, &stop))
        .collect();
    let calls = Calls::start(&service, people().skip(10_000));
    make_key(&next_key_file(&service));
    let next = fingerprint(&next_key_file(&service));
    change_the_key_through_kills(&mut service, &next).await;
    let delivered: String = people()
        .skip(9_000)
        .take(50)
        .map(|who| format!("{{\"customerID\":\"{who}\",\"role\":\"unknown\",\"fromDate\":\"2015-01-01\"}}\n"))
        .collect();
    assert_eq!(service.put_set(RYPA, "KFR", delivered).await.status(), 200);
    let (acknowledged, _) = calls.stop().await;
    stop.store(true, Ordering::Relaxed);
    let mut told = Figures::default();
    for task in asking {
        told.add(task.await.unwrap());
    }
    assert!(told.wrong.is_empty(), "{engine:?}: {:?}", told.wrong);
    assert!(told.right > 300, "{engine:?}: {told:?}");

    // The former key is needed no more, and nothing of it is left.
    service.terminate();
    std::fs::rename(next_key_file(&service), key_file(&service)).unwrap();
    service.start_again();
    service.wait_until_ready().await;
    assert!(questions.all_are_right().await, "{engine:?}");
    assert!(acknowledged.len() > 20, "{engine:?}: {}", acknowledged.len());
    for customer in acknowledged.iter().cloned().chain(people().skip(9_000).take(50)) {
        assert!(is_listed(&service, &customer).await, "{engine:?}");
    }
    service.terminate();
    assert_index_agrees_with_journal(&service);
    assert_eq!(
        occurrences(&stored(&service), &former, &customers),
        0,
        "{engine:?}"
    );
    let present = pseudonyms(&key_file(&service));
    assert!(occurrences(&stored(&service), &present, &customers[..3]) > 0);
}
