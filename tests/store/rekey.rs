//! A register is brought under another key while all goes on, and nothing is left of the former one.

use crate::deliveries::{
    WAIT, account_number, begin, call, change, clock_at, customer_id, finds, kar, kfr, now, publish, record,
    records, registration, standing_records, today, whole_set, write,
};
use crate::place::{Place, key, on_each_engine, on_sqlite, ring};
use crate::register::rekey;
use kundeforhold::domain::delivery::DeliveryKind;
use kundeforhold::pseudonym::Pseudonyms;
use kundeforhold::store::{Rekey, Resealing, RowWrite, SealedRecord, Store, StoreError};
use tokio::task::block_in_place;

/// Records as another key seals them, in the order of rows.
fn under(store: &Store, records: &[SealedRecord]) -> Vec<SealedRecord> {
    let to = store.key_of(kar()).unwrap();
    let from = kundeforhold::store::RowKey {
        id: to.id,
        pseudonyms: Pseudonyms::new(&key(1)).into(),
    };
    let mut resealing = Resealing::new(from, to);
    let mut sealed: Vec<_> = records
        .iter()
        .map(|record| resealing.record(record.clone()).unwrap())
        .collect();
    sealed.sort_by(SealedRecord::cmp_identity);
    sealed
}

fn ask(place: &Place, store: &Store) -> Rekey {
    now(Store::ask_for_rekey(&place.address(), store.given())).unwrap()
}

fn progress(place: &Place, store: &Store) -> Rekey {
    now(Store::look_at_rekey(&place.address(), store.given())).unwrap()
}

async fn copy_and_switch(store: &Store) {
    let copy = block_in_place(|| store.copy_under_next_key(kar()))
        .unwrap()
        .unwrap();
    let lock = store.lock(kar(), WAIT).await.unwrap();
    block_in_place(|| copy.put_in_force(lock)).unwrap();
}

/// Whether lookups find so many customers and their accounts, whichever key they stand under.
fn finds_all(store: &Store, numbers: std::ops::Range<u32>) -> bool {
    numbers.into_iter().all(|n| {
        let customer = store.given().customer(&customer_id(n));
        let account = store.given().account(&account_number(n));
        now(store.relationships(&customer)).unwrap().held.len() == 1
            && now(store.accounts(&account)).unwrap().held.len() == 1
    })
}

#[test]
fn all_versions_are_brought_under_the_next_key_and_the_former_one_is_not_needed() {
    on_each_engine(async |place| {
        let store = place.open_with(ring(1, Some(2))).unwrap();
        whole_set(&store, kar(), &records(0..3_000)).await;
        whole_set(&store, kar(), &records(1_000..4_000)).await;
        assert_eq!(progress(&place, &store), Rekey::Offered);
        assert_eq!(ask(&place, &store), Rekey::UnderWay { sets: 1, left: 1 });
        rekey(&place, &store).await;
        assert_eq!(progress(&place, &store), Rekey::Done);
        assert_eq!(
            standing_records(&store, kar()).await,
            under(&store, &records(1_000..4_000))
        );
        assert_eq!(
            crate::deliveries::records_at(&store, kar(), 1).await,
            under(&store, &records(0..3_000))
        );
        assert!(finds_all(&store, 1_000..4_000));
        drop(store);
        assert_eq!(place.open_with(ring(1, None)).err(), Some(StoreError::OtherKey));
        let store = place.open_with(ring(2, None)).unwrap();
        assert!(finds_all(&store, 1_000..4_000));
    });
}

#[test]
fn nothing_is_left_in_the_file_of_what_the_former_key_sealed() {
    on_sqlite(async |place| {
        let store = place.open_with(ring(1, Some(2))).unwrap();
        whole_set(&store, kar(), &records(0..500)).await;
        change(&store, kar(), vec![RowWrite::End(record(7, 7))]).await;
        ask(&place, &store);
        let former = records(0..500);
        let names = |file: &[u8], record: &SealedRecord| {
            let account = record.agreement.account().unwrap();
            let sought = [&record.customer.as_bytes()[..8], &account.as_bytes()[..8]];
            sought
                .iter()
                .any(|sought| memchr::memmem::find(file, sought).is_some())
        };
        let files = || {
            let left = place.after_kill();
            let wal = std::fs::read(left.path().with_extension("sqlite-wal")).unwrap_or_default();
            [std::fs::read(left.path()).unwrap(), wal].concat()
        };
        assert!(former.iter().all(|record| names(&files(), record)));
        rekey(&place, &store).await;
        let file = files();
        assert!(!former.iter().any(|record| names(&file, record)));
        let present = under(&store, &former);
        assert!(present.iter().filter(|record| names(&file, record)).count() >= 499);
    });
}

