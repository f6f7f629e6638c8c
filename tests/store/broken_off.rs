//! A merge that is broken off at any step leaves nothing that is ever seen.

use crate::deliveries::{
    WAIT, change, customer, finds, held_by, kar, kfr, merge, record, records, standing_records, whole_set,
    write,
};
use crate::place::on_each_engine;
use kundeforhold::store::{RowWrite, SealedRecord, Store, StoreError};
use tokio::task::block_in_place;

/// What stood, once more, and after a change, which counts the version up.
async fn holds_only(store: &Store, expected: &[SealedRecord]) {
    assert_eq!(standing_records(store, kar()).await, expected);
    change(store, kar(), Vec::new()).await;
    assert_eq!(standing_records(store, kar()).await, expected);
    for record in expected {
        assert!(finds(store, record));
    }
}

#[test]
fn a_merge_that_is_dropped_at_any_step_is_swept() {
    on_each_engine(async |place| {
        let store = place.open();
        let former = records(0..300);
        whole_set(&store, kar(), &former).await;
        whole_set(&store, kfr(), &records(0..10)).await;
        for rows in [1, 999, 1_000, 1_001, 2_000, 3_000, 3_001, 4_500] {
            let mut merge = merge(&store, kar()).await;
            block_in_place(|| {
                merge.write(RowWrite::End(former[3].clone())).unwrap();
                for n in 1..rows {
                    merge.write(RowWrite::Insert(record(10_000 + n, n))).unwrap();
                }
            });
            drop(merge);
            holds_only(&store, &former).await;
            assert!(!finds(&store, &record(10_001, 1)), "{rows} rows");
        }
        assert_eq!(standing_records(&store, kfr()).await, records(0..10));
    });
}

#[test]
fn a_merge_that_is_finished_and_not_published_is_swept() {
    on_each_engine(async |place| {
        let store = place.open();
        let former = records(0..1_300);
        whole_set(&store, kar(), &former).await;
        drop(write(store.lock(kar(), WAIT).await.unwrap(), &records(700..4_000)).unwrap());
        holds_only(&store, &former).await;
        // The same rows can be written anew.
        whole_set(&store, kar(), &records(700..4_000)).await;
        holds_only(&store, &records(700..4_000)).await;
    });
}

#[test]
fn what_a_kill_amid_a_merge_has_left_is_swept() {
    on_each_engine(async |place| {
        let store = place.open();
        let former = records(0..1_300);
        whole_set(&store, kar(), &former).await;
        let written = write(store.lock(kar(), WAIT).await.unwrap(), &records(700..4_000)).unwrap();
        let killed = place.after_kill();
        let left = killed.open();
        for record in &former {
            assert!(finds(&left, record));
        }
        assert!(!finds(&left, &record(2_000, 2_000)));
        left.sweep().await.unwrap();
        holds_only(&left, &former).await;
        drop(written);
    });
}

/// A step that fails leaves its set marked, if any other of the merge is done.
#[test]
fn a_merge_whose_first_step_fails_is_swept_even_after_a_kill() {
    on_each_engine(async |place| {
        let store = place.open();
        let former = records(0..300);
        whole_set(&store, kar(), &former).await;
        let mut broken = merge(&store, kar()).await;
        let failed = block_in_place(|| {
            // Nothing of these stands, so the first step fails; the ones behind it do not.
            (0..1_000).try_for_each(|n| broken.write(RowWrite::End(record(5_000 + n, n))))?;
            (0..2_999).try_for_each(|n| broken.write(RowWrite::Insert(record(10_000 + n, n))))?;
            broken.finish().map(drop)
        });
        assert!(matches!(failed, Err(StoreError::Damaged(_))));
        // What waits is done before this.
        whole_set(&store, kfr(), &records(0..3_000)).await;
        let killed = place.after_kill();
        let left = killed.open();
        holds_only(&left, &former).await;
        assert!(held_by(&left, &customer(10_001)).is_empty());
        holds_only(&store, &former).await;
    });
}

/// Removing the records of a customer with many accounts takes no longer for each than of others.
#[test]
fn many_accounts_of_one_customer_are_removed_one_like_the_other() {
    on_each_engine(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..10)).await;
        let mut of_one: Vec<_> = (0..8_000).map(|n| record(500, n)).collect();
        of_one.sort_by(SealedRecord::cmp_identity);
        let mut of_many: Vec<_> = (0..8_000).map(|n| record(500 + n, n)).collect();
        of_many.sort_by(SealedRecord::cmp_identity);
        let mut took = Vec::new();
        for records in [of_many, of_one] {
            drop(write(store.lock(kar(), WAIT).await.unwrap(), &records).unwrap());
            let since = std::time::Instant::now();
            drop(store.lock(kar(), WAIT).await.unwrap());
            took.push(since.elapsed());
        }
        assert!(took[1] < took[0] * 5, "{took:?}");
    });
}
