//! What was acknowledged is there, and what is damaged is found.

use crate::bench::{
    PSEUDONYMS, customer, day, deregister, head_key, is_file, kar, kfr, new_journal, open, open_with,
    prepared, pseudonyms, publish, publish_whole, put, read_changes, register, relationship,
};
use kundeforhold::chain::{HeadKey, OpenError};
use kundeforhold::domain::relationship::{Role, SetId};
use kundeforhold::journal::{Body, Delivery, Journal, JournalError, Kind, SetChange};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use uuid::Uuid;

/// Deliveries up to this size are within their entry.
const INLINE_BYTES: usize = 64 * 1024;
/// First bytes of a body.
const MAGIC_BYTES: usize = 4;

fn body_files(directory: &Path) -> Vec<PathBuf> {
    let listed = fs::read_dir(directory.join("bodies")).unwrap();
    listed.map(|file| file.unwrap().path()).collect()
}

fn many_puts(count: u64) -> Vec<SetChange> {
    (0..count)
        .map(|n| put(n, 1 + n % 5, relationship(Role::Owner, n % 90, None)))
        .collect()
}

fn positions(journal: &Journal, set: SetId, after: u64) -> Vec<u64> {
    let found = journal.published_after(set, after).unwrap();
    found
        .iter()
        .map(|journalled| journalled.publication().position)
        .collect()
}

#[tokio::test]
async fn deliveries_are_read_back_after_reopening() {
    let (directory, journal) = new_journal().await;
    let deliveries = [
        (kfr(0), Kind::Calls, vec![register(1, 0, 3), register(2, 3, 3)]),
        (kar(0), Kind::WholeSet { carries_after: 0 }, many_puts(40)),
        (kfr(0), Kind::Calls, vec![deregister(1, 4, 5)]),
        (kfr(0), Kind::WholeSet { carries_after: 1 }, many_puts(3_000)),
        (kfr(1), Kind::Calls, vec![]),
        (kfr(0), Kind::Calls, vec![register(9, 6, 6)]),
    ];
    let mut published = Vec::new();
    for (set, kind, changes) in &deliveries {
        published.push(publish(&journal, *set, *kind, changes).await);
    }
    let register_id = journal.register_id();
    journal.close().await;
    drop(journal);
    let journal = open(directory.path()).await.unwrap();
    assert_eq!(journal.register_id(), register_id);
    let mut sets = journal.sets();
    sets.sort();
    assert_eq!(sets, [kar(0), kfr(0), kfr(1)]);
    for ((set, kind, changes), published) in deliveries.iter().zip(&published) {
        let publication = published.publication();
        let found = &journal.published_after(*set, publication.position - 1).unwrap()[0];
        assert_eq!(found.publication(), publication);
        assert_eq!((publication.set().unwrap(), publication.kind), (*set, *kind));
        assert_eq!(&read_changes(&journal, found).unwrap(), changes);
    }
    assert_eq!(positions(&journal, kfr(0), 0), [1, 2, 3, 4]);
    assert_eq!(positions(&journal, kfr(0), 2), [3, 4]);
    assert_eq!(positions(&journal, kar(1), 0), Vec::<u64>::new());
    assert_eq!((journal.position(kfr(0)), journal.position(kar(1))), (4, 0));
    assert_eq!(journal.bases(kfr(0)), [3]);
    assert_eq!(
        publish(&journal, kfr(0), Kind::Calls, &[])
            .await
            .publication()
            .position,
        5
    );
}

#[tokio::test]
async fn only_bodies_above_64_kib_are_files() {
    let (directory, journal) = new_journal().await;
    let mut bytes = Vec::new();
    register(1, 0, 0).encode(&mut bytes);
    let fits = (INLINE_BYTES - MAGIC_BYTES) / bytes.len();
    let changes: Vec<_> = (0..=fits as u64).map(|n| register(n, n % 50, 60)).collect();
    let inline = prepared(&journal, Kind::Calls, &changes[..fits]);
    assert!(!is_file(&inline));
    assert!(body_files(directory.path()).is_empty());
    let file = prepared(&journal, Kind::Calls, &changes);
    assert!(is_file(&file));
    assert_eq!(
        body_files(directory.path()),
        [directory.path().join(format!("bodies/{}.body", file.id))]
    );
    let inline = journal.publish(kfr(0), inline).await.unwrap();
    let file = journal.publish(kfr(0), file).await.unwrap();
    drop(journal);
    let journal = open(directory.path()).await.unwrap();
    assert_eq!(read_changes(&journal, &inline).unwrap(), changes[..fits]);
    assert_eq!(read_changes(&journal, &file).unwrap(), changes);
}

