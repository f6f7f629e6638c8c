//! Pruning removes what is old, and what is left stays provable.

use crate::table::{clock_now, fault, head, in_file, open, place, record, ring, row, search, tamper, verify};
use chrono::{NaiveDate, TimeDelta, Utc};
use kundeforhold::record::{self, HeadStanding, KeptHead, Query, Removal, Way};
use rusqlite::params;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

fn days_ago(days: i64) -> NaiveDate {
    kundeforhold::domain::calendar::oslo_day(Utc::now() - TimeDelta::days(days))
}

/// 300 entries 100 days old, 300 that are 50 days old, 300 of today.
async fn written() -> (TempDir, PathBuf, Vec<KeptHead>) {
    let (folder, path) = place();
    let recorder = open(&path, ring(1, &[]));
    let mut heads = Vec::new();
    for (start, days) in [(0, 100), (300, 50), (600, 0)] {
        record(&recorder, start..start + 300, days).await;
        heads.push(head(&recorder));
    }
    recorder.close().await;
    (folder, path, heads)
}

fn prune(path: &Path, days: i64) -> Option<Removal> {
    let removed = record::prune(&in_file(path), &ring(1, &[]), days_ago(days), &clock_now()).unwrap();
    assert!(removed.len() <= 1);
    removed.first().map(|(_, removal)| *removal)
}

fn rows(path: &Path) -> i64 {
    tamper(path)
        .query_row("SELECT count(*) FROM entries", [], |row| row.get(0))
        .unwrap()
}

#[tokio::test]
async fn what_is_left_after_pruning_is_proved_and_what_went_is_told() {
    let (_folder, path, heads) = written().await;
    assert_eq!(prune(&path, 101), None);
    let removal = prune(&path, 60).unwrap();
    assert_eq!((removal.first, removal.last, rows(&path)), (1, 300, 600));
    assert_eq!(prune(&path, 60), None, "again changes nothing");

    let verification = verify(&path, &ring(1, &[]), &heads);
    assert!(verification.holds(), "{:?}", verification.first_fault());
    assert_eq!(verification.proofs[0].removals, [removal]);
    assert_eq!(verification.proofs[0].entries, 600);
    let young = prune(&path, 10).unwrap();
    assert_eq!((young.first, young.last), (301, 600));
    let verification = verify(&path, &ring(1, &[]), &heads);
    assert_eq!(verification.proofs[0].removals, [removal, young]);
    let standings: Vec<_> = verification.heads.iter().map(|(_, standing)| *standing).collect();
    assert_eq!(standings[0], HeadStanding::Pruned);
    assert_eq!(standings[2], HeadStanding::Found);
    let (left, _) = search(&path, &ring(1, &[]), &Query::default(), Way::Index);
    assert_eq!(left.len(), 300);
    let today = Utc::now() - TimeDelta::days(1);
    assert!(left.iter().all(|record| record.time > today));
}

#[tokio::test]
async fn a_pruned_record_is_written_on_and_pruned_while_it_is_written() {
    let (_folder, path, heads) = written().await;
    let recorder = open(&path, ring(1, &[]));
    let first = prune(&path, 60).unwrap();
    record(&recorder, 900..1200, 0).await;
    let second = prune(&path, 10).unwrap();
    record(&recorder, 1200..1300, 0).await;
    let last = head(&recorder);
    recorder.close().await;
    let recorder = open(&path, ring(2, &[1]));
    record(&recorder, 1300..1400, 0).await;
    recorder.close().await;
    let verification = verify(&path, &ring(2, &[1]), &[heads[2].clone(), last]);
    assert!(verification.holds(), "{:?}", verification.first_fault());
    assert_eq!(verification.proofs[0].removals, [first, second]);
    assert_eq!(verification.proofs[0].head.sequence, 1400);
}

