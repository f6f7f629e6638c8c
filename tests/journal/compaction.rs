//! What nothing needs any longer goes, and all else goes on without it.

use crate::bench::{
    Follower, PSEUDONYMS, head_key, kar, kfr, new_journal, open, publish, publish_whole, put, read_changes,
    register, relationship,
};
use chrono::{DateTime, TimeDelta, Utc};
use kundeforhold::domain::relationship::{Role, SetId};
use kundeforhold::journal::{
    BackupError, Freed, Journal, JournalError, Journalled, Kind, LettingGo, SetChange, back_up, restore,
};
use kundeforhold::register::replay;
use std::fs;
use std::io::Write;
use std::path::Path;

/// Enough for a file of its own.
fn owners(from: u64) -> Vec<SetChange> {
    (0..2_000)
        .map(|n| put(n, 1, relationship(Role::Owner, from, None)))
        .collect()
}

fn many_calls(from: u64) -> Vec<SetChange> {
    (0..2_500).map(|n| register(n, from, 80)).collect()
}

fn bodies(directory: &Path) -> usize {
    fs::read_dir(directory.join("bodies")).unwrap().count()
}

/// As if the rollback time of everything so far were over.
fn all_over() -> DateTime<Utc> {
    Utc::now() + TimeDelta::days(1)
}

fn nothing_over() -> DateTime<Utc> {
    Utc::now() - TimeDelta::days(7)
}

async fn let_go(journal: &Journal, set: SetId, since: DateTime<Utc>) -> Freed {
    match journal.let_go(set, since).await.unwrap() {
        LettingGo::Done(freed) => freed,
        LettingGo::BeingCopied => panic!("nobody copies"),
    }
}

fn is_gone(journal: &Journal, journalled: &Journalled) -> bool {
    let id = journalled.publication().delivery_id;
    let gone = matches!(read_changes(journal, journalled), Err(JournalError::LetGo(other)) if other == id);
    assert_eq!(gone, journal.is_let_go(id));
    assert!(gone || read_changes(journal, journalled).is_ok());
    gone
}

#[tokio::test]
async fn only_what_no_state_needs_goes_and_the_rest_makes_the_same_index() {
    let (directory, journal) = new_journal().await;
    let mut published = Vec::new();
    for from in 0..4 {
        published.push(publish_whole(&journal, kar(0), &owners(from)).await);
    }
    let other = publish_whole(&journal, kar(1), &owners(9)).await;
    assert_eq!(let_go(&journal, kar(0), nothing_over()).await, Freed::default());
    assert_eq!(bodies(directory.path()), 5);
    let expected = Follower::built_from(&journal).await.rows().await;
    let freed = let_go(&journal, kar(0), all_over()).await;
    assert_eq!(freed.bodies, 3);
    assert!(freed.bytes > 3 * 64 * 1024);
    assert_eq!(bodies(directory.path()), 2);
    assert_eq!(let_go(&journal, kar(0), all_over()).await, Freed::default());
    drop(journal);
    let journal = open(directory.path()).await.unwrap();
    let gone: Vec<bool> = published.iter().map(|at| is_gone(&journal, at)).collect();
    assert_eq!(gone, [true, true, true, false]);
    assert!(!is_gone(&journal, &other));
    assert_eq!(Follower::built_from(&journal).await.rows().await, expected);
    assert_eq!(
        publish_whole(&journal, kar(0), &owners(5))
            .await
            .publication()
            .position,
        5
    );
}

#[tokio::test]
async fn what_can_be_rolled_back_to_stays_one_whole_set_after_the_other() {
    let (_directory, journal) = new_journal().await;
    let old = [
        publish_whole(&journal, kar(0), &owners(0)).await,
        publish_whole(&journal, kar(0), &owners(1)).await,
    ];
    let calls = publish(&journal, kar(0), Kind::Changes, &owners(2)).await;
    tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    let between = Utc::now();
    let young = [
        publish_whole(&journal, kar(0), &owners(3)).await,
        publish_whole(&journal, kar(0), &owners(4)).await,
    ];
    let_go(&journal, kar(0), between).await;
    assert!(is_gone(&journal, &old[0]), "not even two rollbacks lead there");
    for needed in [&old[1], &calls, &young[0], &young[1]] {
        assert!(!is_gone(&journal, needed), "{}", needed.publication().position);
    }
    assert!(journal.has_all_of(kar(0), 4) && journal.has_all_of(kar(0), 3) && !journal.has_all_of(kar(0), 1));
    // Rolled back twice, it stands as it did.
    publish(&journal, kar(0), Kind::Rollback { to: 4 }, &[]).await;
    publish(&journal, kar(0), Kind::Rollback { to: 3 }, &[]).await;
    let follower = Follower::built_from(&journal).await;
    assert_eq!(follower.standing(kar(0), 7).await.len(), 2);
    // What was undone is needed by nothing.
    let_go(&journal, kar(0), all_over()).await;
    assert!(is_gone(&journal, &young[0]) && is_gone(&journal, &young[1]));
    assert!(!is_gone(&journal, &old[1]) && !is_gone(&journal, &calls));
    assert_eq!(
        Follower::built_from(&journal).await.rows().await,
        follower.rows().await
    );
}

