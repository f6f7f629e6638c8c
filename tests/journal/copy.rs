//! The journal under another key: the same but for its pseudonyms, wherever the copying was cut off.

use crate::bench::{
    Follower, PSEUDONYMS, customer, deregister, head_key, kar, kfr, new_journal, open, open_with, pseudonyms,
    publish, publish_whole, put, read_changes, register, relationship,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::DateTime;
use futures_util::FutureExt;
use kundeforhold::chain::{self, Chain, HeadKey, Options, Purpose};
use kundeforhold::domain::relationship::Role;
use kundeforhold::journal::{
    Journal, JournalError, JournalKey, JournalPlace, Kind, Operation, ReceiptState, SealedIdentity,
    SetChange, Summary, resealed_change,
};
use kundeforhold::pseudonym::{MasterKey, Pseudonyms, Reseal};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

const NEXT_SECRET: u8 = 77;

pub fn reseal() -> Reseal {
    Reseal {
        from: Arc::new(pseudonyms(5)),
        to: Arc::new(pseudonyms(NEXT_SECRET)),
    }
}

pub fn next_head_key() -> HeadKey {
    HeadKey::new([8; 32])
}

pub async fn open_copy(directory: &Path, original: &Journal) -> Result<Arc<Journal>, JournalError> {
    let copy = Journal::open_copy(directory, &next_head_key(), &reseal(), original).await;
    copy.map(Arc::new)
}

pub async fn copy_to_the_end(copy: &Arc<Journal>, original: &Arc<Journal>) {
    while copy.copy_on(original, &reseal()).await.unwrap().entries > 0 {}
}

fn owner(number: u64, agreement: u64) -> SetChange {
    put(number, agreement, relationship(Role::Owner, number % 50, None))
}

/// Sets small and large, calls and changes, a rollback, and deliveries that came to nothing.
async fn fill(journal: &Journal) {
    publish(
        journal,
        kfr(0),
        Kind::Calls,
        &[register(1, 0, 3), register(2, 3, 3)],
    )
    .await;
    publish_whole(
        journal,
        kar(0),
        &(0..40).map(|n| owner(n, n % 3)).collect::<Vec<_>>(),
    )
    .await;
    let (rejected, abandoned) = (Uuid::now_v7(), Uuid::now_v7());
    for (delivery, is_rejected) in [(rejected, true), (abandoned, false)] {
        let at = DateTime::UNIX_EPOCH;
        let begun = journal.begin_delivery(kar(1), delivery, Operation::WholeSet, at);
        begun.await.unwrap();
        let ended = journal.end_delivery(kar(1), delivery, is_rejected, Summary::default());
        ended.await.unwrap();
    }
    publish(journal, kfr(0), Kind::Calls, &[deregister(1, 4, 5)]).await;
    publish_whole(
        journal,
        kfr(0),
        &(0..2_500).rev().map(|n| owner(n, 2)).collect::<Vec<_>>(),
    )
    .await;
    let identity = |number, agreement| SealedIdentity {
        customer: customer(number),
        agreement: PSEUDONYMS.agreement(&crate::bench::agreement(agreement)),
        from: crate::bench::day(number % 50),
    };
    let changes = [
        SetChange::End {
            identity: identity(3, 0),
            to: crate::bench::day(60),
        },
        SetChange::Remove(identity(4, 1)),
        owner(90, 1),
    ];
    publish(journal, kar(0), Kind::Changes, &changes).await;
    publish_whole(journal, kar(0), &[owner(7, 1)]).await;
    publish(journal, kar(0), Kind::Rollback { to: 2 }, &[]).await;
    publish(journal, kfr(1), Kind::Calls, &[]).await;
}

/// What a change says under the next key, to be compared without regard to order.
fn told(changes: Vec<SetChange>, reseal: Option<&Reseal>) -> Vec<Vec<u8>> {
    let told = changes.into_iter().map(|change| {
        let change = match reseal {
            Some(reseal) => resealed_change(change, reseal).unwrap(),
            None => change,
        };
        let mut bytes = Vec::new();
        change.encode(&mut bytes);
        bytes
    });
    told.collect()
}

fn assert_same(copy: &Journal, original: &Journal) {
    assert_eq!(copy.register_id(), original.register_id());
    assert_eq!(copy.entries(), original.entries());
    let (mut sets, mut expected) = (copy.sets(), original.sets());
    sets.sort();
    expected.sort();
    assert_eq!(sets, expected);
    for set in sets {
        assert_eq!(copy.receipts(set.bank), original.receipts(set.bank));
        for delivery in copy.receipts(set.bank) {
            assert_eq!(
                copy.receipt(set.bank, delivery).unwrap(),
                original.receipt(set.bank, delivery).unwrap()
            );
        }
        let published = copy.published_after(set, 0).unwrap();
        let expected = original.published_after(set, 0).unwrap();
        assert_eq!(published.len(), expected.len());
        for (journalled, expected) in published.iter().zip(&expected) {
            let (found, wanted) = (journalled.publication(), expected.publication());
            assert_eq!(
                (found.position, found.delivery_id, found.kind, &found.summary),
                (wanted.position, wanted.delivery_id, wanted.kind, &wanted.summary)
            );
            assert_eq!(
                (found.received_at, found.published_at),
                (wanted.received_at, wanted.published_at)
            );
            let changes = read_changes(copy, journalled).unwrap();
            let customers: Vec<_> = changes
                .iter()
                .map(|change| change.customer().customer_key())
                .collect();
            let mut found_changes = told(changes, None);
            let mut wanted_changes = told(read_changes(original, expected).unwrap(), Some(&reseal()));
            if matches!(found.kind, Kind::WholeSet { .. }) {
                assert!(customers.is_sorted(), "a whole set is in the order of the index");
                found_changes.sort();
                wanted_changes.sort();
            }
            assert_eq!(found_changes, wanted_changes);
        }
    }
}

#[tokio::test]
async fn a_copy_is_the_same_journal_under_another_key() {
    let (_directory, original) = new_journal().await;
    fill(&original).await;
    let (original, directory) = (Arc::new(original), tempfile::tempdir().unwrap());
    let copy = open_copy(directory.path(), &original).await.unwrap();
    copy_to_the_end(&copy, &original).await;
    assert_same(&copy, &original);
    assert_eq!((original.rekeyings(), copy.rekeyings()), (0, 1));
    assert_eq!(copy.key(), pseudonyms(NEXT_SECRET).fingerprint());

    // What is published later is copied later, and the copy opens as any journal.
    publish(&original, kfr(0), Kind::Calls, &[register(5, 6, 6)]).await;
    copy_to_the_end(&copy, &original).await;
    copy.close().await;
    drop(copy);
    let key = pseudonyms(NEXT_SECRET).fingerprint();
    let copy = open_with(directory.path(), &next_head_key(), key).await.unwrap();
    assert_same(&copy, &original);
}

#[tokio::test]
async fn what_was_broken_off_or_is_under_way_stands_the_same_in_the_copy() {
    let (journal_place, original) = new_journal().await;
    let (broken_off, under_way) = (Uuid::now_v7(), Uuid::now_v7());
    let begin = async |journal: &Journal, delivery| {
        let begun = journal.begin_delivery(kar(1), delivery, Operation::WholeSet, DateTime::UNIX_EPOCH);
        begun.await.unwrap();
    };
    begin(&original, broken_off).await;
    original.close().await;
    drop(original);
    let original = Arc::new(open(journal_place.path()).await.unwrap());
    begin(&original, under_way).await;
    let directory = tempfile::tempdir().unwrap();
    // The second time the copy is read from its disk.
    for _ in 0..2 {
        let copy = open_copy(directory.path(), &original).await.unwrap();
        copy_to_the_end(&copy, &original).await;
        copy.stand_as(&original);
        for (delivery, state) in [
            (broken_off, ReceiptState::Abandoned),
            (under_way, ReceiptState::Receiving),
        ] {
            let receipt = copy.receipt(kar(1).bank, delivery).unwrap();
            assert_eq!(receipt.unwrap().state, state);
        }
        copy.close().await;
    }
}

#[tokio::test]
async fn what_is_durable_and_not_noted_yet_is_copied_later() {
    let (_directory, original) = new_journal().await;
    fill(&original).await;
    let (original, directory) = (Arc::new(original), tempfile::tempdir().unwrap());
    let copy = open_copy(directory.path(), &original).await.unwrap();
    copy_to_the_end(&copy, &original).await;
    let changes = [register(5, 6, 6)];
    let mut publishing = Box::pin(publish(&original, kfr(0), Kind::Calls, &changes));
    assert!(publishing.as_mut().now_or_never().is_none());
    // The one who publishes is not asked how far it is, so that nothing is noted.
    let (level, begun) = (copy.entries(), Instant::now());
    while original.entries() == level {
        assert!(begun.elapsed() < Duration::from_secs(30));
        std::thread::sleep(Duration::from_millis(1));
    }
    copy_to_the_end(&copy, &original).await;
    assert_eq!(copy.entries(), level);
    publishing.await;
    copy_to_the_end(&copy, &original).await;
    assert_same(&copy, &original);
}

#[tokio::test]
async fn an_index_built_from_the_copy_holds_the_same_under_the_other_key() {
    let (_directory, original) = new_journal().await;
    fill(&original).await;
    let (original, directory) = (Arc::new(original), tempfile::tempdir().unwrap());
    let copy = open_copy(directory.path(), &original).await.unwrap();
    copy_to_the_end(&copy, &original).await;
    let (present, next) = (
        Follower::built_from(&original).await,
        Follower::built_from(&copy).await,
    );
    let same = |one: &Pseudonyms, number| one.customer(&crate::bench::customer_id(number)).customer_key();
    for set in original.sets() {
        let generation = |follower: &Follower| follower.index.state().sets[&set].generation;
        for number in (0..50).chain([90]) {
            let asked = [same(&pseudonyms(5), number)];
            let wanted = present.index.rows_of(set, generation(&present), &asked).await;
            let asked = [same(&pseudonyms(NEXT_SECRET), number)];
            let found = next.index.rows_of(set, generation(&next), &asked).await;
            let relationships = |rows: Vec<Vec<(_, kundeforhold::domain::relationship::Relationship)>>| {
                let mut found: Vec<_> = rows.into_iter().flatten().map(|(_, found)| found).collect();
                found.sort();
                found
            };
            assert_eq!(
                relationships(found.unwrap()),
                relationships(wanted.unwrap()),
                "{set}: {number}"
            );
        }
    }
}

fn last_segment(directory: &Path) -> PathBuf {
    let files = std::fs::read_dir(directory).unwrap();
    let mut segments: Vec<_> = files.map(|file| file.unwrap().path()).collect();
    segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
    segments.sort();
    segments.pop().unwrap()
}

#[tokio::test]
async fn a_copy_that_was_cut_off_anywhere_goes_on_where_it_ends() {
    let (_directory, original) = new_journal().await;
    fill(&original).await;
    let (original, directory) = (Arc::new(original), tempfile::tempdir().unwrap());
    let copy = open_copy(directory.path(), &original).await.unwrap();
    copy.close().await;
    drop(copy);
    let begun = std::fs::metadata(last_segment(directory.path())).unwrap().len();
    let mut cut = begun;
    loop {
        let copy = open_copy(directory.path(), &original).await.unwrap();
        copy_to_the_end(&copy, &original).await;
        assert_same(&copy, &original);
        copy.close().await;
        drop(copy);
        let segment = last_segment(directory.path());
        let whole = std::fs::metadata(&segment).unwrap().len();
        cut += (whole - begun) / 20 + 1;
        if cut >= whole {
            return;
        }
        let file = std::fs::File::options().write(true).open(segment).unwrap();
        file.set_len(cut).unwrap();
        std::fs::write(
            directory.path().join(format!("bodies/{}.body", Uuid::now_v7())),
            b"half",
        )
        .unwrap();
    }
}

#[tokio::test]
async fn the_copy_of_another_journal_is_refused() {
    let (_directory, original) = new_journal().await;
    fill(&original).await;
    let (_other_directory, other) = new_journal().await;
    let directory = tempfile::tempdir().unwrap();
    let copy = open_copy(directory.path(), &other).await.unwrap();
    copy.close().await;
    drop(copy);
    let refused = open_copy(directory.path(), &original).await;
    assert!(matches!(refused, Err(JournalError::OtherJournal)));
    let same_key = Journal::open_copy(directory.path(), &head_key(), &reseal(), &original).await;
    assert!(same_key.is_err());
}

#[tokio::test]
async fn what_the_original_let_go_before_or_meanwhile_is_let_go_in_the_copy() {
    let (_directory, original) = new_journal().await;
    let original = Arc::new(original);
    let large = |from: u64| -> Vec<SetChange> { (0..2_000).map(|n| owner(n, from)).collect() };
    let since = chrono::Utc::now() + chrono::TimeDelta::days(1);
    let mut published = Vec::new();
    for from in 1..3 {
        published.push(publish_whole(&original, kar(0), &large(from)).await);
    }
    original.let_go(kar(0), since).await.unwrap();
    let place = tempfile::tempdir().unwrap();
    let copy = open_copy(place.path(), &original).await.unwrap();
    copy_to_the_end(&copy, &original).await;
    published.push(publish_whole(&original, kar(0), &large(3)).await);
    original.let_go(kar(0), since).await.unwrap();
    copy_to_the_end(&copy, &original).await;
    assert_eq!(copy.entries(), original.entries());
    let gone = |journal: &Journal| -> Vec<bool> {
        let ids = published.iter().map(|at| at.publication().delivery_id);
        ids.map(|id| journal.is_let_go(id)).collect()
    };
    assert_eq!(gone(&original), [true, true, false]);
    assert_eq!(gone(&copy), [true, true, false]);
    assert_eq!(std::fs::read_dir(place.path().join("bodies")).unwrap().count(), 1);
    let last = copy.published_at(kar(0), 3).unwrap();
    assert_eq!(read_changes(&copy, &last).unwrap().len(), 2_000);
}

/// More entries at a time than a task may handle at a stretch: they stay in their order all the same.
#[tokio::test(flavor = "multi_thread")]
async fn many_entries_of_a_set_are_copied_in_order() {
    let (directory, original) = new_journal().await;
    for number in 0..400 {
        publish(&original, kfr(0), Kind::Calls, &[register(number, 0, 3)]).await;
    }
    let original = Arc::new(original);
    let place = directory.path().join("copy");
    let copy = open_copy(&place, &original).await.unwrap();
    let copying = (Arc::clone(&copy), Arc::clone(&original));
    tokio::spawn(async move { copy_to_the_end(&copying.0, &copying.1).await })
        .await
        .unwrap();
    assert_eq!((copy.entries(), copy.position(kfr(0))), (401, 400));
    copy.close().await;
    drop(copy);
    let again = open_with(&place, &next_head_key(), pseudonyms(NEXT_SECRET).fingerprint()).await;
    assert_eq!(again.unwrap().position(kfr(0)), 400);
}

/// What a fault of the disk leaves.
#[derive(Debug, Clone, Copy)]
enum Damage {
    CutBody,
    NoBody,
    ChangedEntry,
    NoEntry,
}

impl Damage {
    async fn to(self, directory: &Path) {
        let body = || {
            let mut bodies = std::fs::read_dir(directory.join("bodies")).unwrap();
            bodies.next().unwrap().unwrap().path()
        };
        match self {
            Self::CutBody => {
                let file = std::fs::File::options().write(true).open(body()).unwrap();
                file.set_len(file.metadata().unwrap().len() / 2).unwrap();
            }
            Self::NoBody => std::fs::remove_file(body()).unwrap(),
            Self::ChangedEntry => {
                let segment = last_segment(directory);
                let mut bytes = std::fs::read(&segment).unwrap();
                bytes[1_000] ^= 1;
                std::fs::write(segment, bytes).unwrap();
            }
            Self::NoEntry => lose_an_entry(directory).await,
        }
    }
}

/// The one that says that a delivery began: it has no number, so that only the original shows that it is missing.
async fn lose_an_entry(directory: &Path) {
    let key = MasterKey::parse(&STANDARD.encode([NEXT_SECRET; 64])).unwrap();
    let key = HeadKey::new(*key.derive("journal/head"));
    let found = chain::entries(directory, Purpose::Journal, &key).unwrap();
    let mut payloads: Vec<_> = found.map(|entry| entry.unwrap().payload).collect();
    payloads.remove(3);
    std::fs::remove_file(last_segment(directory)).unwrap();
    let (chain, _) = Chain::open(directory, Purpose::Journal, &key, Options::default()).unwrap();
    chain.append_all(payloads).await.unwrap();
    chain.close().await.unwrap();
}

/// A copy in the place of the journals, whatever a fault of the disk left of it, is begun anew by itself.
#[tokio::test]
async fn a_copy_with_a_hole_is_thrown_away_and_begun_anew() {
    let (_directory, original) = new_journal().await;
    fill(&original).await;
    let original = Arc::new(original);
    let next = JournalKey::new(&MasterKey::parse(&STANDARD.encode([NEXT_SECRET; 64])).unwrap());
    for damage in [
        Damage::CutBody,
        Damage::NoBody,
        Damage::ChangedEntry,
        Damage::NoEntry,
    ] {
        let directory = tempfile::tempdir().unwrap();
        let place = JournalPlace::new(directory.path());
        let copy = Arc::new(place.open_copy(&next, &reseal(), &original).await.unwrap());
        copy_to_the_end(&copy, &original).await;
        copy.close().await;
        drop(copy);
        damage.to(&place.of(next.fingerprint())).await;
        let refused = place.open_copy(&next, &reseal(), &original).await;
        assert!(refused.is_err(), "{damage:?}");
        drop(refused);
        let copy = Arc::new(place.open_copy(&next, &reseal(), &original).await.unwrap());
        assert_eq!(copy.entries(), 1, "{damage:?}: anew");
        copy_to_the_end(&copy, &original).await;
        assert_same(&copy, &original);
    }
}
