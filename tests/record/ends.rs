//! What a record must be like for a process to go on with it.

use crate::table::{head, open, place, record, ring, row, tamper, try_open, verify};
use kundeforhold::record::ChainChoice;
use std::path::Path;

fn refusal(path: &Path) -> String {
    let refused = try_open(path, ring(1, &[]), ChainChoice::GoOn).err();
    refused.expect("it is not refused").to_string()
}

#[tokio::test]
async fn a_chain_is_gone_on_with_and_its_head_is_listed_when_it_is_closed() {
    let (_folder, path) = place();
    let mut heads = Vec::new();
    for part in 0..3 {
        let recorder = open(&path, ring(1, &[]));
        record(&recorder, part * 10..part * 10 + 10, 0).await;
        heads.push(head(&recorder));
        recorder.close().await;
    }
    assert_eq!(heads[0].instance, heads[2].instance);
    let verification = verify(&path, &ring(1, &[]), &heads);
    assert!(verification.holds(), "{:?}", verification.first_fault());
    assert_eq!(verification.proofs[0].entries, 30);
    let listed: i64 = tamper(&path)
        .query_row("SELECT count(*) FROM heads", [], |row| row.get(0))
        .unwrap();
    assert_eq!(listed, 4, "its birth, and three ends");
    // Without an entry there is nothing new to list.
    open(&path, ring(1, &[])).close().await;
    assert!(verify(&path, &ring(1, &[]), &heads).holds());
}

#[tokio::test]
async fn one_process_writes_a_record() {
    let (_folder, path) = place();
    let recorder = open(&path, ring(1, &[]));
    assert!(refusal(&path).contains("in use by another process"));
    recorder.close().await;
}

#[tokio::test]
async fn a_record_whose_end_is_not_what_was_written_is_not_gone_on_with() {
    for (change, expected) in [
        ("DELETE FROM entries WHERE place = ?1", "it is missing"),
        (
            "UPDATE entries SET hash = zeroblob(32) WHERE place = ?1",
            "it is not the one in the list of heads",
        ),
        (
            "UPDATE entries SET place = place + (1 << 40) WHERE place = ?1",
            "not in the list of heads",
        ),
        (
            "DELETE FROM heads WHERE number = 1 AND ?1 > 0",
            "head 1 of the list of heads is missing or damaged",
        ),
    ] {
        let (_folder, path) = place();
        let recorder = open(&path, ring(1, &[]));
        record(&recorder, 0..10, 0).await;
        recorder.close().await;
        assert_eq!(tamper(&path).execute(change, [row(1, 10)]).unwrap(), 1);
        let told = refusal(&path);
        assert!(told.contains(expected), "{change}: {told}");
    }
}

/// Entries behind the last head in the list, which only a crash leaves.
#[tokio::test]
async fn entries_behind_the_last_listed_head_are_proved_before_they_are_gone_on_with() {
    let (folder, path) = place();
    let recorder = open(&path, ring(1, &[]));
    record(&recorder, 0..10, 0).await;
    let copy = folder.path().join("copy.sqlite");
    tamper(&path)
        .execute("VACUUM INTO ?1", [copy.to_str().unwrap()])
        .unwrap();
    recorder.close().await;
    let gone_on = open(&copy, ring(1, &[]));
    assert_eq!(gone_on.head().sequence, 10);
    record(&gone_on, 10..20, 0).await;
    gone_on.close().await;
    let verification = verify(&copy, &ring(1, &[]), &[]);
    assert!(verification.holds(), "{:?}", verification.first_fault());

    std::fs::remove_file(&copy).unwrap();
    tamper(&path)
        .execute("DELETE FROM heads WHERE number > 1", [])
        .unwrap();
    tamper(&path)
        .execute("UPDATE entries SET entry = x'01' WHERE place = ?1", [row(1, 7)])
        .unwrap();
    assert!(refusal(&path).contains("entry 7 of instance"));
}

#[tokio::test]
async fn a_newer_record_is_refused() {
    let (_folder, path) = place();
    open(&path, ring(1, &[])).close().await;
    tamper(&path)
        .execute("INSERT INTO schema_versions VALUES (99, 99, 0)", [])
        .unwrap();
    assert!(refusal(&path).contains("schema 99"));
    assert!(!verify(&path, &ring(1, &[]), &[]).holds());
}
