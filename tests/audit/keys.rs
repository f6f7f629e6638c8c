//! The record's own ring of keys, and searching by each of them.

use crate::log::{CUSTOMERS, customer, fault, head, open, organization, record, ring, search, verify};
use kundeforhold::audit::{KeptHead, Query};
use std::collections::BTreeSet;
use uuid::Uuid;

const SEGMENT_BYTES: u64 = 20_000;

#[tokio::test]
async fn a_log_is_read_by_former_keys_after_the_key_was_changed() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = open(folder.path(), ring(1, &[]), SEGMENT_BYTES);
    record(&recorder, 0..300, 0).await;
    let before = head(&recorder);
    recorder.close().await;
    let recorder = open(folder.path(), ring(2, &[1]), SEGMENT_BYTES);
    record(&recorder, 300..600, 0).await;
    let after = head(&recorder);
    recorder.close().await;
    assert_eq!(
        before.instance, after.instance,
        "the instance stays with its folder"
    );

    let verification = verify(folder.path(), &ring(2, &[1]), &[before, after]);
    assert!(verification.holds(), "{:?}", verification.first_fault());
    assert_eq!(verification.proofs[0].entries, 600);
    assert!(fault(folder.path(), &ring(2, &[]), &[]).contains("key that is not in the ring"));
    assert!(fault(folder.path(), &ring(1, &[]), &[]).contains("entry"));

    let folders = [folder.path().to_owned()];
    let query = Query {
        subject: Some(customer(CUSTOMERS[1])),
        ..Query::default()
    };
    let found = search(&folders, &ring(2, &[1]), &query);
    assert_eq!(found.len(), 200);
    let keys: BTreeSet<_> = found.iter().map(|record| &record.key).collect();
    let pseudonyms: BTreeSet<_> = found.iter().map(|record| &record.customer).collect();
    assert_eq!((keys.len(), pseudonyms.len()), (2, 2), "each entry names its key");
}

#[tokio::test]
async fn search_by_each_criterion_goes_over_several_folders() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    for (folder, start) in folders.iter().zip([0, 1000]) {
        let recorder = open(folder.path(), ring(1, &[]), SEGMENT_BYTES);
        record(&recorder, start..start + 100, 3).await;
        record(&recorder, start + 100..start + 200, 0).await;
        recorder.close().await;
    }
    let paths = folders.map(|folder| folder.keep());
    let count = |query: Query| search(&paths, &ring(1, &[]), &query).len();
    let days_ago =
        |days| kundeforhold::domain::calendar::oslo_day(chrono::Utc::now() - chrono::Duration::days(days));
    let all = Query::default();
    assert_eq!(count(all.clone()), 400);
    for (query, expected) in [
        (
            Query {
                case: Some(Uuid::from_u128(100)),
                ..all.clone()
            },
            10,
        ),
        (
            Query {
                correlation: Some(Uuid::from_u128(1003)),
                ..all.clone()
            },
            1,
        ),
        (
            Query {
                correlation: Some(Uuid::from_u128(7777)),
                ..all.clone()
            },
            0,
        ),
        (
            Query {
                consumer: Some(organization()),
                ..all.clone()
            },
            400,
        ),
        (
            Query {
                day: Some(days_ago(3)),
                ..all.clone()
            },
            200,
        ),
        (
            Query {
                day: Some(days_ago(1)),
                ..all.clone()
            },
            0,
        ),
        (
            Query {
                subject: Some(customer(CUSTOMERS[0])),
                ..all.clone()
            },
            133,
        ),
        (
            Query {
                subject: Some(customer(CUSTOMERS[0])),
                case: Some(Uuid::from_u128(0)),
                ..all.clone()
            },
            4,
        ),
        (
            Query {
                subject: Some(customer("13897210066")),
                ..all.clone()
            },
            0,
        ),
    ] {
        assert_eq!(count(query.clone()), expected, "{query:?}");
    }
    let instances: BTreeSet<_> = search(&paths, &ring(1, &[]), &all)
        .into_iter()
        .map(|record| record.instance)
        .collect();
    assert_eq!(instances.len(), 2);
    paths
        .iter()
        .for_each(|path| std::fs::remove_dir_all(path).unwrap());
}

#[tokio::test]
async fn a_published_head_is_taken_only_with_its_mac() {
    let folder = tempfile::tempdir().unwrap();
    let recorder = open(folder.path(), ring(1, &[]), SEGMENT_BYTES);
    record(&recorder, 0..10, 0).await;
    let line = serde_json::to_string(&recorder.head()).unwrap();
    let hash = recorder.head().hash;
    let taken = KeptHead::parse_line(&line, &ring(2, &[1])).unwrap().unwrap();
    assert_eq!(taken, head(&recorder));
    let forged = line.replace("\"sequence\":10", "\"sequence\":9");
    assert!(
        KeptHead::parse_line(&forged, &ring(1, &[]))
            .unwrap_err()
            .to_string()
            .contains("forged")
    );
    assert!(KeptHead::parse_line(&line, &ring(2, &[])).is_err());
    let plain = KeptHead::parse_line(&format!("10:{hash}"), &ring(2, &[]))
        .unwrap()
        .unwrap();
    assert_eq!((plain.sequence, plain.instance), (10, None));
    for other in ["", "{\"message\":\"request\"}"] {
        assert_eq!(KeptHead::parse_line(other, &ring(1, &[])), Ok(None));
    }
    for bad in ["10", "x:00", "10:00", "{"] {
        assert!(KeptHead::parse_line(bad, &ring(1, &[])).is_err(), "{bad}");
    }
}
