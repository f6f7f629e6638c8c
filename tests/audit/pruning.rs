//! Pruning removes whole old segments, and what is left stays provable.

use crate::log::{fault, head, open, record, ring, search, segments, verify};
use chrono::{Duration, NaiveDate, Utc};
use kundeforhold::audit::{self, HeadStanding, KeptHead, Query, Removal};
use std::path::Path;
use tempfile::TempDir;

const SEGMENT_BYTES: u64 = 20_000;

fn days_ago(days: i64) -> NaiveDate {
    kundeforhold::domain::calendar::oslo_day(Utc::now() - Duration::days(days))
}

/// 300 entries 100 days old, 300 that are 50 days old, 300 of today.
async fn written() -> (TempDir, Vec<KeptHead>) {
    let folder = tempfile::tempdir().unwrap();
    let recorder = open(folder.path(), ring(1, &[]), SEGMENT_BYTES);
    let mut heads = Vec::new();
    for (start, days) in [(0, 100), (300, 50), (600, 0)] {
        for part in 0..10 {
            record(&recorder, start + part * 30..start + (part + 1) * 30, days).await;
        }
        heads.push(head(&recorder));
    }
    recorder.close().await;
    (folder, heads)
}

fn prune(folder: &Path, days: i64) -> Option<Removal> {
    audit::prune(folder, &ring(1, &[]), days_ago(days), Utc::now()).unwrap()
}

#[tokio::test]
async fn what_is_left_after_pruning_is_proved_and_what_went_is_told() {
    let (folder, heads) = written().await;
    assert_eq!(prune(folder.path(), 101), None);
    let all = segments(folder.path()).len();
    let removal = prune(folder.path(), 60).unwrap();
    assert!(
        removal.first == 1 && (200..=300).contains(&removal.last),
        "{removal:?}"
    );
    assert!(segments(folder.path()).len() < all);
    assert_eq!(prune(folder.path(), 60), None, "again changes nothing");

    let verification = verify(folder.path(), &ring(1, &[]), &heads);
    assert!(verification.holds(), "{:?}", verification.first_fault());
    assert_eq!(verification.proofs[0].removals, [removal]);
    assert_eq!(verification.proofs[0].entries, 900 - removal.last);
    let young = prune(folder.path(), 10).unwrap();
    assert_eq!(young.first, removal.last + 1);
    let verification = verify(folder.path(), &ring(1, &[]), &heads);
    assert_eq!(verification.proofs[0].removals, [removal, young]);
    let standings: Vec<_> = verification.heads.iter().map(|(_, standing)| *standing).collect();
    assert_eq!(standings[0], HeadStanding::Pruned);
    assert_eq!(standings[2], HeadStanding::Found);
    let left = search(&[folder.path().to_owned()], &ring(1, &[]), &Query::default());
    assert_eq!(left.len() as u64, 900 - young.last);
    assert!(
        left.iter()
            .skip(60)
            .all(|record| record.time > Utc::now() - Duration::days(51))
    );
}

#[tokio::test]
async fn a_pruned_log_is_written_on_and_pruned_while_it_is_written() {
    let (folder, heads) = written().await;
    let recorder = open(folder.path(), ring(1, &[]), SEGMENT_BYTES);
    let first = prune(folder.path(), 60).unwrap();
    record(&recorder, 900..1200, 0).await;
    let second = prune(folder.path(), 10).unwrap();
    record(&recorder, 1200..1300, 0).await;
    let last = head(&recorder);
    recorder.close().await;
    let recorder = open(folder.path(), ring(2, &[1]), SEGMENT_BYTES);
    record(&recorder, 1300..1400, 0).await;
    recorder.close().await;
    let verification = verify(folder.path(), &ring(2, &[1]), &[heads[2].clone(), last]);
    assert!(verification.holds(), "{:?}", verification.first_fault());
    assert_eq!(verification.proofs[0].removals, [first, second]);
    assert_eq!(verification.proofs[0].head.sequence, 1400);
}

#[tokio::test]
async fn the_segment_being_written_is_never_pruned() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = open(folder.path(), ring(1, &[]), 1 << 20);
    record(&recorder, 0..100, 5000).await;
    recorder.close().await;
    assert_eq!(prune(folder.path(), 1), None);
    assert_eq!(segments(folder.path()).len(), 1);
}

#[tokio::test]
async fn a_forged_missing_or_foreign_stub_is_found() {
    let (folder, heads) = written().await;
    let (other, _) = written().await;
    prune(folder.path(), 60).unwrap();
    prune(other.path(), 60).unwrap();
    let (stub, keys) = (folder.path().join("pruned"), ring(1, &[]));
    let genuine = std::fs::read(&stub).unwrap();
    for at in 0..genuine.len() {
        let mut forged = genuine.clone();
        forged[at] ^= 1;
        std::fs::write(&stub, forged).unwrap();
        assert!(fault(folder.path(), &keys, &heads).contains("stub"), "byte {at}");
    }
    for wrong in [
        Vec::new(),
        genuine[..genuine.len() - 1].to_vec(),
        [&genuine[..], &[0]].concat(),
    ] {
        std::fs::write(&stub, wrong).unwrap();
        assert!(fault(folder.path(), &keys, &heads).contains("stub"));
    }
    std::fs::remove_file(&stub).unwrap();
    assert!(fault(folder.path(), &keys, &heads).contains("missing"));
    std::fs::copy(other.path().join("pruned"), &stub).unwrap();
    assert!(
        !verify(folder.path(), &keys, &heads).holds(),
        "the stub of another log"
    );
    std::fs::write(&stub, &genuine).unwrap();
    assert!(verify(folder.path(), &keys, &heads).holds());
}

#[tokio::test]
async fn segments_that_go_without_a_stub_of_their_own_are_missed() {
    let (folder, heads) = written().await;
    prune(folder.path(), 60).unwrap();
    let (stub, keys) = (folder.path().join("pruned"), ring(1, &[]));
    let older = std::fs::read(&stub).unwrap();
    prune(folder.path(), 10).unwrap();
    let newer = std::fs::read(&stub).unwrap();
    std::fs::write(&stub, older).unwrap();
    assert!(
        fault(folder.path(), &keys, &heads).contains("missing"),
        "an older stub of the same log"
    );
    std::fs::write(&stub, newer).unwrap();
    std::fs::remove_file(segments(folder.path()).remove(0)).unwrap();
    assert!(fault(folder.path(), &keys, &heads).contains("missing"));
}

#[tokio::test]
async fn an_interrupted_pruning_is_completed_by_the_next() {
    let (folder, heads) = written().await;
    let first = segments(folder.path()).remove(0);
    let content = std::fs::read(&first).unwrap();
    prune(folder.path(), 60).unwrap();
    std::fs::write(&first, content).unwrap();
    assert!(verify(folder.path(), &ring(1, &[]), &heads).holds());
    let recorder = open(folder.path(), ring(1, &[]), SEGMENT_BYTES);
    recorder.close().await;
    assert_eq!(prune(folder.path(), 60), None);
    assert!(!first.exists());
}

#[tokio::test]
async fn a_damaged_log_is_not_pruned() {
    let (folder, _) = written().await;
    let path = segments(folder.path()).remove(1);
    let mut segment = std::fs::read(&path).unwrap();
    segment[500] ^= 1;
    std::fs::write(&path, segment).unwrap();
    let count = segments(folder.path()).len();
    assert!(audit::prune(folder.path(), &ring(1, &[]), days_ago(10), Utc::now()).is_err());
    assert_eq!(segments(folder.path()).len(), count);
}
