//! A whole set is seen at once, when it is published, and only what differs is written.

use crate::deliveries::{
    WAIT, begin, change, filing, finds, kar, kfr, other_terms, publication, publish, record, records,
    records_at, standing, standing_records, whole_set, write,
};
use crate::place::on_each_engine;
use kundeforhold::domain::delivery::{DeliveryKind, DeliveryState};
use kundeforhold::store::{RowWrite, SealedRecord, StoreError};
use std::time::Duration;

#[test]
fn lookups_see_the_former_set_until_the_switch_and_then_the_new_one() {
    on_each_engine(async |place| {
        let store = place.open();
        let former = records(0..1_500);
        whole_set(&store, kar(), &former).await;
        let mut new = records(500..2_500);
        new[7] = other_terms(&new[7]);
        let id = begin(&store, kar(), DeliveryKind::WholeSet).await;
        let written = write(store.lock(kar(), WAIT).await.unwrap(), &new).unwrap();
        assert!(former.iter().all(|record| finds(&store, record)));
        assert!(!finds(&store, &record(2_000, 2_000)));
        let filing = filing(id, DeliveryKind::WholeSet);
        let published = written
            .publish(publication(filing, standing(id, &new)))
            .await
            .unwrap();
        assert_eq!(published.receipt.state, DeliveryState::Published);
        assert!(new.iter().all(|record| finds(&store, record)));
        assert!(!finds(&store, &record(100, 100)));
        assert_eq!(standing_records(&store, kar()).await, new);
        assert_eq!(records_at(&store, kar(), 1).await, former);
        let state = store.sets().get(kar()).cloned().unwrap();
        assert_eq!((state.version, state.standing.records), (2, 2_000));
        assert!(state.standing.last_delivery.is_some() && state.standing.loaded);
    });
}

#[test]
fn sets_of_two_registers_do_not_touch_each_other() {
    on_each_engine(async |place| {
        let store = place.open();
        let (one, other) = (records(0..50), records(25..75));
        whole_set(&store, kar(), &one).await;
        whole_set(&store, kfr(), &other).await;
        whole_set(&store, kar(), &[]).await;
        assert_eq!(standing_records(&store, kar()).await, []);
        assert_eq!(standing_records(&store, kfr()).await, other);
    });
}

#[test]
fn who_meets_a_merge_waits_so_long_and_no_other_set_waits() {
    on_each_engine(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..10)).await;
        let written = write(store.lock(kar(), WAIT).await.unwrap(), &records(0..20)).unwrap();
        let refused = store.lock(kar(), Duration::from_millis(30)).await.err();
        assert_eq!(refused, Some(StoreError::SetBusy));
        whole_set(&store, kfr(), &records(0..10)).await;
        drop(written);
        assert!(store.lock(kar(), WAIT).await.is_ok());
    });
}

#[test]
fn changes_stand_at_once_and_the_former_version_is_kept() {
    on_each_engine(async |place| {
        let store = place.open();
        let former = records(0..20);
        whole_set(&store, kar(), &former).await;
        let (ended, replaced, added) = (&former[0], other_terms(&former[1]), record(99, 98));
        let writes = vec![
            RowWrite::End(ended.clone()),
            RowWrite::Replace(replaced.clone()),
            RowWrite::Insert(added.clone()),
        ];
        let receipt = change(&store, kar(), writes).await;
        assert_eq!(receipt.kind, DeliveryKind::Changes);
        assert!(finds(&store, &added) && finds(&store, &replaced) && !finds(&store, ended));
        let mut expected = former[2..].to_vec();
        expected.extend([replaced, added]);
        expected.sort_by(SealedRecord::cmp_identity);
        assert_eq!(standing_records(&store, kar()).await, expected);
        assert_eq!(records_at(&store, kar(), 1).await, former);
    });
}

#[test]
fn a_write_at_odds_with_what_stands_changes_nothing_at_all() {
    on_each_engine(async |place| {
        let store = place.open();
        let former = records(0..20);
        whole_set(&store, kar(), &former).await;
        let id = begin(&store, kar(), DeliveryKind::Changes).await;
        let lock = store.lock(kar(), WAIT).await.unwrap();
        let mut refused = publication(filing(id, DeliveryKind::Changes), lock.state().unwrap().standing);
        refused.writes = vec![RowWrite::Insert(record(50, 50)), RowWrite::End(record(51, 51))];
        assert!(matches!(lock.publish(refused).await, Err(StoreError::Damaged(_))));
        assert_eq!(standing_records(&store, kar()).await, former);
        assert!(!finds(&store, &record(50, 50)));
        assert_eq!(store.sets().get(kar()).unwrap().version, 1);
    });
}

#[test]
fn one_delivery_a_set_is_received_at_a_time() {
    on_each_engine(async |place| {
        let store = place.open();
        let id = begin(&store, kar(), DeliveryKind::WholeSet).await;
        let second = crate::deliveries::begun(kar(), DeliveryKind::Changes);
        let lock = store.lock(kar(), WAIT).await.unwrap();
        assert_eq!(lock.begin(second).await, Ok(Err(id)));
        begin(&store, kfr(), DeliveryKind::Changes).await;
        publish(&store, kar(), id, &records(0..3)).await.unwrap();
        begin(&store, kar(), DeliveryKind::Changes).await;
        // What is no longer received is not published, and leaves no trace.
        let again = publish(&store, kar(), id, &records(0..4)).await;
        assert_eq!(again, Err(StoreError::NotReceiving));
        assert_eq!(standing_records(&store, kar()).await, records(0..3));
    });
}

/// A customer may have a great many accounts that a change has nothing to do with.
#[test]
fn a_change_reads_the_records_of_its_customer_and_agreement_that_stand() {
    on_each_engine(async |place| {
        let store = place.open();
        let mut of_one: Vec<_> = (0..50).map(|n| record(7, n)).collect();
        of_one.push(record(8, 3));
        of_one.sort_by(SealedRecord::cmp_identity);
        whole_set(&store, kar(), &of_one).await;
        let replaced = other_terms(&record(7, 3));
        change(&store, kar(), vec![RowWrite::Replace(replaced.clone())]).await;
        let lock = store.lock(kar(), WAIT).await.unwrap();
        let read = lock.records_of(&replaced.customer, &replaced.agreement).await;
        assert_eq!(read, Ok(vec![replaced]));
        let unknown = record(7, 99);
        assert_eq!(
            lock.records_of(&unknown.customer, &unknown.agreement).await,
            Ok(Vec::new())
        );
    });
}
