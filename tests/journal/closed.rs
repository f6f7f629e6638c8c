//! What ended long ago is left out of the journal's whole sets, and nothing else changes.

use crate::bench::{
    Follower, PSEUDONYMS, agreement, customer, day, head_key, kfr, leave_out_closed, new_journal, open,
    publish, publish_file, publish_whole, put, read_changes, register, relationship,
};
use crate::copy::{copy_to_the_end, open_copy};
use chrono::{DateTime, TimeDelta, Utc};
use kundeforhold::domain::relationship::Role;
use kundeforhold::journal::{
    Journal, JournalError, Journalled, Kind, LettingGo, SealedIdentity, SetChange, back_up, restore,
};
use kundeforhold::register::replay::without_closed;
use std::fs;
use std::path::Path;
use std::sync::Arc;

/// Ended on day 5, on day 20, and not at all.
fn records() -> Vec<SetChange> {
    (0..30)
        .map(|n| {
            put(
                n,
                1,
                relationship(Role::Owner, 1, [Some(5), Some(20), None][n as usize % 3]),
            )
        })
        .collect()
}

fn end(number: u64, to: u64) -> SetChange {
    SetChange::End {
        identity: SealedIdentity {
            customer: customer(number),
            agreement: PSEUDONYMS.agreement(&agreement(1)),
            from: day(1),
        },
        to: day(to),
    }
}

fn count(journal: &Journal, journalled: &Journalled) -> usize {
    read_changes(journal, journalled).unwrap().len()
}

fn bodies(directory: &Path) -> usize {
    fs::read_dir(directory.join("bodies")).unwrap().count()
}

async fn with_set() -> (tempfile::TempDir, Arc<Journal>, Journalled) {
    let (directory, journal) = new_journal().await;
    let whole = publish_file(&journal, kfr(0), 0, &records()).await;
    (directory, Arc::new(journal), whole)
}

#[tokio::test]
async fn a_whole_set_is_written_again_without_what_ended_and_only_then() {
    let (directory, journal, whole) = with_set().await;
    assert_eq!(
        leave_out_closed(&journal, kfr(0), day(5)).await,
        0,
        "day 5 is kept"
    );
    assert_eq!(leave_out_closed(&journal, kfr(0), day(6)).await, 1);
    assert_eq!((count(&journal, &whole), bodies(directory.path())), (20, 1));
    assert_eq!(
        leave_out_closed(&journal, kfr(0), day(6)).await,
        0,
        "nothing is left to leave out"
    );
    assert_eq!(
        leave_out_closed(&journal, kfr(0), day(21)).await,
        1,
        "a second time"
    );
    assert_eq!((count(&journal, &whole), bodies(directory.path())), (10, 1));
    journal.close().await;
    drop(journal);
    let journal = Arc::new(open(directory.path()).await.unwrap());
    let again = journal.published_at(kfr(0), 1).unwrap();
    assert_eq!((count(&journal, &again), bodies(directory.path())), (10, 1));
    assert_eq!(
        again.publication().summary,
        whole.publication().summary,
        "the receipt stays"
    );
    let built = Follower::built_from(&journal).await;
    assert!(built.standing(kfr(0), 0).await.is_empty() && built.standing(kfr(0), 1).await.is_empty());
    assert_eq!(built.standing(kfr(0), 2).await.len(), 1);
}

#[tokio::test]
async fn what_was_ended_or_prolonged_by_changes_counts_as_they_left_it() {
    let (_directory, journal, whole) = with_set().await;
    // The first ends later after all; the third ended long ago, the sixth is put anew.
    let put_anew = put(5, 1, relationship(Role::Other, 1, None));
    let changes = [end(0, 30), end(2, 4), end(5, 4), put_anew];
    publish(&journal, kfr(0), Kind::Changes, &changes).await;
    let before = Follower::built_from(&journal).await;
    assert_eq!(leave_out_closed(&journal, kfr(0), day(6)).await, 1);
    assert_eq!(count(&journal, &whole), 20, "without nine of ten, and the third");
    let after = Follower::built_from(&journal).await;
    for number in [0, 1, 5, 8] {
        let stands = before.standing(kfr(0), number).await;
        assert_eq!(after.standing(kfr(0), number).await, stands, "{number}");
    }
    assert!(after.standing(kfr(0), 2).await.is_empty() && after.standing(kfr(0), 3).await.is_empty());
}

