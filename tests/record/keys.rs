//! The record's own ring of keys, and searching by each of them.

use crate::table::{
    CUSTOMERS, begin, customer, fault, head, open, organization, place, record, ring, search, verify,
};
use kundeforhold::record::{KeptHead, Query, Way};
use std::collections::BTreeSet;
use uuid::Uuid;

#[tokio::test]
async fn a_record_is_read_by_former_keys_after_the_key_was_changed() {
    let (_folder, path) = place();
    let recorder = open(&path, ring(1, &[]));
    record(&recorder, 0..300, 0).await;
    let before = head(&recorder);
    recorder.close().await;
    let recorder = open(&path, ring(2, &[1]));
    record(&recorder, 300..600, 0).await;
    let after = head(&recorder);
    recorder.close().await;
    assert_eq!(before.instance, after.instance, "the chain is gone on with");

    let verification = verify(&path, &ring(2, &[1]), &[before, after]);
    assert!(verification.holds(), "{:?}", verification.first_fault());
    assert_eq!(verification.proofs[0].entries, 600);
    for without_one in [ring(2, &[]), ring(1, &[])] {
        assert!(fault(&path, &without_one, &[]).contains("key that is not in the ring"));
    }

    let query = Query {
        subject: Some(customer(CUSTOMERS[1])),
        ..Query::default()
    };
    let (found, _) = search(&path, &ring(2, &[1]), &query, Way::Index);
    assert_eq!(found.len(), 200);
    let keys: BTreeSet<_> = found.iter().map(|record| &record.key).collect();
    let pseudonyms: BTreeSet<_> = found.iter().map(|record| &record.customer).collect();
    assert_eq!((keys.len(), pseudonyms.len()), (2, 2), "each entry names its key");
}

#[tokio::test]
async fn search_by_each_criterion_goes_over_all_chains() {
    let (_folder, path) = place();
    for start in [0, 1000] {
        let recorder = begin(&path, ring(1, &[]));
        record(&recorder, start..start + 100, 3).await;
        record(&recorder, start + 100..start + 200, 0).await;
        recorder.close().await;
    }
    let find = |query: &Query| search(&path, &ring(1, &[]), query, Way::Index).0;
    let days_ago =
        |days| kundeforhold::domain::calendar::oslo_day(chrono::Utc::now() - chrono::TimeDelta::days(days));
    let all = Query::default();
    for (query, expected) in [
        (all.clone(), 400),
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
        assert_eq!(find(&query).len(), expected, "{query:?}");
    }
    let instances: BTreeSet<_> = find(&all).into_iter().map(|record| record.instance).collect();
    assert_eq!(instances.len(), 2);
}

#[tokio::test]
async fn a_published_head_is_taken_only_with_its_mac() {
    let (_folder, path) = place();
    let recorder = open(&path, ring(1, &[]));
    record(&recorder, 0..10, 0).await;
    let published = recorder.head();
    let line = serde_json::to_string(&published).unwrap();
    let taken = KeptHead::parse_line(&line, &ring(2, &[1])).unwrap().unwrap();
    assert_eq!(taken, head(&recorder));
    assert_eq!(taken.instance, Some(published.instance));
    for (genuine, forged) in [
        ("\"sequence\":10", "\"sequence\":9"),
        ("\"heads\":\"1:", "\"heads\":\"2:"),
    ] {
        assert!(line.contains(genuine), "{line}");
        let forged = KeptHead::parse_line(&line.replace(genuine, forged), &ring(1, &[]));
        assert!(forged.unwrap_err().to_string().contains("forged"));
    }
    assert!(KeptHead::parse_line(&line, &ring(2, &[])).is_err());
    let plain = KeptHead::parse_line(&format!("10:{}", published.hash), &ring(2, &[]))
        .unwrap()
        .unwrap();
    assert_eq!((plain.head.sequence, plain.instance), (10, None));
    for other in ["", "{\"message\":\"request\"}"] {
        assert_eq!(KeptHead::parse_line(other, &ring(1, &[])), Ok(None));
    }
    for bad in ["10", "x:00", "10:00", "{"] {
        assert!(KeptHead::parse_line(bad, &ring(1, &[])).is_err(), "{bad}");
    }
}