#[tokio::test]
async fn calls_that_were_carried_into_a_whole_set_stay() {
    let (_directory, journal) = new_journal().await;
    let before = publish(&journal, kfr(0), Kind::Calls, &many_calls(1)).await;
    let carries_after = journal.position(kfr(0));
    let carried = publish(&journal, kfr(0), Kind::Calls, &many_calls(2)).await;
    publish(&journal, kfr(0), Kind::WholeSet { carries_after }, &[]).await;
    let after = publish(&journal, kfr(0), Kind::Calls, &many_calls(3)).await;
    let expected = Follower::built_from(&journal).await.rows().await;
    assert_eq!(let_go(&journal, kfr(0), all_over()).await.bodies, 1);
    assert!(is_gone(&journal, &before) && !is_gone(&journal, &carried) && !is_gone(&journal, &after));
    assert_eq!(Follower::built_from(&journal).await.rows().await, expected);
}

#[tokio::test]
async fn a_body_that_is_needed_and_missing_is_an_error_and_no_empty_set() {
    let (directory, journal) = new_journal().await;
    publish_whole(&journal, kar(0), &owners(0)).await;
    let needed = publish_whole(&journal, kar(0), &owners(1)).await;
    let_go(&journal, kar(0), all_over()).await;
    let path = format!("bodies/{}.body", needed.publication().delivery_id);
    fs::remove_file(directory.path().join(path)).unwrap();
    assert!(matches!(
        read_changes(&journal, &needed),
        Err(JournalError::Io(_))
    ));
    let follower = Follower::new();
    assert!(replay::catch_up(&journal, &follower.index, kar(0)).await.is_err());
    assert!(follower.index.state().sets.is_empty());
    let backup = back_up(
        directory.path(),
        &head_key(),
        PSEUDONYMS.fingerprint(),
        Vec::new(),
        &mut |_, _| {},
    );
    assert!(matches!(backup, Err(BackupError::BodyMissing(_))), "{backup:?}");
}

#[tokio::test]
async fn a_body_let_go_just_before_a_crash_goes_at_the_next_start() {
    let (directory, journal) = new_journal().await;
    let former = publish_whole(&journal, kar(0), &owners(0)).await;
    let path = directory
        .path()
        .join(format!("bodies/{}.body", former.publication().delivery_id));
    let bytes = fs::read(&path).unwrap();
    publish_whole(&journal, kar(0), &owners(1)).await;
    let_go(&journal, kar(0), all_over()).await;
    drop(journal);
    fs::write(&path, bytes).unwrap();
    let journal = open(directory.path()).await.unwrap();
    assert!(!path.exists() && is_gone(&journal, &former));
}

#[tokio::test]
async fn a_journal_without_the_bodies_it_let_go_is_backed_up_and_restored() {
    let (directory, journal) = new_journal().await;
    let former = publish_whole(&journal, kar(0), &owners(0)).await;
    publish_whole(&journal, kar(0), &owners(1)).await;
    let_go(&journal, kar(0), all_over()).await;
    let (key, mut bytes) = (PSEUDONYMS.fingerprint(), Vec::new());
    let outcome = back_up(directory.path(), &head_key(), key, &mut bytes, &mut |_, _| {}).unwrap();
    assert_eq!(outcome.bodies, 1);
    let elsewhere = tempfile::tempdir().unwrap();
    let place = elsewhere.path().join("journal");
    restore(&bytes[..], &place, &head_key(), key, &mut |_, _| {}).unwrap();
    let copy = open(&place).await.unwrap();
    assert!(is_gone(&copy, &former));
    assert_eq!(
        Follower::built_from(&copy).await.rows().await,
        Follower::built_from(&journal).await.rows().await
    );
}

/// Writes to nowhere, and on its way tries to let go of what is being copied.
struct Meddler<'a> {
    journal: &'a Journal,
    refused: bool,
}

impl Write for Meddler<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let letting_go = self.journal.let_go(kar(0), all_over());
        let outcome = futures_util::FutureExt::now_or_never(letting_go).expect("it waits for nothing");
        self.refused = matches!(outcome, Ok(LettingGo::BeingCopied));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn nothing_is_let_go_while_a_backup_copies_it() {
    let (directory, journal) = new_journal().await;
    for from in 0..3 {
        publish_whole(&journal, kar(0), &owners(from)).await;
    }
    let mut meddler = Meddler {
        journal: &journal,
        refused: false,
    };
    back_up(
        directory.path(),
        &head_key(),
        PSEUDONYMS.fingerprint(),
        &mut meddler,
        &mut |_, _| {},
    )
    .unwrap();
    assert!(meddler.refused);
    assert_eq!(let_go(&journal, kar(0), all_over()).await.bodies, 2);
}
