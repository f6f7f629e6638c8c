//! The rules of KFR calls, on the rows that stand.

use crate::bench::{customer, day, deregister, put, register, relationship};
use kundeforhold::domain::relationship::{Interval, Relationship, Role};
use kundeforhold::index::CustomerRows;
use kundeforhold::index::layout::RowWrite;
use kundeforhold::journal::SetChange;
use kundeforhold::pseudonym::AgreementKey;
use kundeforhold::register::replay::{Effect, Resolution};
use proptest::prelude::*;
use std::collections::BTreeMap;

/// The rows of customer 1, by agreement and first day.
type Rows = BTreeMap<(AgreementKey, chrono::NaiveDate), Relationship>;

/// Resolves changes against rows and writes them, as a delivery does.
fn apply(rows: &mut Rows, changes: &[SetChange]) -> Vec<Effect> {
    let standing: CustomerRows = rows
        .iter()
        .map(|((agreement, _), row)| (*agreement, *row))
        .collect();
    let mut resolution = Resolution::new([(customer(1).customer_key(), standing)].into_iter());
    changes.iter().for_each(|change| resolution.apply(change));
    let effects = resolution.effects().to_vec();
    for write in resolution.into_writes() {
        let row = *write.row();
        assert_eq!(row.customer, customer(1).customer_key());
        let identity = (row.agreement, row.relationship.interval().from());
        match write {
            RowWrite::Put(row) => rows.insert(identity, row.relationship),
            RowWrite::Delete(_) => rows.remove(&identity),
        };
    }
    effects
}

fn rows_of(changes: &[SetChange]) -> Rows {
    let mut rows = Rows::new();
    apply(&mut rows, changes);
    rows
}

/// First and last days of what stands at customer level.
fn days(rows: &Rows) -> Vec<(chrono::NaiveDate, Option<chrono::NaiveDate>)> {
    let customer_level = rows
        .iter()
        .filter(|((agreement, _), _)| *agreement == AgreementKey::CUSTOMER_LEVEL);
    customer_level
        .map(|(_, row)| (row.interval().from(), row.interval().to()))
        .collect()
}

fn open_from(from: u64) -> SetChange {
    put(1, 0, relationship(Role::Unknown, from, None))
}

#[test]
fn a_registration_runs_from_its_day_and_never_credits() {
    let mut rows = Rows::new();
    assert_eq!(apply(&mut rows, &[register(1, 8, 10)]), [Effect::Registered]);
    let interval = Interval::new(day(8), None).unwrap();
    let expected = Relationship::new(Role::Unknown, false, false, interval);
    assert_eq!(rows.into_values().collect::<Vec<_>>(), [expected]);
}

#[test]
fn a_registration_with_the_owner_role_holds_funds() {
    let SetChange::Register {
        customer, from, on, ..
    } = register(1, 8, 10)
    else {
        unreachable!()
    };
    let rows = rows_of(&[SetChange::Register {
        customer,
        from,
        on,
        role: Role::Owner,
    }]);
    let interval = Interval::new(day(8), None).unwrap();
    let expected = Relationship::new(Role::Owner, false, true, interval);
    assert_eq!(rows.into_values().collect::<Vec<_>>(), [expected]);
}

#[test]
fn of_two_registrations_the_earlier_start_wins_and_a_later_one_changes_nothing() {
    for (first, second) in [(5, 5), (5, 9), (9, 5)] {
        let mut rows = rows_of(&[register(1, first, 10)]);
        assert_eq!(
            apply(&mut rows, &[register(1, second, 10)]),
            [Effect::AlreadyRunning]
        );
        assert_eq!(days(&rows), [(day(5), None)], "{first} then {second}");
        let together = rows_of(&[register(1, first, 10), register(1, second, 10)]);
        assert_eq!(days(&together), [(day(5), None)], "{first} and {second} in one");
    }
}

#[test]
fn an_earlier_start_keeps_the_role_of_what_runs() {
    let mut rows = rows_of(&[put(1, 0, relationship(Role::Owner, 6, None))]);
    assert_eq!(apply(&mut rows, &[register(1, 2, 10)]), [Effect::AlreadyRunning]);
    assert_eq!(
        rows.into_values().collect::<Vec<_>>(),
        [relationship(Role::Owner, 2, None)]
    );
}

#[test]
fn what_has_an_end_today_or_ahead_runs_on_when_it_is_registered_again() {
    for (last_day, start, expected) in [(10, 10, 6), (20, 10, 6), (20, 2, 2)] {
        let mut rows = rows_of(&[put(1, 0, relationship(Role::Owner, 6, Some(last_day)))]);
        assert_eq!(apply(&mut rows, &[register(1, start, 10)]), [Effect::Registered]);
        assert_eq!(
            rows.into_values().collect::<Vec<_>>(),
            [relationship(Role::Owner, expected, None)]
        );
    }
}