#[tokio::test]
async fn a_body_of_exactly_64_kib_is_within_its_entry() {
    let (_directory, journal) = new_journal().await;
    let (mut of_one_length, mut of_another) = (Vec::new(), Vec::new());
    register(1, 0, 0).encode(&mut of_one_length);
    deregister(1, 0, 0).encode(&mut of_another);
    let room = INLINE_BYTES - MAGIC_BYTES - 2 * of_another.len();
    assert_eq!(room % of_one_length.len(), 0, "these changes fill the room");
    let mut changes = vec![deregister(1, 0, 0), deregister(2, 0, 0)];
    changes.extend((0..(room / of_one_length.len()) as u64).map(|n| register(n, 0, 0)));
    assert!(!is_file(&prepared(&journal, Kind::Calls, &changes)));
    changes.push(deregister(3, 0, 0));
    assert!(is_file(&prepared(&journal, Kind::Calls, &changes)));
}

#[tokio::test]
async fn a_body_of_an_unknown_format_is_refused() {
    let (_directory, journal) = new_journal().await;
    let mut bytes = b"KFB2".to_vec();
    register(1, 0, 0).encode(&mut bytes);
    for body in [bytes, b"KF".to_vec(), Vec::new()] {
        let delivery = Delivery {
            body: Body::Inline(body),
            ..prepared(&journal, Kind::Calls, &[])
        };
        let published = journal.publish(kfr(0), delivery).await.unwrap();
        assert!(read_changes(&journal, &published).is_err());
    }
}

#[tokio::test]
async fn a_body_file_that_was_changed_anywhere_is_found() {
    let (directory, journal) = new_journal().await;
    let published = publish_whole(&journal, kar(0), &many_puts(2_000)).await;
    let file = body_files(directory.path()).remove(0);
    let intact = fs::read(&file).unwrap();
    assert!(intact.len() > INLINE_BYTES);
    for at in (0..8)
        .chain((8..intact.len()).step_by(997))
        .chain([intact.len() - 1])
    {
        for bit in [0x01, 0x80] {
            let mut damaged = intact.clone();
            damaged[at] ^= bit;
            fs::write(&file, &damaged).unwrap();
            assert!(
                read_changes(&journal, &published).is_err(),
                "byte {at}, bit {bit:#x}"
            );
        }
    }
    let length_of_one = many_puts(1).iter().fold(Vec::new(), |mut bytes, change| {
        change.encode(&mut bytes);
        bytes
    });
    for damaged in [
        intact[..intact.len() - 1].to_vec(),
        intact[..intact.len() - length_of_one.len()].to_vec(),
        intact[..MAGIC_BYTES].to_vec(),
        Vec::new(),
        [&intact[..], &length_of_one].concat(),
    ] {
        fs::write(&file, &damaged).unwrap();
        assert!(
            read_changes(&journal, &published).is_err(),
            "{} bytes",
            damaged.len()
        );
    }
    fs::remove_file(&file).unwrap();
    assert!(read_changes(&journal, &published).is_err());
    fs::write(&file, &intact).unwrap();
    assert_eq!(read_changes(&journal, &published).unwrap(), many_puts(2_000));
}

#[tokio::test]
async fn a_flipped_byte_within_an_entry_is_found_at_the_next_start() {
    let (directory, journal) = new_journal().await;
    publish(&journal, kfr(0), Kind::Calls, &[register(1, 0, 0)]).await;
    publish(&journal, kfr(0), Kind::Calls, &[register(2, 0, 0)]).await;
    journal.close().await;
    drop(journal);
    let sealed = customer(1);
    let segments = fs::read_dir(directory.path())
        .unwrap()
        .map(|file| file.unwrap().path());
    let segment = segments
        .into_iter()
        .find(|path| path.extension().is_some_and(|e| e == "seg"))
        .unwrap();
    let mut bytes = fs::read(&segment).unwrap();
    let at = bytes
        .windows(sealed.as_bytes().len())
        .position(|window| window == sealed.as_bytes())
        .unwrap();
    bytes[at] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let refused = open(directory.path())
        .await
        .err()
        .expect("a damaged journal is refused");
    assert!(
        matches!(
            refused,
            JournalError::Open(OpenError::Corrupt(_)) | JournalError::Read(_)
        ),
        "{refused}"
    );
}

#[tokio::test]
async fn a_body_that_was_never_published_is_removed_at_the_next_start() {
    let (directory, journal) = new_journal().await;
    let kept = publish_whole(&journal, kar(0), &many_puts(2_000)).await;
    let abandoned = prepared(&journal, Kind::Calls, &many_puts(2_500));
    assert!(is_file(&abandoned));
    let kept_file = directory
        .path()
        .join(format!("bodies/{}.body", kept.publication().delivery_id));
    assert_eq!(body_files(directory.path()).len(), 2);
    drop(journal);
    let journal = open(directory.path()).await.unwrap();
    assert_eq!(body_files(directory.path()), [kept_file]);
    assert_eq!(read_changes(&journal, &kept).unwrap(), many_puts(2_000));
    assert_eq!(journal.position(kar(0)), 1);
}

