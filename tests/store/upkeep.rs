//! What is kept no longer goes, and what a rollback needs does not.

use crate::deliveries::{
    WAIT, begin, change, finds, kar, record, records, records_at, standing_records, whole_set,
};
use crate::place::on_each_engine;
use chrono::TimeDelta;
use kundeforhold::domain::delivery::{DeliveryKind, Reject};
use kundeforhold::store::{DeliveryEnd, Kept, RowWrite, SealedRecord, Store, StoreError, Summary};
use kundeforhold::workers::Workers;

/// Everything that may go goes.
const NOTHING: Kept = Kept {
    rollback: TimeDelta::seconds(-10),
    receipts: TimeDelta::seconds(-10),
    rejects: TimeDelta::seconds(-10),
    publications: TimeDelta::seconds(-10),
};

/// As the service does it: on a thread for heavy work.
async fn purge(store: &Store, kept: Kept) -> Result<u64, StoreError> {
    let (store, workers) = (store.clone(), Workers::start("test", 1).unwrap());
    let purge = move || store.purge(&kept, &store.judge_clock()?);
    workers.run(purge).await.unwrap()
}

#[test]
fn rows_of_former_versions_go_once_nobody_goes_back_to_them() {
    on_each_engine(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..1_000)).await;
        whole_set(&store, kar(), &records(500..1_500)).await;
        let kept = Kept {
            rollback: TimeDelta::days(1),
            ..NOTHING
        };
        assert_eq!(purge(&store, kept).await, Ok(0));
        assert_eq!(records_at(&store, kar(), 1).await, records(0..1_000));
        assert_eq!(purge(&store, NOTHING).await, Ok(500));
        assert_eq!(store.sets().get(kar()).unwrap().kept_from, 2);
        assert_eq!(place.count("relationships"), 1_000);
        assert!(place.accounts().is_none_or(|rows| rows == 1_000));
        assert_eq!(standing_records(&store, kar()).await, records(500..1_500));
        assert!(records(500..1_500).iter().all(|record| finds(&store, record)));
        // An account goes to another customer, and comes back.
        change(&store, kar(), vec![RowWrite::End(record(700, 700))]).await;
        assert_eq!(purge(&store, NOTHING).await, Ok(1));
        assert!(place.accounts().is_none_or(|rows| rows == 999));
        change(&store, kar(), vec![RowWrite::Insert(record(700, 700))]).await;
        assert!(finds(&store, &record(700, 700)));
    });
}

#[test]
fn a_set_that_is_being_written_is_left_for_another_time() {
    on_each_engine(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..10)).await;
        whole_set(&store, kar(), &records(5..10)).await;
        let lock = store.lock(kar(), WAIT).await.unwrap();
        assert_eq!(purge(&store, NOTHING).await, Ok(0));
        drop(lock);
        assert_eq!(purge(&store, NOTHING).await, Ok(5));
    });
}

#[test]
fn what_is_left_of_a_merge_is_swept_before_rows_go() {
    on_each_engine(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..10)).await;
        whole_set(&store, kar(), &records(5..10)).await;
        let lock = store.lock(kar(), WAIT).await.unwrap();
        drop(crate::deliveries::write(lock, &records(20..40)).unwrap());
        assert_eq!(purge(&store, NOTHING).await, Ok(5));
        assert_eq!(standing_records(&store, kar()).await, records(5..10));
        assert_eq!(place.count("relationships"), 5);
    });
}

#[test]
fn receipts_that_a_rollback_needs_stay_however_short_they_are_kept() {
    on_each_engine(async |place| {
        let store = place.open();
        let first = whole_set(&store, kar(), &records(0..10)).await;
        let between = change(&store, kar(), vec![RowWrite::End(record(1, 1))]).await;
        let second = whole_set(&store, kar(), &records(0..12)).await;
        let later = change(&store, kar(), vec![RowWrite::End(record(2, 2))]).await;
        let kept = Kept {
            rollback: TimeDelta::days(1),
            ..NOTHING
        };
        purge(&store, kept).await.unwrap();
        for needed in [&first, &between, &second, &later] {
            assert!(
                store
                    .receipt(kar().bank, needed.delivery_id)
                    .await
                    .unwrap()
                    .is_some()
            );
        }
        let (_, version, _) = store.whole_set(second.delivery_id).await.unwrap().unwrap();
        assert_eq!(
            store.published_after(kar(), version).await,
            Ok(vec![later.delivery_id])
        );
        // The whole set that stands keeps its receipt.
        purge(&store, NOTHING).await.unwrap();
        purge(&store, NOTHING).await.unwrap();
        let left = store.receipts(kar().bank, 10, None).await.unwrap();
        let left: Vec<_> = left.iter().map(|receipt| receipt.delivery_id).collect();
        assert_eq!(left, [second.delivery_id]);
    });
}

#[test]
fn rejected_lines_go_with_their_receipt_at_the_latest() {
    on_each_engine(async |place| {
        let store = place.open();
        let id = begin(&store, kar(), DeliveryKind::WholeSet).await;
        let rejects = (1..5).map(|line| Reject {
            line,
            faults: Vec::new(),
        });
        let end = DeliveryEnd::Rejected {
            reason: "4 lines were rejected".to_owned(),
            summary: Summary::default(),
            rejects: rejects.collect(),
            idempotency: None,
        };
        store.end_delivery(id, end).await.unwrap();
        let kept = Kept {
            rejects: TimeDelta::days(90),
            receipts: TimeDelta::days(90),
            ..NOTHING
        };
        purge(&store, kept).await.unwrap();
        assert_eq!(store.rejects(id).await.unwrap().len(), 4);
        let kept = Kept {
            rejects: TimeDelta::days(90),
            ..NOTHING
        };
        purge(&store, kept).await.unwrap();
        assert_eq!(store.receipt(kar().bank, id).await, Ok(None));
        assert_eq!(store.rejects(id).await, Ok(Vec::new()));
    });
}

#[test]
fn of_publications_the_last_stays_and_numbers_go_on() {
    on_each_engine(async |place| {
        let store = place.open();
        for n in 0..5 {
            change(&store, kar(), vec![RowWrite::Insert(record(n, n))]).await;
        }
        let last = store.publications().last().unwrap();
        purge(&store, NOTHING).await.unwrap();
        assert_eq!(place.count("publications"), 1);
        let killed = place.after_kill();
        let store = killed.open();
        assert_eq!(store.publications().last(), Some(last));
        change(&store, kar(), Vec::new()).await;
        assert_eq!(store.publications().last().unwrap().number, last.number + 1);
        let mut expected: Vec<_> = (0..5).map(|n| record(n, n)).collect();
        expected.sort_by(SealedRecord::cmp_identity);
        assert_eq!(standing_records(&store, kar()).await, expected);
    });
}

#[test]
fn what_is_kept_for_a_very_long_time_is_kept() {
    on_each_engine(async |place| {
        let store = place.open();
        let receipt = whole_set(&store, kar(), &records(0..10)).await;
        whole_set(&store, kar(), &records(0..5)).await;
        for days in [36_500, i64::from(u32::MAX)] {
            let kept = TimeDelta::days(days);
            let kept = Kept {
                rollback: kept,
                receipts: kept,
                rejects: kept,
                publications: kept,
            };
            assert_eq!(purge(&store, kept).await, Ok(0));
        }
        assert!(
            store
                .receipt(kar().bank, receipt.delivery_id)
                .await
                .unwrap()
                .is_some()
        );
        assert_eq!(records_at(&store, kar(), 1).await, records(0..10));
    });
}