#[test]
fn what_has_ended_or_not_begun_or_is_an_account_is_not_running() {
    for (other, expected) in [
        (
            put(1, 0, relationship(Role::Unknown, 2, Some(9))),
            vec![(day(2), Some(day(9))), (day(10), None)],
        ),
        (
            put(1, 0, relationship(Role::Unknown, 11, None)),
            vec![(day(10), None), (day(11), None)],
        ),
        (
            put(1, 1, relationship(Role::Owner, 2, None)),
            vec![(day(10), None)],
        ),
        (
            put(1, 2, relationship(Role::Owner, 2, None)),
            vec![(day(10), None)],
        ),
    ] {
        let mut rows = rows_of(std::slice::from_ref(&other));
        assert_eq!(
            apply(&mut rows.clone(), &[deregister(1, 9, 10)]),
            [Effect::NothingRuns]
        );
        assert_eq!(apply(&mut rows, &[register(1, 10, 10)]), [Effect::Registered]);
        assert_eq!(days(&rows), expected);
    }
}

#[test]
fn what_ends_today_still_runs_today() {
    let mut rows = rows_of(&[put(1, 0, relationship(Role::Unknown, 2, Some(10)))]);
    assert_eq!(apply(&mut rows, &[deregister(1, 9, 10)]), [Effect::Deregistered]);
    assert_eq!(days(&rows), [(day(2), Some(day(9)))]);
}

#[test]
fn one_registered_today_and_ended_yesterday_is_removed() {
    let mut rows = rows_of(&[register(1, 10, 10)]);
    assert_eq!(apply(&mut rows, &[deregister(1, 9, 10)]), [Effect::Deregistered]);
    assert_eq!(days(&rows), []);
    assert_eq!(
        days(&rows_of(&[register(1, 10, 10), deregister(1, 9, 10)])),
        [],
        "in one delivery"
    );
    let kept = rows_of(&[register(1, 9, 10), deregister(1, 9, 10)]);
    assert_eq!(days(&kept), [(day(9), Some(day(9)))], "a single day is kept");
}

#[test]
fn all_that_run_are_ended_and_those_that_would_end_before_they_began_removed() {
    let standing = [
        open_from(2),
        open_from(8),
        open_from(10),
        put(1, 0, relationship(Role::Unknown, 4, Some(6))),
    ];
    let mut rows = rows_of(&standing);
    apply(
        &mut rows,
        &[put(1, 1, relationship(Role::Owner, 3, None)), open_from(12)],
    );
    assert_eq!(apply(&mut rows, &[deregister(1, 8, 10)]), [Effect::Deregistered]);
    let expected = [(2, Some(8)), (4, Some(6)), (8, Some(8)), (12, None)];
    assert_eq!(days(&rows), expected.map(|(from, to)| (day(from), to.map(day))));
    assert_eq!(
        rows.values().filter(|row| row.role == Role::Owner).count(),
        1,
        "the account stands"
    );
    assert_eq!(apply(&mut rows, &[deregister(1, 8, 10)]), [Effect::NothingRuns]);
}

#[test]
fn with_several_running_an_earlier_start_moves_the_earliest() {
    let mut rows = rows_of(&[open_from(4), open_from(8)]);
    assert_eq!(apply(&mut rows, &[register(1, 6, 10)]), [Effect::AlreadyRunning]);
    assert_eq!(days(&rows), [(day(4), None), (day(8), None)]);
    assert_eq!(apply(&mut rows, &[register(1, 2, 10)]), [Effect::AlreadyRunning]);
    assert_eq!(days(&rows), [(day(2), None), (day(8), None)]);
}

#[test]
fn one_that_is_ended_and_registered_again_is_two() {
    let rows = rows_of(&[register(1, 2, 10), deregister(1, 9, 10), register(1, 10, 10)]);
    assert_eq!(days(&rows), [(day(2), Some(day(9))), (day(10), None)]);
}

/// What one KFR delivery holds: a batch of registrations or one call, all made on the same day.
fn calls() -> impl Strategy<Value = Vec<SetChange>> {
    const ON: u64 = 8;
    prop_oneof![
        prop::collection::vec((0..=ON).prop_map(|from| register(1, from, ON)), 1..5),
        (0..12_u64).prop_map(|to| vec![deregister(1, to, ON)]),
    ]
}

fn whatever_stands() -> impl Strategy<Value = Vec<SetChange>> {
    let record = (0..2_u64, 0..12_u64, prop::option::of(0..5_u64)).prop_map(|(agreement, from, length)| {
        put(
            1,
            agreement,
            relationship(Role::Unknown, from, length.map(|length| from + length)),
        )
    });
    prop::collection::vec(record, 0..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 20_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// A delivery that was cut off in the middle is applied again from its beginning.
    #[test]
    fn a_delivery_applied_twice_or_in_part_before_leaves_what_it_leaves_once(
        standing in whatever_stands(),
        calls in calls(),
        part in 0..7_usize,
    ) {
        let mut once = rows_of(&standing);
        let mut again = once.clone();
        apply(&mut once, &calls);
        apply(&mut again, &calls[..part.min(calls.len())]);
        apply(&mut again, &calls);
        prop_assert_eq!(&again, &once);
        apply(&mut again, &calls);
        prop_assert_eq!(&again, &once);
    }
}
