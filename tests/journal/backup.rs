//! A journal in one file, and back.

use crate::bench::{
    Follower, PSEUDONYMS, deregister, head_key, kar, kfr, new_journal, open, pseudonyms, publish,
    publish_whole, put, register, relationship,
};
use kundeforhold::chain::HeadKey;
use kundeforhold::domain::relationship::Role;
use kundeforhold::journal::{BackedUp, BackupError, Journal, Kind, SetChange, back_up, restore};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

fn owners(count: u64, from: u64) -> Vec<SetChange> {
    (0..count)
        .map(|n| put(n, 1, relationship(Role::Owner, from, None)))
        .collect()
}

fn backed_up(directory: &Path) -> Result<(Vec<u8>, BackedUp), BackupError> {
    let mut bytes = Vec::new();
    let outcome = back_up(
        directory,
        &head_key(),
        PSEUDONYMS.fingerprint(),
        &mut bytes,
        &mut |_, _| {},
    )?;
    Ok((bytes, outcome))
}

fn restored(bytes: &[u8], directory: &Path) -> Result<BackedUp, BackupError> {
    restore(
        bytes,
        directory,
        &head_key(),
        PSEUDONYMS.fingerprint(),
        &mut |_, _| {},
    )
}

/// Nothing at the place, and nothing beside it.
fn assert_nothing_left(around: &Path) {
    let left: Vec<_> = fs::read_dir(around)
        .unwrap()
        .map(|item| item.unwrap().path())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

async fn with_deliveries() -> (TempDir, Journal) {
    let (directory, journal) = new_journal().await;
    publish_whole(&journal, kar(0), &owners(3_000, 1)).await;
    publish(
        &journal,
        kfr(0),
        Kind::Calls,
        &[register(1, 0, 3), register(2, 3, 3)],
    )
    .await;
    publish_whole(&journal, kar(1), &owners(2_000, 2)).await;
    publish(&journal, kfr(0), Kind::Calls, &[deregister(1, 4, 5)]).await;
    (directory, journal)
}

#[tokio::test]
async fn a_restored_journal_makes_the_same_index() {
    let (directory, journal) = with_deliveries().await;
    let expected = Follower::built_from(&journal).await.rows().await;
    // While it is open, as the service has it.
    let (bytes, outcome) = backed_up(directory.path()).unwrap();
    assert_eq!((outcome.entries, outcome.bodies), (5, 2));
    let elsewhere = tempfile::tempdir().unwrap();
    let place = elsewhere.path().join("new/journal");
    assert_eq!(restored(&bytes, &place).unwrap(), outcome);
    let copy = open(&place).await.unwrap();
    assert_eq!(copy.register_id(), journal.register_id());
    assert_eq!(Follower::built_from(&copy).await.rows().await, expected);
    assert_eq!(
        publish(&copy, kfr(0), Kind::Calls, &[])
            .await
            .publication()
            .position,
        3
    );
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&place), 0o700);
    for folder in [place.clone(), place.join("bodies")] {
        let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
        for file in files.filter(|path| path.is_file()) {
            assert_eq!(mode(&file), 0o600, "{}", file.display());
        }
    }
}

#[tokio::test]
async fn a_backup_of_many_segments_is_restored_byte_for_byte() {
    let (directory, journal) = new_journal().await;
    // About 50 KB an entry, so that there are two segments.
    let calls: Vec<_> = (0..1_600).map(|n| register(n, 0, 3)).collect();
    for _ in 0..1_600 {
        publish(&journal, kfr(0), Kind::Calls, &calls).await;
    }
    let (bytes, outcome) = backed_up(directory.path()).unwrap();
    assert_eq!(outcome.entries, 1_601);
    journal.close().await;
    drop(journal);
    let elsewhere = tempfile::tempdir().unwrap();
    let place = elsewhere.path().join("journal");
    restored(&bytes, &place).unwrap();
    let segments = |directory: &Path| {
        let files = fs::read_dir(directory).unwrap().map(|file| file.unwrap().path());
        let mut files: Vec<_> = files
            .filter(|path| path.extension().is_some_and(|e| e == "seg"))
            .collect();
        files.sort();
        files
    };
    let (here, there) = (segments(directory.path()), segments(&place));
    assert!(
        here.len() >= 2 && here.len() == there.len(),
        "{} {}",
        here.len(),
        there.len()
    );
    for (here, there) in here.iter().zip(&there) {
        assert!(
            fs::read(here).unwrap() == fs::read(there).unwrap(),
            "{}",
            here.display()
        );
    }
    assert_eq!(open(&place).await.unwrap().position(kfr(0)), 1_600);
}

