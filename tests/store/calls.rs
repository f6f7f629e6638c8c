//! KFR calls that come while a whole set is received are kept for it, in their order.

use crate::deliveries::{
    WAIT, begin, begun, call, customer, finds, kar, kfr, merge, publication, publish, record, records,
    registration, standing_records, today, whole_set,
};
use crate::place::on_each_engine;
use kundeforhold::domain::delivery::DeliveryKind;
use kundeforhold::store::{DeliveryEnd, Filing, RowWrite, SealedRecord, SetChange, Store, Summary};
use tokio::task::block_in_place;

fn deregistration(n: u32, is_explicit: bool) -> SetChange {
    SetChange::Deregister {
        customer: customer(n),
        to: today(),
        on: today(),
        is_explicit,
    }
}

/// What is kept for a merge that begins now, `most` customers a read.
async fn kept(store: &Store, most: usize) -> Vec<SetChange> {
    let merge = merge(store, kfr()).await;
    let (calls, mut kept, mut after) = (merge.calls(), Vec::new(), Vec::new());
    block_in_place(|| {
        loop {
            let read = calls.of_customers_after(&after, most).unwrap();
            let Some(last) = read.last() else { return kept };
            after = last.customer().as_bytes().to_vec();
            kept.extend(read);
        }
    })
}

/// In the order of customers, and those of a customer as they came.
fn in_order(calls: &[SetChange]) -> Vec<SetChange> {
    let mut calls = calls.to_vec();
    calls.sort_by(|one, other| one.customer().as_bytes().cmp(other.customer().as_bytes()));
    calls
}

#[test]
fn calls_stand_at_once_and_are_kept_for_the_whole_set_that_is_received() {
    on_each_engine(async |place| {
        let store = place.open();
        whole_set(&store, kfr(), &records(0..5)).await;
        call(&store, kfr(), Vec::new(), vec![registration(70)]).await;
        assert_eq!(kept(&store, 10).await, [], "nothing is received");
        let id = begin(&store, kfr(), DeliveryKind::WholeSet).await;
        let mut made = Vec::new();
        for n in [9, 8, 7, 9, 8, 9] {
            let added = record(n, 100 + made.len() as u32);
            let change = match made.len() {
                0..3 => registration(n),
                sent => deregistration(n, sent == 4),
            };
            call(
                &store,
                kfr(),
                vec![RowWrite::Insert(added.clone())],
                vec![change.clone()],
            )
            .await;
            assert!(finds(&store, &added));
            made.push(change);
        }
        // One that changes nothing holds in the new set too.
        call(&store, kfr(), Vec::new(), vec![registration(6)]).await;
        made.push(registration(6));
        for most in [1, 2, 100] {
            assert_eq!(kept(&store, most).await, in_order(&made));
        }
        publish(&store, kfr(), id, &records(0..5)).await.unwrap();
        assert_eq!(kept(&store, 10).await, [], "they are in it");
        // The next whole set has nothing to do with them.
        begin(&store, kfr(), DeliveryKind::WholeSet).await;
        assert_eq!(kept(&store, 10).await, []);
    });
}

#[test]
fn calls_of_an_abandoned_whole_set_are_not_kept_for_the_next() {
    on_each_engine(async |place| {
        let store = place.open();
        let id = begin(&store, kfr(), DeliveryKind::WholeSet).await;
        call(&store, kfr(), Vec::new(), vec![registration(1)]).await;
        let reason = "the connection broke".to_owned();
        store
            .end_delivery(id, DeliveryEnd::Abandoned { reason })
            .await
            .unwrap();
        begin(&store, kfr(), DeliveryKind::WholeSet).await;
        assert_eq!(kept(&store, 10).await, []);
        call(&store, kfr(), Vec::new(), vec![registration(2)]).await;
        assert_eq!(kept(&store, 10).await, [registration(2)]);
        // A kill abandons it.
        let killed = place.after_kill();
        let left = killed.open();
        begin(&left, kfr(), DeliveryKind::WholeSet).await;
        assert_eq!(kept(&left, 10).await, []);
    });
}

#[test]
fn calls_are_kept_for_a_whole_set_only_and_for_that_of_their_register() {
    on_each_engine(async |place| {
        let store = place.open();
        begin(&store, kar(), DeliveryKind::WholeSet).await;
        begin(&store, kfr(), DeliveryKind::Changes).await;
        call(&store, kfr(), Vec::new(), vec![registration(1)]).await;
        let lock = store.lock(kfr(), WAIT).await.unwrap();
        assert_eq!(lock.is_receiving_whole_set().await, Ok(false));
        drop(lock);
        assert_eq!(kept(&store, 10).await, []);
    });
}

#[test]
fn a_large_batch_keeps_its_items_once_it_is_in_force() {
    on_each_engine(async |place| {
        let store = place.open();
        whole_set(&store, kfr(), &records(0..5)).await;
        begin(&store, kfr(), DeliveryKind::WholeSet).await;
        let items: Vec<_> = (100..2_600).map(registration).collect();
        for is_published in [false, true] {
            let mut batch = merge(&store, kfr()).await;
            let written = block_in_place(|| {
                for n in 100..2_600 {
                    batch.write(RowWrite::Insert(record(n, n))).unwrap();
                }
                for items in items.chunks(1_000) {
                    batch.keep_calls(items.to_vec()).unwrap();
                }
                batch.finish().unwrap()
            });
            if !is_published {
                drop(written);
                assert_eq!(kept(&store, 100).await, [], "it was broken off");
                continue;
            }
            let filing = Filing::Batch {
                begun: begun(kfr(), DeliveryKind::Batch),
                summary: Summary::default(),
            };
            let standing = written.state().standing.clone();
            written.publish(publication(filing, standing)).await.unwrap();
            assert_eq!(kept(&store, 100).await, in_order(&items));
        }
        let mut expected = [records(0..5), records(100..2_600)].concat();
        expected.sort_by(SealedRecord::cmp_identity);
        assert_eq!(standing_records(&store, kfr()).await, expected);
    });
}

#[test]
fn single_calls_are_one_line_a_day() {
    on_each_engine(async |place| {
        let store = place.open();
        whole_set(&store, kfr(), &[]).await;
        let first = call(&store, kfr(), vec![RowWrite::Insert(record(1, 1))], Vec::new()).await;
        let second = call(&store, kfr(), Vec::new(), Vec::new()).await;
        assert_eq!(first.receipt.delivery_id, second.receipt.delivery_id);
        assert_eq!(second.receipt.calls, Some((today(), 2)));
        assert_eq!(second.receipt.summary.counts.stored, 2);
        // One that changes no record makes no version.
        assert_eq!(store.sets().get(kfr()).unwrap().version, 2);
        assert_eq!(store.receipts(kfr().bank, 10, None).await.unwrap().len(), 2);
    });
}
