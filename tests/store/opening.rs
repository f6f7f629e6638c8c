//! Who may open a store, and what a former process has left.

use crate::deliveries::{begin, change, finds, kar, now, records, standing_records, whole_set};
use crate::place::{Place, on_each_engine, on_sqlite, ring};
use kundeforhold::domain::delivery::{DeliveryKind, DeliveryState};
use kundeforhold::pseudonym::PseudonymRing;
use kundeforhold::store::{RowWrite, Store, StoreError, StorePlace};

#[test]
fn what_was_acknowledged_is_there_after_a_kill_and_what_was_received_is_abandoned() {
    on_each_engine(async |place| {
        let store = place.open();
        let mut expected = records(0..500);
        whole_set(&store, kar(), &expected).await;
        let gone = expected.remove(0);
        change(&store, kar(), vec![RowWrite::End(gone.clone())]).await;
        let id = begin(&store, kar(), DeliveryKind::WholeSet).await;
        let (state, last) = (store.sets().get(kar()).cloned(), store.publications().last());
        let killed = place.after_kill();
        let store = killed.open();
        assert_eq!(store.sets().get(kar()).cloned(), state);
        assert_eq!(store.publications().last(), last);
        assert_eq!(standing_records(&store, kar()).await, expected);
        assert!(!finds(&store, &gone));
        let receipt = store.receipt(kar().bank, id).await.unwrap().unwrap();
        assert_eq!(receipt.state, DeliveryState::Abandoned);
        assert!(receipt.reason.is_some());
        whole_set(&store, kar(), &records(0..3)).await;
    });
}

#[test]
fn a_store_is_served_by_one_process_and_can_be_opened_again_once_it_is_closed() {
    on_sqlite(async |place| {
        let StorePlace::Sqlite(path) = place.address() else {
            panic!("of another engine");
        };
        let store = place.open();
        assert_eq!(
            place.open_with(ring(1, None)).err(),
            Some(StoreError::InUse(path.clone()))
        );
        store.close();
        assert_eq!(
            place.open_with(ring(1, None)).err(),
            Some(StoreError::InUse(path))
        );
        drop(store);
        drop(place.open());
        assert!(place.open().is_writable());
    });
}

#[test]
fn another_key_is_refused_and_a_look_says_so_too() {
    on_each_engine(async |place| {
        let look = |keys: &PseudonymRing| now(Store::look(&place.address(), keys));
        assert_eq!(look(&ring(1, None)), Ok(None));
        let store = place.open();
        whole_set(&store, kar(), &records(0..3)).await;
        let sets = store.sets();
        assert_eq!(look(&ring(1, None)).unwrap().as_ref(), Some(&*sets));
        drop(store);
        assert_eq!(place.open_with(ring(2, None)).err(), Some(StoreError::OtherKey));
        assert_eq!(look(&ring(2, None)), Err(StoreError::OtherKey));
        assert_eq!(standing_records(&place.open(), kar()).await, records(0..3));
    });
}

#[test]
fn a_newer_schema_is_refused() {
    on_each_engine(async |place: Place| {
        drop(place.open());
        place.run("INSERT INTO schema_versions VALUES (99, 98, 0)");
        let known = place.database().map_or(1, |_| 2);
        let newer = StoreError::Newer { found: 99, known };
        assert_eq!(place.open_with(ring(1, None)).err(), Some(newer.clone()));
        assert_eq!(now(Store::migrate(&place.address())), Err(newer.clone()));
        assert_eq!(now(Store::look(&place.address(), &ring(1, None))), Err(newer));
    });
}

#[test]
fn a_closed_store_takes_nothing_more() {
    on_each_engine(async |place| {
        let store = place.open();
        let lock = store.lock(kar(), crate::deliveries::WAIT).await.unwrap();
        store.close();
        let begun = crate::deliveries::begun(kar(), DeliveryKind::Changes);
        assert_eq!(lock.begin(begun).await, Err(StoreError::Closed));
        assert_eq!(store.probe().await, Err(StoreError::Closed));
    });
}
