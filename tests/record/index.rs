//! The search index finds what reading every entry finds, and `verify` tells where it does not.

use crate::table::{
    CUSTOMERS, clock_now, customer, fault, in_file, open, organization, place, record as write, ring, search,
    tamper, verify, wait_until_indexed,
};
use kundeforhold::record::{self, Looked, Query, Way};
use std::path::PathBuf;
use tempfile::TempDir;
use uuid::Uuid;

const BATCH: usize = 16_384;
/// Two full batches, and a tail.
const ENTRIES: usize = 2 * BATCH + 1_000;

async fn indexed() -> (TempDir, PathBuf) {
    let (folder, path) = place();
    let recorder = open(&path, ring(1, &[]));
    for part in 0..3_usize {
        let end = ENTRIES.min((part + 1) * 12_000);
        write(&recorder, part * 12_000..end, 2 - part as i64).await;
    }
    wait_until_indexed(&path, 2);
    recorder.close().await;
    (folder, path)
}

fn queries() -> Vec<(Query, usize)> {
    let all = Query::default();
    let today = kundeforhold::domain::calendar::oslo_day(chrono::Utc::now());
    let day = |days| today - chrono::TimeDelta::days(days);
    let of_case = |number: usize| Query {
        case: Some(Uuid::from_u128(number as u128)),
        ..all.clone()
    };
    let of_correlation = |number: usize| Query {
        correlation: Some(Uuid::from_u128(number as u128)),
        ..all.clone()
    };
    let of_day = |days| Query {
        day: Some(day(days)),
        ..all.clone()
    };
    vec![
        (of_case(7), 10),
        (of_case(ENTRIES / 10 - 1), 10),
        (of_correlation(20_000), 1),
        (of_correlation(ENTRIES - 1), 1),
        (of_correlation(ENTRIES), 0),
        (
            Query {
                subject: Some(customer(CUSTOMERS[1])),
                ..all.clone()
            },
            (ENTRIES + 1) / 3,
        ),
        (
            Query {
                subject: Some(customer("13897210066")),
                ..all.clone()
            },
            0,
        ),
        (of_day(2), 12_000),
        (of_day(1), 12_000),
        (of_day(0), ENTRIES - 24_000),
        (of_day(3), 0),
        (
            Query {
                consumer: Some(organization()),
                day: Some(day(1)),
                ..all.clone()
            },
            12_000,
        ),
        (all, ENTRIES),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_index_finds_what_reading_every_entry_finds_and_the_tail_is_read() {
    let (_folder, path) = indexed().await;
    let (keys, entries) = (ring(1, &[]), ENTRIES as u64);
    let verification = verify(&path, &keys, &[]);
    assert!(verification.holds(), "{:?}", verification.first_fault());
    for (query, expected) in queries() {
        let (found, looked) = search(&path, &keys, &query, Way::Index);
        assert_eq!(found.len(), expected, "{query:?}");
        assert_eq!(looked.indexed + looked.proved, entries, "{query:?}");
        let (read, all) = search(&path, &keys, &query, Way::Prove);
        let places = |records: &[kundeforhold::record::Record]| -> Vec<u64> {
            records.iter().map(|record| record.sequence).collect()
        };
        assert_eq!(places(&found), places(&read), "{query:?}");
        assert_eq!(
            all,
            Looked {
                indexed: 0,
                proved: entries
            }
        );
    }
    let by_correlation = Query {
        correlation: Some(Uuid::from_u128(5)),
        ..Query::default()
    };
    let (_, looked) = search(&path, &keys, &by_correlation, Way::Index);
    assert_eq!(
        looked,
        Looked {
            indexed: 2 * BATCH as u64,
            proved: 1_000
        }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_was_changed_is_found_and_reading_does_without_it() {
    let (_folder, path) = indexed().await;
    let keys = ring(1, &[]);
    let of = Query {
        correlation: Some(Uuid::from_u128(20_000)),
        ..Query::default()
    };
    let table = tamper(&path);
    let deleted = table.execute("DELETE FROM found_by WHERE sequence = 20001", []);
    assert!(deleted.unwrap() > 0);
    let told = fault(&path, &keys, &[]);
    assert!(
        told.contains("search index") && told.contains("16385 to 32768"),
        "{told}"
    );
    assert!(search(&path, &keys, &of, Way::Index).0.is_empty());
    assert_eq!(search(&path, &keys, &of, Way::Prove).0.len(), 1);
    assert!(table.execute("DELETE FROM days WHERE batch & 1 = 0", []).unwrap() > 0);
    assert!(fault(&path, &keys, &[]).contains("1 to 16384"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_pruned_goes_from_the_index_a_whole_batch_at_a_time() {
    let (_folder, path) = indexed().await;
    let keys = ring(1, &[]);
    let today = kundeforhold::domain::calendar::oslo_day(chrono::Utc::now());
    let count = |sql: &str| -> i64 { tamper(&path).query_row(sql, [], |row| row.get(0)).unwrap() };
    let of_first_batch = "SELECT count(*) FROM found_by WHERE batch & 1 = 0";
    for (days, pruned) in [(1, 12_000), (0, 24_000)] {
        let before = today - chrono::TimeDelta::days(days);
        let removed = record::prune(&in_file(&path), &keys, before, &clock_now()).unwrap();
        assert_eq!(removed[0].1.last, pruned);
        assert_eq!(count(of_first_batch) == 0, pruned > BATCH as u64);
        let verification = verify(&path, &keys, &[]);
        assert!(verification.holds(), "{:?}", verification.first_fault());
        for query in [
            Query {
                subject: Some(customer(CUSTOMERS[1])),
                ..Query::default()
            },
            Query {
                day: Some(before),
                ..Query::default()
            },
        ] {
            let (found, looked) = search(&path, &keys, &query, Way::Index);
            let (read, _) = search(&path, &keys, &query, Way::Prove);
            assert_eq!(found.len(), read.len());
            assert!(found.len() > 1_000);
            assert_eq!(looked.indexed + looked.proved, ENTRIES as u64 - pruned);
        }
    }
    assert!(count("SELECT count(*) FROM days WHERE batch & 1 = 0") == 0);
}

/// A batch that was begun and broken off is made anew.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_broken_off_is_indexed_anew() {
    let (_folder, path) = indexed().await;
    let table = tamper(&path);
    table.execute("UPDATE indexed SET batches = 1", []).unwrap();
    table
        .execute("DELETE FROM found_by WHERE sequence > 20000", [])
        .unwrap();
    drop(table);
    let keys = ring(1, &[]);
    assert!(verify(&path, &keys, &[]).holds(), "what is not indexed is read");
    let recorder = open(&path, ring(1, &[]));
    wait_until_indexed(&path, 2);
    recorder.close().await;
    let verification = verify(&path, &keys, &[]);
    assert!(verification.holds(), "{:?}", verification.first_fault());
    let found = search(
        &path,
        &keys,
        &Query {
            correlation: Some(Uuid::from_u128(20_000)),
            ..Query::default()
        },
        Way::Index,
    );
    assert_eq!(found.0.len(), 1);
}