#[tokio::test]
async fn a_body_dropped_before_its_end_leaves_nothing() {
    let (directory, journal) = new_journal().await;
    let mut body = journal.begin_body(Uuid::now_v7());
    many_puts(3_000)
        .iter()
        .for_each(|change| body.push(change).unwrap());
    assert_eq!(body_files(directory.path()).len(), 1);
    drop(body);
    assert!(body_files(directory.path()).is_empty());
}

#[tokio::test]
async fn a_journal_opens_only_with_the_keys_it_was_written_with() {
    let (directory, journal) = new_journal().await;
    publish_whole(&journal, kfr(0), &many_puts(3)).await;
    drop(journal);
    let other_key = pseudonyms(6).fingerprint();
    let refused = open_with(directory.path(), &head_key(), other_key).await.err();
    assert!(matches!(refused, Some(JournalError::OtherKey)), "{refused:?}");
    let other_head = HeadKey::new([8; 32]);
    let refused = open_with(directory.path(), &other_head, PSEUDONYMS.fingerprint())
        .await
        .err();
    let corrupt = matches!(
        refused,
        Some(JournalError::Open(OpenError::Corrupt(_)) | JournalError::Read(_))
    );
    assert!(corrupt, "{refused:?}");
    assert_eq!(open(directory.path()).await.unwrap().position(kfr(0)), 1);
}

/// Dropped without closing, and as a killed process leaves its files: a copy made the moment after the
/// acknowledgement.
#[tokio::test(flavor = "multi_thread")]
async fn a_journal_abandoned_at_any_moment_has_all_that_was_acknowledged() {
    let (directory, mut journal) = new_journal().await;
    let mut changes = Vec::new();
    for turn in 0..12_u64 {
        let count = if turn % 4 == 3 { 2_000 } else { turn };
        changes.push(many_puts(count));
        publish(&journal, kar(0), Kind::Calls, changes.last().unwrap()).await;
        let copy = tempfile::tempdir().unwrap();
        let copied = Command::new("cp")
            .arg("-r")
            .arg(directory.path())
            .arg(copy.path())
            .status();
        assert!(copied.unwrap().success());
        let copied = copy.path().join(directory.path().file_name().unwrap());
        assert_holds(&open(&copied).await.unwrap(), &changes);
        if turn % 5 == 4 {
            drop(journal);
            journal = open(directory.path()).await.unwrap();
            assert_holds(&journal, &changes);
        }
    }
}

fn assert_holds(journal: &Journal, changes: &[Vec<SetChange>]) {
    let found = journal.published_after(kar(0), 0).unwrap();
    let found: Vec<_> = found
        .iter()
        .map(|found| read_changes(journal, found).unwrap())
        .collect();
    assert_eq!(found, changes);
}

#[tokio::test(flavor = "multi_thread")]
async fn banks_publish_side_by_side_and_each_set_counts_for_itself() {
    let (directory, journal) = new_journal().await;
    let journal = std::sync::Arc::new(journal);
    let sets = [kar(0), kfr(0), kar(1), kfr(1), kar(2)];
    let tasks = sets.map(|set| {
        let journal = std::sync::Arc::clone(&journal);
        tokio::spawn(async move {
            for n in 0..20 {
                let published = publish(&journal, set, Kind::Calls, &[register(n, 0, 0)]).await;
                assert_eq!(published.publication().position, n + 1);
            }
        })
    });
    for task in tasks {
        task.await.unwrap();
    }
    drop(std::sync::Arc::into_inner(journal).unwrap());
    let journal = open(directory.path()).await.unwrap();
    for set in sets {
        assert_eq!(positions(&journal, set, 0), (1..=20).collect::<Vec<_>>());
        let last = &journal.published_after(set, 19).unwrap()[0];
        let expected = SetChange::Register {
            customer: customer(19),
            from: day(0),
            on: day(0),
            role: Role::Unknown,
        };
        assert_eq!(read_changes(&journal, last).unwrap(), [expected]);
    }
}

#[tokio::test]
async fn a_chunk_keeps_the_changes_of_a_customer_together_as_long_as_they_are_few() {
    let (_directory, journal) = new_journal().await;
    let few = (0..10).flat_map(|n| (0..7).map(move |day| register(n, day, 9)));
    let many = (0..120).map(|day| register(10, day, 130));
    let changes: Vec<_> = few.chain(many).collect();
    let published = publish(&journal, kfr(0), Kind::Calls, &changes).await;
    let mut read = journal.changes(published.publication()).unwrap();
    let mut chunks = Vec::new();
    while let Some(chunk) = Some(read.next_chunk(10).unwrap()).filter(|chunk| !chunk.is_empty()) {
        chunks.push(chunk);
    }
    let lengths: Vec<usize> = chunks.iter().map(Vec::len).collect();
    assert_eq!(lengths, [14, 14, 14, 14, 14, 50, 50, 20]);
    assert_eq!(chunks.concat(), changes);
}
