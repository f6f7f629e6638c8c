//! What ended longer ago than it is kept is erased from all versions, and by a clock that is right only.

use crate::deliveries::{
    WAIT, account, begin, change, clock_at, customer, filing, finds, kar, now, publication, record,
    record_over, records, records_at, standing, standing_records, today, whole_set, write,
};
use crate::place::{on_each_engine, on_sqlite};
use chrono::{Months, TimeDelta};
use kundeforhold::domain::delivery::DeliveryKind;
use kundeforhold::domain::relationship::{Interval, Relationship};
use kundeforhold::store::{RowWrite, SealedRecord, Store, StoreError};
use tokio::task::block_in_place;

/// Records of customers 9,001 and so on, that ended so many days before today.
pub fn ended_for_days(days: std::ops::Range<i64>) -> Vec<SealedRecord> {
    let ended = |ago: i64| {
        let interval = Interval::new(
            today() - TimeDelta::days(900),
            Some(today() - TimeDelta::days(ago)),
        );
        let n = 9_000 + u32::try_from(ago).unwrap();
        record_over(n, n, interval.unwrap())
    };
    days.map(ended).collect()
}

/// Makes a whole set of records stand, of which some may have ended.
pub async fn stands(store: &Store, records: &[SealedRecord]) {
    let mut records = records.to_vec();
    records.sort_by(SealedRecord::cmp_identity);
    whole_set(store, kar(), &records).await;
}

fn erase(store: &Store, closed_years: u32) -> Result<u64, StoreError> {
    block_in_place(|| store.erase(closed_years, &clock_at(today())))
}

#[test]
fn what_ended_long_ago_goes_from_all_versions_and_what_points_to_it_too() {
    on_each_engine(async |place| {
        let store = place.open();
        let ended = ended_for_days(0..4);
        let all: Vec<_> = records(0..1_000).into_iter().chain(ended.clone()).collect();
        stands(&store, &all).await;
        let later: Vec<_> = records(500..1_000).into_iter().chain(ended.clone()).collect();
        stands(&store, &later).await;
        // Ten years are not over.
        assert_eq!(erase(&store, 10), Ok(0));
        let publications = place.count("publications");
        assert_eq!(erase(&store, 0), Ok(3), "of yesterday and before");
        assert_eq!(store.sets().standing(kar()).records, 501);
        assert_eq!(store.sets().get(kar()).unwrap().version, 2);
        assert_eq!(place.count("publications"), publications);
        assert_eq!(place.count("relationships"), 1_001);
        assert!(place.accounts().is_none_or(|rows| rows == 1_001));
        assert!(finds(&store, &ended[0]) && !ended[1..].iter().any(|record| finds(&store, record)));
        let left = |mut records: Vec<SealedRecord>| {
            records.push(ended[0].clone());
            records.sort_by(SealedRecord::cmp_identity);
            records
        };
        assert_eq!(standing_records(&store, kar()).await, left(records(500..1_000)));
        assert_eq!(records_at(&store, kar(), 1).await, left(records(0..1_000)));
        // Once a day is enough.
        assert_eq!(erase(&store, 0), Ok(0));
    });
}

#[test]
fn a_record_is_erased_with_what_it_was_before_and_one_that_runs_again_is_not() {
    on_each_engine(async |place| {
        let store = place.open();
        let over = |record: &SealedRecord, to| {
            let interval = record.relationship.interval();
            let interval = Interval::new(interval.from(), to).unwrap();
            SealedRecord {
                relationship: Relationship::over(record.relationship, interval),
                ..record.clone()
            }
        };
        let long_ago = Some(today() - TimeDelta::days(30));
        let (ended, running) = (record(1, 1), record(2, 2));
        stands(&store, &[ended.clone(), running.clone()]).await;
        let both = [&ended, &running].map(|record| RowWrite::Replace(over(record, long_ago)));
        change(&store, kar(), both.to_vec()).await;
        change(&store, kar(), vec![RowWrite::Replace(running.clone())]).await;
        assert_eq!(erase(&store, 0), Ok(3));
        assert_eq!(
            standing_records(&store, kar()).await,
            std::slice::from_ref(&running)
        );
        assert_eq!(records_at(&store, kar(), 1).await, std::slice::from_ref(&running));
        assert_eq!(records_at(&store, kar(), 2).await, []);
    });
}