#[test]
fn lookups_calls_and_whole_sets_go_on_meanwhile() {
    on_each_engine(async |place| {
        let store = place.open_with(ring(1, Some(2))).unwrap();
        whole_set(&store, kar(), &records(0..2_000)).await;
        ask(&place, &store);
        let copy = block_in_place(|| store.copy_under_next_key(kar()))
            .unwrap()
            .unwrap();
        assert!(finds_all(&store, 0..2_000));
        // Under the former key still.
        change(
            &store,
            kar(),
            vec![
                RowWrite::End(record(3, 3)),
                RowWrite::Insert(record(5_000, 5_000)),
            ],
        )
        .await;
        whole_set(&store, kar(), &records(100..2_500)).await;
        change(&store, kar(), vec![RowWrite::End(record(200, 200))]).await;
        let lock = store.lock(kar(), WAIT).await.unwrap();
        block_in_place(|| copy.put_in_force(lock)).unwrap();
        assert!(finds_all(&store, 100..200) && finds_all(&store, 201..2_500));
        let mut expected = records(100..2_500);
        expected.retain(|one| *one != record(200, 200));
        assert_eq!(standing_records(&store, kar()).await, under(&store, &expected));
        assert!(matches!(
            progress(&place, &store),
            Rekey::UnderWay { sets: 1, .. }
        ));
        rekey(&place, &store).await;
        assert_eq!(progress(&place, &store), Rekey::Done);
        assert_eq!(standing_records(&store, kar()).await, under(&store, &expected));
    });
}

#[test]
fn what_a_broken_off_merge_left_is_not_brought_along() {
    on_each_engine(async |place| {
        let store = place.open_with(ring(1, Some(2))).unwrap();
        whole_set(&store, kar(), &records(0..2_000)).await;
        ask(&place, &store);
        let written = write(store.lock(kar(), WAIT).await.unwrap(), &records(1_000..3_000)).unwrap();
        let copy = block_in_place(|| store.copy_under_next_key(kar()))
            .unwrap()
            .unwrap();
        drop(written);
        let lock = store.lock(kar(), WAIT).await.unwrap();
        block_in_place(|| copy.put_in_force(lock)).unwrap();
        assert_eq!(
            standing_records(&store, kar()).await,
            under(&store, &records(0..2_000))
        );
        assert!(finds_all(&store, 0..2_000));
    });
}

#[test]
fn a_rekey_that_is_killed_at_any_stage_goes_on_with_the_same_keys_only() {
    on_each_engine(async |place| {
        let store = place.open_with(ring(1, Some(2))).unwrap();
        whole_set(&store, kar(), &records(0..2_000)).await;
        whole_set(&store, kfr(), &records(0..10)).await;
        let before = place.after_kill();
        ask(&place, &store);
        drop(block_in_place(|| store.copy_under_next_key(kar())).unwrap());
        let amid_copy = place.after_kill();
        copy_and_switch(&store).await;
        let after_switch = place.after_kill();
        for (left, is_asked) in [(before, false), (amid_copy, true), (after_switch, true)] {
            let lacking = left.open_with(ring(2, None)).err();
            match is_asked {
                true => assert_eq!(lacking, Some(StoreError::LacksKey)),
                false => assert_eq!(lacking, Some(StoreError::OtherKey)),
            }
            let store = left.open_with(ring(1, Some(2))).unwrap();
            let sought = |n| {
                now(store.relationships(&store.given().customer(&customer_id(n))))
                    .unwrap()
                    .held
                    .len()
            };
            assert!((0..10).all(|n| sought(n) == 2) && (10..2_000).all(|n| sought(n) == 1));
            ask(&left, &store);
            rekey(&left, &store).await;
            assert_eq!(progress(&left, &store), Rekey::Done);
            drop(store);
            let store = left.open_with(ring(2, None)).unwrap();
            assert_eq!(
                standing_records(&store, kar()).await,
                under(&store, &records(0..2_000))
            );
            assert_eq!(left.count("relationships"), 2_010);
            assert!(left.accounts().is_none_or(|rows| rows == 2_010));
        }
    });
}