#[tokio::test]
async fn a_backup_that_was_changed_or_cut_anywhere_is_refused_and_leaves_nothing() {
    let (directory, _journal) = with_deliveries().await;
    let (intact, _) = backed_up(directory.path()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let place = elsewhere.path().join("journal");
    for at in (0..intact.len())
        .step_by(1_009)
        .chain([8, 9, 20, intact.len() - 1])
    {
        let mut damaged = intact.clone();
        damaged[at] ^= 0x10;
        assert!(restored(&damaged, &place).is_err(), "byte {at}");
        assert_nothing_left(elsewhere.path());
    }
    for length in (0..intact.len()).step_by(4_999).chain([8, 9, intact.len() - 1]) {
        assert!(restored(&intact[..length], &place).is_err(), "{length} bytes");
        assert_nothing_left(elsewhere.path());
    }
    let longer = [&intact[..], b"x"].concat();
    assert!(restored(&longer, &place).is_err());
    assert_nothing_left(elsewhere.path());
    restored(&intact, &place).unwrap();
}

#[tokio::test]
async fn a_cut_backup_and_another_version_are_told_apart() {
    let (directory, _journal) = with_deliveries().await;
    let (intact, _) = backed_up(directory.path()).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let place = elsewhere.path().join("journal");
    let refused = |bytes: &[u8]| restored(bytes, &place).unwrap_err();
    assert!(matches!(refused(&intact[..intact.len() / 2]), BackupError::Cut));
    assert!(matches!(refused(b"{\"customerID\":1}"), BackupError::NotABackup));
    assert!(matches!(refused(b""), BackupError::NotABackup));
    let mut later = intact.clone();
    later[8] = 2;
    assert!(matches!(refused(&later), BackupError::UnknownVersion(2)));
    let other_head = HeadKey::new([8; 32]);
    let other = restore(
        &intact[..],
        &place,
        &other_head,
        PSEUDONYMS.fingerprint(),
        &mut |_, _| {},
    );
    assert!(matches!(other, Err(BackupError::OtherKey)), "{other:?}");
    let other_key = pseudonyms(6).fingerprint();
    assert!(restore(&intact[..], &place, &head_key(), other_key, &mut |_, _| {}).is_err());
    assert_nothing_left(elsewhere.path());
}

#[tokio::test]
async fn nothing_is_restored_over_what_is_there() {
    let (directory, _journal) = with_deliveries().await;
    let (intact, _) = backed_up(directory.path()).unwrap();
    assert!(matches!(
        restored(&intact, directory.path()),
        Err(BackupError::NotEmpty(_))
    ));
    let elsewhere = tempfile::tempdir().unwrap();
    let place = elsewhere.path().join("journal");
    fs::create_dir(&place).unwrap();
    restored(&intact, &place).unwrap();
    assert!(matches!(restored(&intact, &place), Err(BackupError::NotEmpty(_))));
}

#[tokio::test]
async fn a_damaged_journal_is_not_backed_up() {
    let (directory, journal) = with_deliveries().await;
    drop(journal);
    let body = fs::read_dir(directory.path().join("bodies"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let intact = fs::read(&body).unwrap();
    let mut damaged = intact.clone();
    damaged[1_000] ^= 1;
    fs::write(&body, &damaged).unwrap();
    assert!(matches!(
        backed_up(directory.path()),
        Err(BackupError::BodyChanged(_))
    ));
    fs::remove_file(&body).unwrap();
    assert!(matches!(
        backed_up(directory.path()),
        Err(BackupError::BodyMissing(_))
    ));
    fs::write(&body, &intact).unwrap();
    backed_up(directory.path()).unwrap();
    let segment = directory.path().join("00000000000000000001.seg");
    let mut bytes = fs::read(&segment).unwrap();
    bytes[300] ^= 1;
    fs::write(&segment, bytes).unwrap();
    assert!(backed_up(directory.path()).is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_while_deliveries_come_in_holds_all_that_came_before_it() {
    let (directory, journal) = with_deliveries().await;
    let (journal, end) = (Arc::new(journal), Arc::new(AtomicBool::new(false)));
    let delivering = tokio::spawn({
        let (journal, end) = (Arc::clone(&journal), Arc::clone(&end));
        async move {
            let mut round = 0;
            while !end.load(Ordering::Relaxed) {
                round += 1;
                publish_whole(&journal, kar(2), &owners(1_500, round % 90)).await;
                publish(&journal, kfr(2), Kind::Calls, &[register(round, 0, 3)]).await;
            }
            round
        }
    });
    for _ in 0..10 {
        let before = [kar(2), kfr(2)].map(|set| journal.position(set));
        let path = directory.path().to_owned();
        let (bytes, _) = tokio::task::spawn_blocking(move || backed_up(&path))
            .await
            .unwrap()
            .unwrap();
        let elsewhere = tempfile::tempdir().unwrap();
        let place = elsewhere.path().join("journal");
        restored(&bytes, &place).unwrap();
        let copy = open(&place).await.unwrap();
        let held = [kar(2), kfr(2)].map(|set| copy.position(set));
        assert!(
            held[0] >= before[0] && held[1] >= before[1],
            "{held:?} {before:?}"
        );
        Follower::built_from(&copy).await;
    }
    end.store(true, Ordering::Relaxed);
    assert!(delivering.await.unwrap() > 3);
}

/// `BACKUP_RELATIONSHIPS=1000000 cargo test --release --test journal backup -- --nocapture` prints how long it takes.
#[tokio::test]
async fn a_large_journal_is_restored_in_time() {
    let count = std::env::var("BACKUP_RELATIONSHIPS").map_or(10_000, |count| count.parse().unwrap());
    let (directory, journal) = new_journal().await;
    publish_whole(&journal, kar(0), &owners(count, 1)).await;
    let started = Instant::now();
    let (bytes, outcome) = backed_up(directory.path()).unwrap();
    let backed_up_in = started.elapsed();
    let elsewhere = tempfile::tempdir().unwrap();
    let started = Instant::now();
    restored(&bytes, &elsewhere.path().join("journal")).unwrap();
    let restored_in = started.elapsed();
    println!(
        "{count} relationships, {:.1} MB in a backup of {:.1} MB: backed up in {:.2} s, restored in {:.2} s",
        outcome.bytes as f64 / 1e6,
        bytes.len() as f64 / 1e6,
        backed_up_in.as_secs_f64(),
        restored_in.as_secs_f64()
    );
    assert!(restored_in < Duration::from_secs(20));
}

/// What the contents and their MAC take.
const CONTENTS_BYTES: usize = 64 + 32;
/// What comes before the compressed part.
const START_BYTES: usize = 9;

fn unpacked(backup: &[u8]) -> Vec<u8> {
    zstd::decode_all(&backup[START_BYTES..]).unwrap()
}

fn packed(inside: &[u8]) -> Vec<u8> {
    [b"KFBACKUP\x01".to_vec(), zstd::encode_all(inside, 1).unwrap()].concat()
}

/// Whoever can change a backup can make its checksums right again.
#[tokio::test]
async fn a_backup_that_was_changed_and_packed_anew_is_refused() {
    let (directory, journal) = with_deliveries().await;
    let earlier = unpacked(&backed_up(directory.path()).unwrap().0);
    publish(&journal, kfr(0), Kind::Calls, &[register(7, 4, 5)]).await;
    let later = unpacked(&backed_up(directory.path()).unwrap().0);
    let elsewhere = tempfile::tempdir().unwrap();
    let place = elsewhere.path().join("journal");
    restored(&packed(&later), &place).unwrap();
    fs::remove_dir_all(&place).unwrap();
    let without_the_last = [&later[..CONTENTS_BYTES], &earlier[CONTENTS_BYTES..]].concat();
    let refused = restored(&packed(&without_the_last), &place);
    assert!(matches!(refused, Err(BackupError::Damaged(_))), "{refused:?}");
    for at in (0..later.len())
        .step_by(977)
        .chain([40, 60, 70, CONTENTS_BYTES + 3, later.len() - 1])
    {
        let mut changed = later.clone();
        changed[at] ^= 1;
        assert!(restored(&packed(&changed), &place).is_err(), "byte {at}");
        assert_nothing_left(elsewhere.path());
    }
    let longer = [&later[..], b"x"].concat();
    assert!(matches!(
        restored(&packed(&longer), &place),
        Err(BackupError::Damaged(_))
    ));
}
