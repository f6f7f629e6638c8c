//! Published heads agree with the record, and find what the record alone cannot tell.

use super::load::{Ledger, audit, management_head, verify};
use crate::harness::{Caching, Service};
use serde_json::Value;
use std::time::Duration;

fn logged_heads(service: &Service) -> Vec<Value> {
    let log = service.log();
    let lines = log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok());
    lines
        .filter(|line| line["message"] == "head of the record of use")
        .collect()
}

async fn ask_some(service: &Service, answers: usize) {
    let ledger = Ledger::default();
    let enough = async {
        while ledger.count(200) < answers {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        ledger.stop();
    };
    tokio::join!(enough, ledger.keep_asking(service));
}

#[tokio::test]
async fn heads_on_metrics_log_and_management_agree_with_the_record() {
    let configuration = "[record]\nhead_every_seconds = 1\n";
    let mut service = Service::start_with(Caching::Without, configuration).await;
    ask_some(&service, 200).await;
    let head = management_head(&service).await;
    let (sequence, hash) = (head["sequence"].as_u64().unwrap(), head["hash"].as_str().unwrap());
    assert!(sequence >= 200);
    let metrics = service.metrics().await;
    assert!(
        metrics.contains(&format!("\nkundeforhold_record_head {sequence}\n")),
        "{metrics}"
    );
    // It is for the log and the management port; in a label, every hash there ever was would be kept.
    assert!(!metrics.contains(hash), "{metrics}");

    // One at the start, one a second.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(logged_heads(&service).len() >= 2);
    assert!(service.terminate().success());
    let last = logged_heads(&service).pop().unwrap();
    assert_eq!(last["hash"], head["hash"], "the last head is logged at shutdown");

    let log = service.directory.path().join("log.jsonl");
    let proof = verify(
        &service,
        &[
            "--heads",
            log.to_str().unwrap(),
            "--head",
            &format!("{sequence}:{hash}"),
        ],
    );
    assert_eq!(
        (&proof["chains"][0]["sequence"], &proof["chains"][0]["hash"]),
        (&head["sequence"], &head["hash"])
    );
    assert!(
        proof["heads"]
            .as_array()
            .unwrap()
            .iter()
            .all(|head| head["standing"] == "found")
    );
}

#[tokio::test]
async fn a_cut_tail_is_found_by_a_published_head_only() {
    let mut service = Service::start(Caching::Without).await;
    ask_some(&service, 50).await;
    assert!(service.terminate().success());
    let log = service.directory.path().join("log.jsonl");
    for cut in [
        "DELETE FROM heads WHERE number > 1",
        "DELETE FROM entries WHERE place > (SELECT max(place) - 10 FROM entries)",
    ] {
        assert!(service.change_record(cut).await > 0);
    }
    verify(&service, &[]);
    let (proved, told) = audit(&service, &["verify", "--heads", log.to_str().unwrap()], "");
    assert!(
        !proved && told.contains("was published") && told.contains("cut off"),
        "{told}"
    );
}

#[tokio::test]
async fn verify_names_the_first_bad_entry() {
    let mut service = Service::start(Caching::Without).await;
    ask_some(&service, 50).await;
    assert!(service.terminate().success());
    let damage = "UPDATE entries SET entry = hash WHERE place = (SELECT min(place) + 20 FROM entries)";
    assert_eq!(service.change_record(damage).await, 1);
    let (proved, told) = audit(&service, &["verify"], "");
    assert!(!proved && told.contains("entry 21 of instance "), "{told}");
    let (_, told) = audit(&service, &["verify", "--json"], "");
    let outcome: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    assert_eq!(outcome["chains"][0]["fault"]["sequence"], 21);
    assert_eq!(outcome["proved"], false);
}