#[tokio::test]
async fn what_later_calls_were_decided_by_stays() {
    let (_directory, journal) = new_journal().await;
    let journal = Arc::new(journal);
    let of_one = |from, to| put(1, 0, relationship(Role::Unknown, from, to));
    let whole = publish_file(&journal, kfr(0), 0, &[of_one(1, None), of_one(3, Some(40))]).await;
    // The call finds the endless one running, which is ended later; without it, it would prolong the other.
    publish(&journal, kfr(0), Kind::Calls, &[register(1, 2, 4)]).await;
    let identity = SealedIdentity {
        customer: customer(1),
        agreement: PSEUDONYMS.agreement(&agreement(0)),
        from: day(1),
    };
    let end = SetChange::End { identity, to: day(5) };
    publish(&journal, kfr(0), Kind::Changes, &[end]).await;
    let before = Follower::built_from(&journal).await.standing(kfr(0), 1).await;
    leave_out_closed(&journal, kfr(0), day(10)).await;
    let mut after = Follower::built_from(&journal).await.standing(kfr(0), 1).await;
    let is_kept = |to: Option<_>| to.is_none_or(|to| to >= day(10));
    after.retain(|relationship| is_kept(relationship.interval().to()));
    let kept: Vec<_> = before
        .into_iter()
        .filter(|relationship| is_kept(relationship.interval().to()))
        .collect();
    assert_eq!(after, kept);
    assert_eq!(count(&journal, &whole), 2, "it is left in");
}

#[tokio::test]
async fn a_rollback_brings_nothing_back_that_was_left_out() {
    let (_directory, journal, first) = with_set().await;
    publish_file(&journal, kfr(0), 1, &records()[20..]).await;
    assert_eq!(
        leave_out_closed(&journal, kfr(0), day(6)).await,
        2,
        "the state before it too"
    );
    assert_eq!(count(&journal, &first), 20);
    publish(&journal, kfr(0), Kind::Rollback { to: 1 }, &[]).await;
    let built = Follower::built_from(&journal).await;
    assert!(built.standing(kfr(0), 0).await.is_empty());
    assert_eq!(built.standing(kfr(0), 1).await.len(), 1);
}

#[tokio::test]
async fn what_was_written_again_is_backed_up_restored_and_let_go() {
    let (directory, journal, whole) = with_set().await;
    leave_out_closed(&journal, kfr(0), day(6)).await;
    let (mut bytes, place) = (Vec::new(), tempfile::tempdir().unwrap());
    let key = PSEUDONYMS.fingerprint();
    back_up(directory.path(), &head_key(), key, &mut bytes, &mut |_, _| {}).unwrap();
    let restored = place.path().join("restored");
    restore(&*bytes, &restored, &head_key(), key, &mut |_, _| {}).unwrap();
    let restored = open(&restored).await.unwrap();
    assert_eq!(count(&restored, &restored.published_at(kfr(0), 1).unwrap()), 20);

    publish_whole(&journal, kfr(0), &[]).await;
    let all_over = Utc::now() + TimeDelta::days(1);
    let gone = journal.let_go(kfr(0), all_over).await.unwrap();
    assert!(matches!(gone, LettingGo::Done(freed) if freed.bodies == 1));
    assert_eq!(bodies(directory.path()), 0);
    assert!(matches!(
        read_changes(&journal, &whole),
        Err(JournalError::LetGo(_))
    ));
    assert_eq!(leave_out_closed(&journal, kfr(0), day(50)).await, 0);
}

