//! A large register under lookups at full rate: killed half-way, resumed, and the figures printed.

use super::load::{Calls, Figures, Questions};
use super::{
    BLABAERLIA, PEOPLE, fingerprint, make_key, next_key_file, progress, relationships, start, wait_until_done,
};
use crate::harness::identifiers::{accounts, people};
use crate::harness::{ENGINES, Service};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ASKING: usize = 8;

/// Relationships that are changed to another key: 1,000,000 in `tests/long.sh`.
fn records() -> usize {
    let asked = std::env::var("REKEY_RELATIONSHIPS").ok();
    asked.map_or(3_000, |number| number.parse().unwrap())
}

async fn kill_half_way(service: &mut Service) {
    let half =
        |now: &serde_json::Value| now["state"] == "loading" || now["entries"]["done"].as_u64() > Some(0);
    let started = Instant::now();
    while !progress(service).await.as_ref().is_some_and(half) {
        assert!(started.elapsed() < Duration::from_secs(60));
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    tokio::time::sleep(Duration::from_millis(records() as u64 / 200)).await;
    service.kill();
    service.start_again();
    service.wait_until_alive().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_register_changes_its_key_under_full_load() {
    for engine in ENGINES {
        let mut service = start(engine).await;
        let all = relationships(records());
        // In several deliveries, so that there is something to go on from.
        for bank in [BLABAERLIA, super::GRANSKAUEN] {
            let put = service.put_set(bank, "KAR", all.clone()).await;
            assert_eq!(put.status(), 200);
        }
        let customers: Vec<String> = people().take(records().min(PEOPLE)).step_by(97).collect();
        let their_accounts: Vec<String> = accounts().take(records()).step_by(records() / 50 + 1).collect();
        let questions = Questions::about(&service, &customers, &their_accounts).await;
        let stop = Arc::new(AtomicBool::new(false));
        let asking: Vec<_> = (0..ASKING)
            .map(|from| questions.ask_on(from * 17, &stop))
            .collect();
        let calls = Calls::start(&service, people().skip(PEOPLE + 10));
        let began = Instant::now();
        make_key(&next_key_file(&service));
        let next = fingerprint(&next_key_file(&service));
        kill_half_way(&mut service).await;
        wait_until_done(&service, &next).await;
        let seconds = began.elapsed().as_secs_f64();
        let (acknowledged, longest_call) = calls.stop().await;
        stop.store(true, Ordering::Relaxed);
        let mut told = Figures::default();
        for task in asking {
            told.add(task.await.unwrap());
        }
        let paused = service.metrics().await;
        let paused = paused
            .lines()
            .find_map(|line| line.strip_prefix("kundeforhold_rekey_pause_seconds "))
            .unwrap_or("?")
            .to_owned();
        println!(
            "{engine:?}: {} relationships in {seconds:.1} s, killed half-way and resumed; {} lookups right, {} wrong, {} refused, \
             {} while it was down; longest lookup {:?}; {} calls acknowledged, longest {longest_call:?}; deliveries paused {paused} s",
            2 * records(),
            told.right,
            told.wrong.len(),
            told.refused,
            told.unreachable,
            told.longest,
            acknowledged.len(),
        );
        assert!(told.wrong.is_empty(), "{:?}", told.wrong);
        assert!(told.right > 500, "{told:?}");
        assert!(questions.all_are_right().await);
        for customer in acknowledged.iter().step_by(acknowledged.len() / 50 + 1) {
            assert!(crate::resilience::is_listed(&service, customer).await);
        }
    }
}
