//! The record of use in PostgreSQL: a chain for each instance, and nothing twice or lost when the database goes away.

use crate::commit_proxy::{CommitProxy, Cut};
use crate::postgres::{Database, SERVER};
use crate::table::{clock_now, head, query_of, record, record_one, ring, row};
use chrono::{TimeDelta, Utc};
use kundeforhold::domain::calendar::oslo_day;
use kundeforhold::record::{
    self, ChainChoice, HeadStanding, KeptHead, Query, RecordPlace, Recorder, RecorderOptions, Verification,
    Way,
};
use kundeforhold::store::{PostgresOptions, StorePlace};
use std::time::{Duration, Instant};
use tokio::task::spawn_blocking;

/// Longest that anything here may take to happen.
const WITHIN: Duration = Duration::from_secs(60);

/// `HOST:PORT`
fn server_address() -> String {
    let (_, address) = SERVER.url.split_once('@').unwrap();
    address.split_once('/').unwrap().0.to_owned()
}

fn place_at(url: &str) -> RecordPlace {
    let options = PostgresOptions {
        url: url.to_owned().into(),
        password: None,
        ca_certificate: None,
        client_certificate: None,
        connections: 4,
        migrates: true,
    };
    RecordPlace::find(&StorePlace::Postgres(options)).unwrap()
}

async fn open_at(place: RecordPlace) -> Recorder {
    let options = RecorderOptions {
        place,
        chain: ChainChoice::GoOn,
        confirms: None,
        timeout: Duration::from_secs(10),
    };
    spawn_blocking(move || Recorder::open(ring(1, &[]), &options))
        .await
        .unwrap()
        .unwrap()
}

async fn open(database: &Database) -> Recorder {
    open_at(place_at(&database.url())).await
}

async fn verify(database: &Database, heads: &[KeptHead]) -> Verification {
    let (place, heads) = (place_at(&database.url()), heads.to_vec());
    spawn_blocking(move || record::verify(&place, &ring(1, &[]), heads, &mut || {}))
        .await
        .unwrap()
}

async fn proved(database: &Database, heads: &[KeptHead]) -> Verification {
    let verification = verify(database, heads).await;
    assert!(verification.holds(), "{:?}", verification.first_fault());
    verification
}

