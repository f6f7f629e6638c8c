//! Receipts, rejected lines, and the keys that deliveries are bound to.

use crate::deliveries::{
    WAIT, a_moment_ago, begin, begun, change, filing, kar, kfr, now, publication, records, whole_set, write,
};
use crate::place::on_each_engine;
use chrono::Utc;
use kundeforhold::domain::delivery::{Counts, DeliveryKind, DeliveryState, FaultCode, LineFault, Reject};
use kundeforhold::store::{DeliveryEnd, Filing, Publication, Receipt, Store, StoreError, Summary};
use uuid::Uuid;

fn reject(line: u64) -> Reject {
    let fault = |parameter: &str| LineFault {
        code: FaultCode::InvalidDate,
        parameter: parameter.to_owned(),
        reason: "must not lie ahead".to_owned(),
    };
    Reject {
        line,
        faults: vec![fault("fromDate"), fault("toDate")],
    }
}

fn summary() -> Summary {
    Summary {
        counts: Counts {
            read: 7,
            stored: 1,
            ended: 2,
            removed: 3,
            rejected: 2,
            customers: 4,
            accounts: 5,
        },
        sha256: Some([9; 32]),
        sequence: Some(1),
        discarded: Vec::new(),
    }
}

/// Publishes changes that change nothing, with a receipt of this.
async fn filed(store: &Store, summary: Summary, key: Option<[u8; 32]>) -> Receipt {
    let id = begin(store, kar(), DeliveryKind::Changes).await;
    let lock = store.lock(kar(), WAIT).await.unwrap();
    let filing = Filing::Delivery {
        delivery_id: id,
        kind: DeliveryKind::Changes,
        summary,
        rejects: vec![reject(5), reject(2)],
        idempotency: key,
    };
    let standing = lock.state().unwrap().standing;
    lock.publish(publication(filing, standing)).await.unwrap().receipt
}

#[test]
fn a_receipt_says_what_was_filed_and_so_after_reopening() {
    on_each_engine(async |place| {
        let store = place.open();
        let receipt = filed(&store, summary(), None).await;
        assert_eq!(receipt.summary, summary());
        assert_eq!((receipt.set, receipt.kind), (kar(), DeliveryKind::Changes));
        assert_eq!(
            (receipt.state, receipt.records),
            (DeliveryState::Published, Some(0))
        );
        assert!(receipt.published_at.is_some_and(|at| at >= receipt.received_at));
        assert_eq!(
            store.receipt(kar().bank, receipt.delivery_id).await,
            Ok(Some(receipt.clone()))
        );
        let other = kundeforhold::domain::identifiers::OrganizationNumber::parse("123456785").unwrap();
        assert_eq!(store.receipt(other, receipt.delivery_id).await, Ok(None));
        assert_eq!(
            store.rejects(receipt.delivery_id).await,
            Ok(vec![reject(2), reject(5)])
        );
        assert_eq!(store.sets().get(kar()).unwrap().sequence, 1);
        store.close();
        drop(store);
        let store = place.open();
        assert_eq!(
            store.receipt(kar().bank, receipt.delivery_id).await,
            Ok(Some(receipt))
        );
    });
}

#[test]
fn a_number_is_consumed_by_what_is_published_with_it_only() {
    on_each_engine(async |place| {
        let store = place.open();
        filed(&store, summary(), None).await;
        whole_set(&store, kar(), &records(0..3)).await;
        change(&store, kar(), Vec::new()).await;
        assert_eq!(store.sets().get(kar()).unwrap().sequence, 1);
    });
}

#[test]
fn receipts_come_newest_first_and_by_pages() {
    on_each_engine(async |place| {
        let store = place.open();
        let mut ids = Vec::new();
        for n in 0..7 {
            ids.push(match n % 2 {
                0 => whole_set(&store, kar(), &records(0..n)).await.delivery_id,
                _ => whole_set(&store, kfr(), &records(0..n)).await.delivery_id,
            });
        }
        ids.reverse();
        let page = |before| {
            let receipts = now(store.receipts(kar().bank, 3, before)).unwrap();
            receipts
                .iter()
                .map(|receipt| receipt.delivery_id)
                .collect::<Vec<Uuid>>()
        };
        assert_eq!(page(None), ids[..3]);
        assert_eq!(page(Some(ids[2])), ids[3..6]);
        assert_eq!(page(Some(ids[5])), ids[6..]);
        assert_eq!(store.trend(kar(), 2).await.unwrap().len(), 2);
        let trend = store.trend(kar(), 9).await.unwrap();
        assert_eq!(
            trend.iter().map(|(_, records)| *records).collect::<Vec<_>>(),
            [0, 2, 4, 6]
        );
    });
}

