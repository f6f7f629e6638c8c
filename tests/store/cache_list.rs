//! The list of publications, by which entries of a cache are believed.

use crate::deliveries::{
    WAIT, begin, change, customer, filing, held_by, kar, kfr, now, publication, record, records, whole_set,
    write,
};
use crate::place::on_each_engine;
use kundeforhold::domain::delivery::{DeliveryKind, PublicationId};
use kundeforhold::pseudonym::Sealed;
use kundeforhold::store::{RowWrite, Store};

/// At which publication a customer is read now.
fn read_at(store: &Store, customer: &Sealed) -> PublicationId {
    now(store.relationships(&customer.clone().into()))
        .unwrap()
        .at
        .unwrap()
}

#[test]
fn what_was_read_holds_until_its_customer_or_account_changes() {
    on_each_engine(async |place| {
        let store = place.open();
        assert_eq!(store.relationships(&customer(1).into()).await.unwrap().at, None);
        whole_set(&store, kar(), &records(0..20)).await;
        let at = read_at(&store, &customer(1));
        let holds = |sealed: &Sealed| store.publications().holds(at, [sealed.tag()]);
        let changed = record(1, 1);
        let account = changed.agreement.account().cloned().unwrap();
        assert!(holds(&customer(1)) && holds(&account));
        change(&store, kar(), vec![RowWrite::End(record(2, 2))]).await;
        assert!(holds(&customer(1)) && !holds(&customer(2)));
        change(&store, kar(), vec![RowWrite::End(changed)]).await;
        assert!(!holds(&customer(1)) && !holds(&account) && holds(&customer(3)));
        // A whole set changes those whose records differ.
        whole_set(&store, kfr(), &records(5..6)).await;
        assert!(!holds(&customer(5)) && holds(&customer(3)));
        assert!(
            store
                .publications()
                .holds(read_at(&store, &customer(1)), [customer(1).tag()])
        );
    });
}

#[test]
fn rows_that_come_with_the_publication_of_a_merge_are_on_the_list_too() {
    on_each_engine(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..5)).await;
        let at = read_at(&store, &customer(1));
        let id = begin(&store, kar(), DeliveryKind::Changes).await;
        let written = write(store.lock(kar(), WAIT).await.unwrap(), &records(0..6)).unwrap();
        let mut last = publication(
            filing(id, DeliveryKind::Changes),
            written.state().standing.clone(),
        );
        last.writes = vec![RowWrite::End(record(1, 1))];
        written.publish(last).await.unwrap();
        assert!(held_by(&store, &customer(1)).is_empty());
        assert!(!store.publications().holds(at, [customer(1).tag()]));
        assert!(!store.publications().holds(at, [customer(5).tag()]));
        assert!(store.publications().holds(at, [customer(2).tag()]));
    });
}

#[test]
fn the_list_is_the_same_after_reopening_and_numbers_go_on() {
    on_each_engine(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..20)).await;
        let at = read_at(&store, &customer(1));
        change(&store, kar(), vec![RowWrite::End(record(2, 2))]).await;
        let killed = place.after_kill();
        let store = killed.open();
        assert!(store.publications().holds(at, [customer(1).tag()]));
        assert!(!store.publications().holds(at, [customer(2).tag()]));
        let last = store.publications().last().unwrap();
        change(&store, kar(), Vec::new()).await;
        let next = store.publications().last().unwrap();
        assert_eq!(next.number, last.number + 1);
        assert_ne!(next.drawn, last.drawn);
    });
}

#[test]
fn of_a_restored_register_nothing_of_the_lost_future_holds() {
    on_each_engine(async |place| {
        let store = place.open();
        whole_set(&store, kar(), &records(0..20)).await;
        let before = read_at(&store, &customer(1));
        let backup = place.after_kill();
        change(&store, kar(), vec![RowWrite::End(record(1, 1))]).await;
        let lost = read_at(&store, &customer(1));
        let restored = backup.open();
        assert!(!restored.publications().holds(lost, [customer(1).tag()]));
        change(&restored, kar(), Vec::new()).await;
        assert_eq!(restored.publications().last().unwrap().number, lost.number);
        assert!(!restored.publications().holds(lost, [customer(1).tag()]));
        assert!(restored.publications().holds(before, [customer(1).tag()]));
    });
}