/// The process that writes goes on behind what it wrote last, and so does the next one, whose list of heads knows it.
#[tokio::test]
async fn a_record_may_be_pruned_to_its_last_entry() {
    let (_folder, path) = place();
    let recorder = open(&path, ring(1, &[]));
    record(&recorder, 0..100, 5000).await;
    assert_eq!(prune(&path, 1).map(|removal| removal.last), Some(100));
    assert_eq!(rows(&path), 0);
    record(&recorder, 100..110, 5000).await;
    recorder.close().await;
    assert_eq!(prune(&path, 1).map(|removal| removal.last), Some(110));
    let recorder = open(&path, ring(1, &[]));
    assert_eq!(recorder.head().sequence, 110);
    record(&recorder, 110..120, 0).await;
    let last = head(&recorder);
    recorder.close().await;
    let verification = verify(&path, &ring(1, &[]), &[last]);
    assert!(verification.holds(), "{:?}", verification.first_fault());
    assert_eq!(verification.proofs[0].entries, 10);
}

#[tokio::test]
async fn entries_that_go_without_a_row_in_the_list_of_heads_are_missed() {
    let (_folder, path, heads) = written().await;
    prune(&path, 60).unwrap();
    let gone = "DELETE FROM entries WHERE place <= ?1";
    tamper(&path).execute(gone, [row(1, 450)]).unwrap();
    assert!(fault(&path, &ring(1, &[]), &heads).contains("entry 301 of instance"));
}

#[tokio::test]
async fn a_forged_or_foreign_row_of_what_was_pruned_is_found() {
    let (_folder, path, heads) = written().await;
    let (_other_folder, other, _) = written().await;
    prune(&path, 60).unwrap();
    prune(&other, 60).unwrap();
    let (sequence, hash, mac): (i64, Vec<u8>, Vec<u8>) = tamper(&other)
        .query_row(
            "SELECT sequence, hash, mac FROM heads WHERE event = 2",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .unwrap();
    let table = tamper(&path);
    let forge = |set: &str| {
        let sql = format!("UPDATE heads SET {set} WHERE event = 2");
        assert_eq!(table.execute(&sql, []).unwrap(), 1);
        assert!(
            fault(&path, &ring(1, &[]), &heads).contains("list of heads"),
            "{set}"
        );
    };
    forge("sequence = sequence + 1");
    forge("sequence = sequence - 1, at = at + 1");
    table
        .execute(
            "UPDATE heads SET sequence = ?1, hash = ?2, mac = ?3 WHERE event = 2",
            params![sequence, hash, mac],
        )
        .unwrap();
    assert!(fault(&path, &ring(1, &[]), &heads).contains("list of heads"));
}

#[tokio::test]
async fn an_interrupted_pruning_is_completed_by_the_next() {
    let (folder, path, heads) = written().await;
    let whole = folder.path().join("whole.sqlite");
    std::fs::copy(&path, &whole).unwrap();
    prune(&path, 60).unwrap();
    let table = tamper(&path);
    table
        .execute("ATTACH ?1 AS whole", [whole.to_str().unwrap()])
        .unwrap();
    table
        .execute(
            "INSERT INTO entries SELECT * FROM whole.entries WHERE place <= ?1",
            [row(1, 120)],
        )
        .unwrap();
    drop(table);
    assert!(verify(&path, &ring(1, &[]), &heads).holds());
    open(&path, ring(1, &[])).close().await;
    assert_eq!(prune(&path, 60), None);
    assert_eq!(rows(&path), 600);
}

#[tokio::test]
async fn a_damaged_record_is_not_pruned() {
    let (_folder, path, _) = written().await;
    let damage = "UPDATE entries SET entry = x'0102' WHERE place = ?1";
    tamper(&path).execute(damage, [row(1, 200)]).unwrap();
    assert!(record::prune(&in_file(&path), &ring(1, &[]), days_ago(10), &clock_now()).is_err());
    assert_eq!(rows(&path), 900);
}