#[test]
fn the_end_of_what_is_not_published_is_filed_once() {
    on_each_engine(async |place| {
        let store = place.open();
        let id = begin(&store, kar(), DeliveryKind::WholeSet).await;
        let rejected = DeliveryEnd::Rejected {
            reason: "2 lines were rejected".to_owned(),
            summary: summary(),
            rejects: vec![reject(3)],
            idempotency: Some([4; 32]),
        };
        let receipt = store.end_delivery(id, rejected.clone()).await.unwrap();
        assert_eq!(receipt.state, DeliveryState::Rejected);
        assert_eq!(receipt.reason.as_deref(), Some("2 lines were rejected"));
        assert_eq!((receipt.summary.counts.rejected, receipt.published_at), (2, None));
        assert_eq!(store.rejects(id).await, Ok(vec![reject(3)]));
        assert_eq!(
            store.end_delivery(id, rejected.clone()).await,
            Err(StoreError::NotReceiving)
        );
        assert_eq!(store.last_rejected(kar()).await, Ok(Some(2)));
        let batch = begun(kar(), DeliveryKind::Batch);
        let receipt = store.file_refused_batch(batch.clone(), rejected).await.unwrap();
        assert_eq!(
            (receipt.delivery_id, receipt.state),
            (batch.delivery_id, DeliveryState::Rejected)
        );
    });
}

#[test]
fn a_key_is_bound_to_what_was_published_or_rejected_lately() {
    on_each_engine(async |place| {
        let (store, key) = (place.open(), [7; 32]);
        let used =
            |store: &Store, since| now(store.key_use(kar(), DeliveryKind::Changes, key, since)).unwrap();
        assert_eq!(used(&store, a_moment_ago()), None);
        let id = begin(&store, kar(), DeliveryKind::Changes).await;
        let reason = "broken off".to_owned();
        store
            .end_delivery(id, DeliveryEnd::Abandoned { reason })
            .await
            .unwrap();
        assert_eq!(used(&store, a_moment_ago()), None);
        let receipt = filed(&store, summary(), Some(key)).await;
        let bound = used(&store, a_moment_ago()).unwrap();
        assert_eq!((bound.delivery_id, bound.sha256), (receipt.delivery_id, [9; 32]));
        assert_eq!(used(&store, Utc::now() + chrono::TimeDelta::days(1)), None);
        let of_whole_sets = store
            .key_use(kar(), DeliveryKind::WholeSet, key, a_moment_ago())
            .await;
        assert_eq!(of_whole_sets, Ok(None), "another operation");
        assert_eq!(
            store
                .key_use(kfr(), DeliveryKind::Changes, key, a_moment_ago())
                .await,
            Ok(None)
        );
    });
}

#[test]
fn a_publication_without_a_delivery_under_way_leaves_no_trace() {
    on_each_engine(async |place| {
        let store = place.open();
        let id = begin(&store, kar(), DeliveryKind::WholeSet).await;
        let written = write(store.lock(kar(), WAIT).await.unwrap(), &records(0..3)).unwrap();
        let reason = "broken off".to_owned();
        store
            .end_delivery(id, DeliveryEnd::Abandoned { reason })
            .await
            .unwrap();
        let standing = written.state().standing.clone();
        let late: Publication = publication(filing(id, DeliveryKind::WholeSet), standing);
        assert_eq!(written.publish(late).await.err(), Some(StoreError::NotReceiving));
        assert!(
            store
                .relationships(&records(0..1)[0].customer.clone().into())
                .await
                .unwrap()
                .held
                .is_empty()
        );
        let receipt = store.receipt(kar().bank, id).await.unwrap().unwrap();
        assert_eq!(receipt.state, DeliveryState::Abandoned);
    });
}