#[tokio::test]
async fn a_copy_under_another_key_is_written_again_too_and_never_meanwhile() {
    let (_directory, journal, _) = with_set().await;
    let place = tempfile::tempdir().unwrap();
    let copy = open_copy(place.path(), &journal).await.unwrap();
    copy_to_the_end(&copy, &journal).await;
    let state = journal.kept_states(kfr(0), DateTime::UNIX_EPOCH)[0];
    let new = without_closed(&journal, kfr(0), state, day(6), &mut || Ok(())).unwrap();
    assert!(
        !journal.put_rewritten(new.unwrap()).await.unwrap(),
        "it is being copied"
    );
    copy.close().await;
    drop(copy);
    for before in [6, 21] {
        assert_eq!(leave_out_closed(&journal, kfr(0), day(before)).await, 1);
    }
    let copy = open_copy(place.path(), &journal).await.unwrap();
    assert_eq!(count(&copy, &copy.published_at(kfr(0), 1).unwrap()), 30);
    copy_to_the_end(&copy, &journal).await;
    let copied = copy.published_at(kfr(0), 1).unwrap();
    assert_eq!((count(&copy, &copied), bodies(place.path())), (10, 1));
    copy.close().await;
    drop(copy);
    let copy = open_copy(place.path(), &journal).await.unwrap();
    assert_eq!((count(&copy, &copied), bodies(place.path())), (10, 1));
}

/// Half done is not done, or done at the next start.
#[tokio::test]
async fn a_crash_in_between_leaves_the_former_body_or_the_new_one() {
    let (directory, journal, whole) = with_set().await;
    let file = |number: usize| {
        let mut files: Vec<_> = fs::read_dir(directory.path().join("bodies"))
            .unwrap()
            .map(|item| item.unwrap().path())
            .collect();
        files.sort();
        files.remove(number)
    };
    let (former, content) = (file(0), fs::read(file(0)).unwrap());
    let state = journal.kept_states(kfr(0), DateTime::UNIX_EPOCH)[0];
    let mut go_on = || Ok(());
    let new = without_closed(&journal, kfr(0), state, day(6), &mut go_on).unwrap();
    assert_eq!(bodies(directory.path()), 2);
    // Before the entry: as if the process had ended here.
    std::mem::forget(new);
    journal.close().await;
    drop(journal);
    let journal = Arc::new(open(directory.path()).await.unwrap());
    assert_eq!((count(&journal, &whole), bodies(directory.path())), (30, 1));
    // Given up, it leaves nothing.
    drop(without_closed(&journal, kfr(0), state, day(6), &mut go_on).unwrap());
    assert_eq!(bodies(directory.path()), 1);
    // After the entry, before the former file was removed.
    leave_out_closed(&journal, kfr(0), day(6)).await;
    fs::write(&former, content).unwrap();
    journal.close().await;
    drop(journal);
    let journal = open(directory.path()).await.unwrap();
    assert_eq!((count(&journal, &whole), bodies(directory.path())), (20, 1));
    assert!(!former.exists());
}

#[tokio::test]
async fn nothing_is_put_in_place_of_what_has_changed_meanwhile_or_is_being_copied() {
    let (directory, journal, whole) = with_set().await;
    let state = journal.kept_states(kfr(0), DateTime::UNIX_EPOCH)[0];
    let mut go_on = || Ok(());
    let mut new = || {
        without_closed(&journal, kfr(0), state, day(6), &mut go_on)
            .unwrap()
            .unwrap()
    };
    let (first, second) = (new(), new());
    let copied = fs::File::open(directory.path().join("bodies-lock")).unwrap();
    copied.lock_shared().unwrap();
    assert!(!journal.put_rewritten(first).await.unwrap());
    drop(copied);
    let third = new();
    assert!(journal.put_rewritten(second).await.unwrap());
    assert!(!journal.put_rewritten(third).await.unwrap());
    assert_eq!((count(&journal, &whole), bodies(directory.path())), (20, 1));
}

/// Where there is no room, it is told so, and what stood stands.
#[tokio::test]
async fn what_cannot_be_written_again_stays_as_it_was() {
    let (directory, journal, whole) = with_set().await;
    let state = journal.kept_states(kfr(0), DateTime::UNIX_EPOCH)[0];
    let mut full = || Err(JournalError::Io(std::io::ErrorKind::StorageFull.into()));
    assert!(without_closed(&journal, kfr(0), state, day(6), &mut full).is_err());
    assert_eq!((count(&journal, &whole), bodies(directory.path())), (30, 1));
}
