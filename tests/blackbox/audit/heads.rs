//! Published heads agree with the log, and find what the log alone cannot tell.

use super::load::{Ledger, audit, audit_folder, management_head, verify};
use crate::harness::{Caching, Service};
use serde_json::Value;
use std::path::PathBuf;
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

fn last_segment(service: &Service) -> PathBuf {
    let files = std::fs::read_dir(audit_folder(service))
        .unwrap()
        .map(|file| file.unwrap().path());
    files
        .filter(|path| path.extension().is_some_and(|it| it == "seg"))
        .max()
        .unwrap()
}

#[tokio::test]
async fn heads_on_metrics_log_and_management_agree_with_the_record() {
    let configuration = "[audit]\nsegment_bytes = 20000\nhead_every_seconds = 1\n";
    let mut service = Service::start_with(Caching::Without, configuration).await;
    ask_some(&service, 200).await;
    let head = management_head(&service).await;
    let (sequence, hash) = (head["sequence"].as_u64().unwrap(), head["hash"].as_str().unwrap());
    assert!(sequence >= 200);
    let metrics = service.metrics().await;
    assert!(
        metrics.contains(&format!("\nkundeforhold_audit_head {sequence}\n")),
        "{metrics}"
    );
    assert!(
        metrics.contains(&format!("sequence=\"{sequence}\",hash=\"{hash}\"")),
        "{metrics}"
    );

    // One at the start, one for each segment that was closed, one a second.
    tokio::time::sleep(Duration::from_millis(1200)).await;
    assert!(logged_heads(&service).len() >= 4);
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
        (&proof["logs"][0]["sequence"], &proof["logs"][0]["hash"]),
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
    let path = last_segment(&service);
    let content = std::fs::read(&path).unwrap();
    std::fs::write(&path, &content[..content.len() * 2 / 3]).unwrap();
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
    let path = last_segment(&service);
    let mut content = std::fs::read(&path).unwrap();
    let middle = content.len() / 2;
    content[middle] ^= 1;
    std::fs::write(&path, content).unwrap();
    let (proved, told) = audit(&service, &["verify"], "");
    assert!(
        !proved && told.contains("segment 00000000000000000001, entry "),
        "{told}"
    );
    let (_, told) = audit(&service, &["verify", "--json"], "");
    let outcome: Value = serde_json::from_str(told.lines().next().unwrap()).unwrap();
    let sequence = outcome["logs"][0]["fault"]["sequence"].as_u64().unwrap();
    assert!((10..50).contains(&sequence), "{sequence}");
    assert_eq!(outcome["proved"], false);
}