#[test]
fn calls_that_are_kept_for_a_whole_set_are_brought_along() {
    on_each_engine(async |place| {
        let store = place.open_with(ring(1, Some(2))).unwrap();
        whole_set(&store, kar(), &records(0..10)).await;
        let id = begin(&store, kar(), DeliveryKind::WholeSet).await;
        for n in [3, 1, 2, 1] {
            call(&store, kar(), Vec::new(), vec![registration(n)]).await;
        }
        ask(&place, &store);
        rekey(&place, &store).await;
        let merge = crate::deliveries::merge(&store, kar()).await;
        let kept = block_in_place(|| merge.calls().of_customers_after(&[], 10)).unwrap();
        drop(merge);
        let pseudonyms = Pseudonyms::new(&key(2));
        let mut expected = [1, 1, 2, 3].map(|n| pseudonyms.customer(&customer_id(n)));
        expected.sort();
        assert_eq!(
            kept.iter()
                .map(|call| call.customer().clone())
                .collect::<Vec<_>>(),
            expected
        );
        let next = under(&store, &records(0..3));
        publish(&store, kar(), id, &next).await.unwrap();
        assert_eq!(standing_records(&store, kar()).await, next);
    });
}

#[test]
fn what_was_cached_holds_through_a_rekey_until_the_former_key_is_retired() {
    on_each_engine(async |place| {
        let store = place.open_with(ring(1, Some(2))).unwrap();
        whole_set(&store, kar(), &records(0..10)).await;
        let sought = |n| store.given().customer(&customer_id(n));
        let at = now(store.relationships(&sought(1))).unwrap().at.unwrap();
        let holds = |n| store.publications().holds(at, sought(n).tags());
        ask(&place, &store);
        change(&store, kar(), vec![RowWrite::End(record(2, 2))]).await;
        copy_and_switch(&store).await;
        assert!(holds(1) && !holds(2) && holds(3));
        let of_other_key = under(&store, &[record(3, 3)]).remove(0);
        change(&store, kar(), vec![RowWrite::End(of_other_key)]).await;
        assert!(holds(1) && !holds(3));
        rekey(&place, &store).await;
        assert!(!holds(1), "a process with the next key only cannot tell");
        let at = now(store.relationships(&sought(1))).unwrap().at.unwrap();
        assert!(store.publications().holds(at, sought(1).tags()));
    });
}

#[test]
fn only_a_key_that_the_service_has_is_taken() {
    on_each_engine(async |place| {
        let store = place.open();
        let given = ring(1, Some(2));
        assert_eq!(
            now(Store::ask_for_rekey(&place.address(), &given)),
            Ok(Rekey::NotOffered)
        );
        whole_set(&store, kar(), &records(0..3)).await;
        assert_eq!(store.sets_to_rekey().await, Ok(None));
        rekey(&place, &store).await;
        drop(store);
        // Offered, and then taken back: by the only process that there can be.
        if place.database().is_none() {
            drop(place.open_with(ring(1, Some(2))).unwrap());
            drop(place.open());
            assert_eq!(
                now(Store::look_at_rekey(&place.address(), &given)),
                Ok(Rekey::NotOffered)
            );
        }
        // Another in its place.
        drop(place.open_with(ring(1, Some(9))).unwrap());
        drop(place.open_with(ring(1, Some(2))).unwrap());
        // One after the other, under new keys.
        for n in 1..5 {
            let store = place.open_with(ring(n, Some(n + 1))).unwrap();
            ask(&place, &store);
            rekey(&place, &store).await;
            assert!(store.given().present().fingerprint() != store.given().next().unwrap().fingerprint());
        }
        let store = place.open_with(ring(5, None)).unwrap();
        let customer = store.given().customer(&customer_id(1));
        assert_eq!(now(store.relationships(&customer)).unwrap().held.len(), 1);
    });
}

#[test]
fn what_has_ended_too_long_ago_while_a_set_is_copied_is_erased_once_it_is_done() {
    on_sqlite(async |place| {
        let store = place.open_with(ring(1, Some(2))).unwrap();
        let ended = crate::erase::ended_for_days(1..4);
        let standing: Vec<_> = records(100..200).into_iter().chain(ended.clone()).collect();
        crate::erase::stands(&store, &standing).await;
        let erase = || block_in_place(|| store.erase(0, &clock_at(today())));
        ask(&place, &store);
        let copy = block_in_place(|| store.copy_under_next_key(kar()))
            .unwrap()
            .unwrap();
        assert_eq!(erase(), Ok(0), "it would be copied");
        let lock = store.lock(kar(), WAIT).await.unwrap();
        block_in_place(|| copy.put_in_force(lock)).unwrap();
        assert_eq!(erase(), Ok(0), "what it was copied from is not cleared");
        rekey(&place, &store).await;
        assert_eq!(erase(), Ok(3));
        assert_eq!(store.sets().standing(kar()).records, 100);
        assert_eq!(
            standing_records(&store, kar()).await,
            under(&store, &records(100..200))
        );
        assert!(!ended.iter().any(|record| finds(&store, record)));
    });
}