/// How many entries are found, and how many were not read for it.
async fn found(database: &Database, query: Query) -> (usize, u64) {
    let place = place_at(&database.url());
    let search = move || {
        let mut found = 0;
        let looked = record::search(&place, &ring(1, &[]), &query, Way::Index, |_| {
            found += 1;
            Ok(())
        });
        (found, looked.unwrap().indexed)
    };
    spawn_blocking(search).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_proved_and_found_and_a_chain_that_ended_is_gone_on_with() {
    let database = Database::create().await;
    let mut heads = Vec::new();
    for start in [0, 1_500] {
        let recorder = open(&database).await;
        record(&recorder, start..start + 1_500, 0).await;
        heads.push(head(&recorder));
        recorder.close().await;
    }
    let verification = proved(&database, &heads).await;
    assert_eq!(verification.proofs.len(), 1, "one chain");
    assert_eq!(verification.proofs[0].entries, 3_000);
    let standings = verification.heads.iter().map(|(_, standing)| *standing);
    assert!(standings.eq([HeadStanding::Found; 2]));
    assert_eq!(found(&database, query_of(2_718)).await, (1, 0));
    assert_eq!(found(&database, query_of(3_000)).await, (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn instances_write_a_chain_each_and_are_proved_and_searched_together() {
    let database = Database::create().await;
    let (one, other) = tokio::join!(open(&database), open(&database));
    tokio::join!(record(&one, 0..2_000, 0), record(&other, 2_000..4_000, 0));
    let heads = [head(&one), head(&other)];
    tokio::join!(one.close(), other.close());
    let verification = proved(&database, &heads).await;
    let entries: Vec<u64> = verification.proofs.iter().map(|proof| proof.entries).collect();
    assert_eq!(entries, [2_000, 2_000]);
    for number in [1, 3_999] {
        assert_eq!(found(&database, query_of(number)).await.0, 1);
    }
    let again = open(&database).await;
    record(&again, 4_000..4_001, 0).await;
    again.close().await;
    assert_eq!(
        proved(&database, &heads).await.proofs.len(),
        2,
        "no further chain"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn full_batches_are_indexed_and_what_differs_from_the_entries_is_found() {
    let database = Database::create().await;
    let recorder = open(&database).await;
    record(&recorder, 0..20_000, 0).await;
    let started = Instant::now();
    while database.number("SELECT count(*) FROM record_indexed").await == 0 {
        assert!(started.elapsed() < WITHIN, "not indexed");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(found(&database, query_of(9_999)).await, (1, 16_384));
    proved(&database, &[]).await;
    recorder.close().await;
    database
        .connect()
        .await
        .batch_execute("DELETE FROM record_found_by WHERE sequence = 10000")
        .await
        .unwrap();
    assert!(
        !verify(&database, &[]).await.holds(),
        "an index that lacks an entry"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_taken_for_dead_begins_a_chain_of_its_own() {
    let database = Database::create().await;
    let paused = open(&database).await;
    record(&paused, 0..100, 0).await;
    let client = database.connect().await;
    let silent = "UPDATE record_writers SET seen_at = now() - interval '2 minutes'";
    client.batch_execute(silent).await.unwrap();
    let next = open(&database).await;
    record(&next, 100..200, 0).await;
    // It finds out by the first entry that it cannot write, and its caller is not answered.
    assert!(record_one(&paused, 200).await.is_err());
    record(&paused, 201..300, 0).await;
    record(&next, 300..400, 0).await;
    let heads = [head(&paused), head(&next)];
    tokio::join!(paused.close(), next.close());
    let verification = proved(&database, &heads).await;
    let entries: Vec<u64> = verification.proofs.iter().map(|proof| proof.entries).collect();
    assert_eq!(entries, [300, 99]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_claims_the_chain_of_a_living_one_begins_another_if_that_goes_on() {
    let database = Database::create().await;
    let living = open(&database).await;
    record(&living, 0..100, 0).await;
    let client = database.connect().await;
    let silent = "UPDATE record_writers SET seen_at = now() - interval '2 minutes'";
    client.batch_execute(silent).await.unwrap();
    let next = open(&database).await;
    record(&living, 100..200, 0).await;
    assert!(record_one(&next, 200).await.is_err());
    record(&next, 201..300, 0).await;
    record(&living, 300..400, 0).await;
    tokio::join!(living.close(), next.close());
    let verification = proved(&database, &[]).await;
    let entries: Vec<u64> = verification.proofs.iter().map(|proof| proof.entries).collect();
    assert_eq!(entries, [300, 99]);
}

/// As after a server took over that lacks what was written last.
#[tokio::test(flavor = "multi_thread")]
async fn a_chain_whose_end_or_beginning_is_lost_is_left_and_another_is_begun() {
    for lost in [
        "DELETE FROM record.entries WHERE place > (SELECT max(place) - 10 FROM record.entries)",
        "DELETE FROM record.entries",
        "DELETE FROM record.entries; DELETE FROM record.heads; DELETE FROM record_writers",
    ] {
        let database = Database::create().await;
        let recorder = open(&database).await;
        record(&recorder, 0..100, 0).await;
        let published = head(&recorder);
        database.connect().await.batch_execute(lost).await.unwrap();
        assert!(record_one(&recorder, 100).await.is_err(), "{lost}");
        record(&recorder, 101..200, 0).await;
        recorder.close().await;
        let verification = verify(&database, &[published]).await;
        assert_eq!(verification.heads[0].1, HeadStanding::Missing, "{lost}");
        let entries = verification.proofs.iter().map(|proof| proof.entries).max();
        assert_eq!(entries, Some(99), "{lost}");
        let again = open(&database).await;
        record(&again, 200..210, 0).await;
        again.close().await;
        assert!(
            verify(&database, &[]).await.fault.is_none(),
            "no stray entries: {lost}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_is_cut_off_leaves_every_entry_once_or_not_at_all() {
    for cut in [Cut::Before, Cut::After] {
        let database = Database::create().await;
        // Made before anything is cut off.
        open(&database).await.close().await;
        let server = server_address();
        let proxy = CommitProxy::start(server.clone(), cut).await;
        let behind = format!("127.0.0.1:{}", proxy.port);
        let recorder = open_at(place_at(&database.url().replace(&server, &behind))).await;
        let mut answered = 0;
        let cuts = std::env::var("CUT_COMMITS").map_or(100, |text| text.parse().unwrap());
        for number in 0..cuts {
            proxy.cut_next(1);
            assert!(record_one(&recorder, 2 * number).await.is_err(), "{cut:?}");
            assert_eq!(proxy.left(), 0);
            while record_one(&recorder, 2 * number + 1).await.is_err() {}
            answered += 1;
        }
        let heads = [head(&recorder)];
        recorder.close().await;
        let verification = proved(&database, &heads).await;
        let entries = verification.proofs[0].entries;
        match cut {
            Cut::Before => assert_eq!(entries, answered),
            Cut::After => assert_eq!(
                entries,
                2 * answered,
                "they are there, though nobody was answered"
            ),
        }
        for number in (0..cuts).step_by(cuts.div_ceil(100)) {
            assert_eq!(found(&database, query_of(2 * number + 1)).await.0, 1, "{cut:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_database_nothing_is_recorded_and_work_goes_on_by_itself() {
    let database = Database::create().await;
    let recorder = open(&database).await;
    record(&recorder, 0..10, 0).await;
    database.shut().await;
    assert!(record_one(&recorder, 10).await.is_err());
    assert!(!recorder.writable());
    database.open().await;
    let started = Instant::now();
    while !recorder.probe().await {
        assert!(started.elapsed() < Duration::from_secs(10), "not writable again");
    }
    record(&recorder, 11..20, 0).await;
    recorder.close().await;
    proved(&database, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_are_found_and_what_is_pruned_stays_provable() {
    let database = Database::create().await;
    let recorder = open(&database).await;
    record(&recorder, 0..150, 100).await;
    let old = head(&recorder);
    record(&recorder, 150..300, 100).await;
    record(&recorder, 300..600, 0).await;
    let before = oslo_day(Utc::now() - TimeDelta::days(50));
    let place = place_at(&database.url());
    let pruned = spawn_blocking(move || record::prune(&place, &ring(1, &[]), before, &clock_now()));
    let pruned = pruned.await.unwrap().unwrap();
    assert_eq!((pruned[0].1.first, pruned[0].1.last), (1, 300));
    record(&recorder, 600..700, 0).await;
    recorder.close().await;
    let verification = proved(&database, &[old]).await;
    assert_eq!(verification.heads[0].1, HeadStanding::Pruned);
    assert_eq!(verification.proofs[0].entries, 400);

    for edit in [
        "UPDATE record.entries SET hash = sha256(hash) WHERE place = PLACE",
        "UPDATE record.entries SET entry = entry || '\\x00' WHERE place = PLACE",
        "DELETE FROM record.entries WHERE place = PLACE",
        "UPDATE record.heads SET at = at + 1 WHERE number = 2",
        "DELETE FROM record.heads WHERE event = 2",
    ] {
        let copy = Database::create_of(&database.name).await;
        let edit = edit.replace("PLACE", &row(1, 450).to_string());
        assert_eq!(
            copy.connect().await.execute(&edit, &[]).await.unwrap(),
            1,
            "{edit}"
        );
        assert!(!verify(&copy, &[]).await.holds(), "{edit}");
    }
}