#[test]
fn nothing_is_left_of_it_in_the_file_or_its_log() {
    on_sqlite(async |place| {
        let store = place.open();
        let ended = ended_for_days(1..50);
        let all: Vec<_> = records(0..500).into_iter().chain(ended.clone()).collect();
        stands(&store, &all).await;
        let names = |sealed: &[u8]| {
            let wal = std::fs::read(place.path().with_extension("sqlite-wal")).unwrap_or_default();
            let file = [std::fs::read(place.path()).unwrap(), wal].concat();
            memchr::memmem::find(&file, sealed).is_some()
        };
        assert!(names(customer(9_001).as_bytes()) && names(account(9_001).as_bytes()));
        erase(&store, 0).unwrap();
        for n in 9_001..9_050 {
            assert!(!names(customer(n).as_bytes()) && !names(account(n).as_bytes()));
        }
        assert!(names(customer(3).as_bytes()));
    });
}

#[test]
fn a_set_in_use_is_left_for_another_time_and_what_is_being_written_holds() {
    on_each_engine(async |place| {
        let store = place.open();
        let all: Vec<_> = records(0..10).into_iter().chain(ended_for_days(1..4)).collect();
        stands(&store, &all).await;
        let lock = store.lock(kar(), WAIT).await.unwrap();
        assert_eq!(erase(&store, 0), Ok(0));
        drop(lock);
        let id = begin(&store, kar(), DeliveryKind::Changes).await;
        let written = write(store.lock(kar(), WAIT).await.unwrap(), &records(5..20)).unwrap();
        assert_eq!(erase(&store, 0), Ok(0));
        let next = standing(id, &records(5..20));
        written
            .publish(publication(filing(id, DeliveryKind::Changes), next))
            .await
            .unwrap();
        assert_eq!(erase(&store, 0), Ok(3));
        assert_eq!(standing_records(&store, kar()).await, records(5..20));
        assert_eq!(store.sets().standing(kar()).records, 15);
    });
}

#[test]
fn a_clock_that_has_jumped_is_not_believed_until_it_is_confirmed() {
    on_each_engine(async |place| {
        let store = place.open();
        assert!(block_in_place(|| store.judge_clock()).is_ok());
        drop(store);
        let years = TimeDelta::days(11 * 365).num_milliseconds();
        // What was seen lies so far back, or ahead; on this boot of the machine, or another.
        for (shift, boot) in [(-years, ""), (years, ""), (-years, "another"), (years, "another")] {
            place.run(&format!(
                "UPDATE clock SET seen_at = seen_at + {shift}, boot = '{boot}' || boot"
            ));
            let store = place.open();
            for _ in 0..2 {
                let judged = block_in_place(|| store.judge_clock());
                assert!(matches!(judged, Err(StoreError::ClockJumped(_))), "{judged:?}");
                assert!(now(Store::look_at_clock(&place.address())).is_err());
            }
            now(Store::confirm_clock(&place.address())).unwrap();
            assert!(block_in_place(|| store.judge_clock()).is_ok());
            assert!(now(Store::look_at_clock(&place.address())).is_ok());
        }
    });
}

#[test]
fn years_are_counted_to_the_day() {
    on_each_engine(async |place| {
        let store = place.open();
        let last_kept = today() - Months::new(120);
        let over = |n, to| {
            record_over(
                n,
                n,
                Interval::new(last_kept - TimeDelta::days(9), Some(to)).unwrap(),
            )
        };
        let (kept, gone) = (over(1, last_kept), over(2, last_kept - TimeDelta::days(1)));
        stands(&store, &[kept.clone(), gone]).await;
        assert_eq!(erase(&store, 10), Ok(1));
        assert_eq!(standing_records(&store, kar()).await, [kept]);
    });
}
