//! Going back to what a whole set replaced, one after the other.

use crate::deliveries::{
    WAIT, begin, change, finds, kar, now, publication, record, records, standing_records, whole_set,
};
use crate::place::on_each_engine;
use kundeforhold::domain::delivery::{DeliveryKind, DeliveryState};
use kundeforhold::store::{Filing, Receipt, RowWrite, Store, StoreError, Summary};
use tokio::task::block_in_place;
use uuid::Uuid;

/// Rolls a whole set back, as the delivery API does.
async fn roll_back(store: &Store, whole_set: Uuid) -> Receipt {
    let id = begin(store, kar(), DeliveryKind::Rollback).await;
    let (_, version, before) = now(store.whole_set(whole_set)).unwrap().unwrap();
    let mut discarded = vec![whole_set];
    discarded.extend(now(store.published_after(kar(), version)).unwrap());
    let lock = store.lock(kar(), WAIT).await.unwrap();
    assert_eq!(lock.state().unwrap().standing.whole_set, Some(whole_set));
    let written = block_in_place(|| {
        let mut merge = lock.merge().unwrap();
        let mut records = merge.records_at(version - 1);
        merge.replace(|| records.next_record()).unwrap();
        merge.finish()
    });
    let filing = Filing::Delivery {
        delivery_id: id,
        kind: DeliveryKind::Rollback,
        summary: Summary {
            discarded,
            ..Summary::default()
        },
        rejects: Vec::new(),
        idempotency: None,
    };
    let written: Result<_, StoreError> = written;
    let published = written.unwrap().publish(publication(filing, before)).await;
    published.unwrap().receipt
}

fn state_of(store: &Store, delivery: Uuid) -> DeliveryState {
    now(store.receipt(kar().bank, delivery)).unwrap().unwrap().state
}

#[test]
fn whole_sets_are_rolled_back_one_after_the_other_with_what_came_between() {
    on_each_engine(async |place| {
        let store = place.open();
        let (first, second, third) = (records(0..1_200), records(300..900), records(600..2_500));
        let d1 = whole_set(&store, kar(), &first).await;
        let early = change(&store, kar(), vec![RowWrite::End(first[0].clone())]).await;
        let before_second = standing_records(&store, kar()).await;
        let fresh = store.sets().standing(kar());
        let d2 = whole_set(&store, kar(), &second).await;
        let between = change(&store, kar(), vec![RowWrite::Insert(record(9_000, 9_000))]).await;
        let before_third = standing_records(&store, kar()).await;
        let d3 = whole_set(&store, kar(), &third).await;
        let later = change(&store, kar(), vec![RowWrite::Insert(record(9_001, 9_001))]).await;
        assert_eq!(state_of(&store, d2.delivery_id), DeliveryState::Superseded);

        let receipt = roll_back(&store, d3.delivery_id).await;
        assert_eq!(receipt.summary.discarded, [d3.delivery_id, later.delivery_id]);
        assert_eq!(standing_records(&store, kar()).await, before_third);
        assert!(before_third.iter().all(|record| finds(&store, record)));
        assert!(!finds(&store, &record(9_001, 9_001)) && finds(&store, &record(9_000, 9_000)));
        for (delivery, state) in [
            (&d3, DeliveryState::RolledBack),
            (&later, DeliveryState::RolledBack),
            (&between, DeliveryState::Published),
            (&d2, DeliveryState::Published),
            (&d1, DeliveryState::Superseded),
        ] {
            assert_eq!(state_of(&store, delivery.delivery_id), state);
        }

        let receipt = roll_back(&store, d2.delivery_id).await;
        assert_eq!(receipt.summary.discarded, [d2.delivery_id, between.delivery_id]);
        assert_eq!(standing_records(&store, kar()).await, before_second);
        assert_eq!(store.sets().standing(kar()), fresh, "as fresh as it was");
        assert_eq!(state_of(&store, d1.delivery_id), DeliveryState::Published);
        assert_eq!(state_of(&store, early.delivery_id), DeliveryState::Published);
        assert_eq!(store.sets().get(kar()).unwrap().version, 8);
    });
}

#[test]
fn a_whole_set_can_come_after_a_rollback_and_be_rolled_back_too() {
    on_each_engine(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..10)).await;
        let d2 = whole_set(&store, kar(), &records(5..15)).await;
        roll_back(&store, d2.delivery_id).await;
        let d3 = whole_set(&store, kar(), &records(5..25)).await;
        assert_eq!(standing_records(&store, kar()).await, records(5..25));
        roll_back(&store, d3.delivery_id).await;
        assert_eq!(standing_records(&store, kar()).await, records(0..10));
        let killed = place.after_kill();
        let store_again = killed.open();
        assert_eq!(standing_records(&store_again, kar()).await, records(0..10));
        assert_eq!(state_of(&store_again, d3.delivery_id), DeliveryState::RolledBack);
    });
}

#[test]
fn a_rolled_back_delivery_binds_no_key() {
    on_each_engine(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..10)).await;
        let id = begin(&store, kar(), DeliveryKind::WholeSet).await;
        let written =
            crate::deliveries::write(store.lock(kar(), WAIT).await.unwrap(), &records(0..3)).unwrap();
        let filing = Filing::Delivery {
            delivery_id: id,
            kind: DeliveryKind::WholeSet,
            summary: Summary {
                sha256: Some([1; 32]),
                ..Summary::default()
            },
            rejects: Vec::new(),
            idempotency: Some([2; 32]),
        };
        let standing = crate::deliveries::standing(id, &records(0..3));
        written.publish(publication(filing, standing)).await.unwrap();
        let since = crate::deliveries::a_moment_ago();
        let used = || now(store.key_use(kar(), DeliveryKind::WholeSet, [2; 32], since)).unwrap();
        assert!(used().is_some());
        roll_back(&store, id).await;
        assert_eq!(used(), None);
    });
}
