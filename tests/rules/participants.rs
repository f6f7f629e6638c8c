//! Successors without cycles, and the counts of what the register does not know.

use crate::{bank, day, merged, number};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use kundeforhold::domain::calendar::Period;
use kundeforhold::domain::overview::{
    Days, HeldAccount, HeldRelationship, OwnershipFilter, UnregisteredBank, overview, servicing_provider,
};
use kundeforhold::domain::participants::{
    Coverage, Freshness, Freshnesses, Participant, Participants, ParticipantsError, SetFreshness, freshness,
};
use kundeforhold::domain::relationship::{Interval, Register, Relationship, Role, SetId};
use proptest::prelude::*;

const TODAY: &str = "2026-11-20";

fn now() -> DateTime<Utc> {
    "2026-11-20T12:00:00Z".parse().unwrap()
}

const NEVER: SetFreshness = SetFreshness {
    loaded: false,
    last_delivery: None,
};

fn whole(at: DateTime<Utc>) -> SetFreshness {
    SetFreshness {
        loaded: true,
        last_delivery: Some(at),
    }
}

fn delivered_before(age: TimeDelta) -> impl Fn(SetId) -> SetFreshness {
    move |_| whole(now() - age)
}

fn counted(
    banks: Vec<Participant>,
    set: impl Fn(SetId) -> SetFreshness,
    period_from: Option<NaiveDate>,
) -> Coverage {
    let participants = Participants::new(banks).unwrap();
    Freshnesses::on(day(TODAY), &participants, set).coverage(now(), period_from)
}

proptest! {
    /// Every bank of six merges into none or any of them, itself included.
    #[test]
    fn successors_are_refused_exactly_when_a_walk_along_them_never_ends(
        successors in prop::array::uniform6(prop::option::weighted(0.7, 0..6_usize)),
        ahead: bool,
    ) {
        let on = day(if ahead { "2090-01-01" } else { "2020-01-01" });
        let banks = successors.iter().enumerate().map(|(at, successor)| match successor {
            Some(successor) => merged(at, *successor, on),
            None => bank(at),
        });
        let ends = |start: usize| (0..6).try_fold(start, |at, _| successors[at]).is_none();
        match Participants::new(banks.collect()) {
            Ok(_) => prop_assert!((0..6).all(ends)),
            Err(ParticipantsError::Cycle(named)) => {
                prop_assert!(!(0..6).filter(|at| number(*at) == named).any(ends), "{} is in no cycle", named);
            }
            Err(other) => prop_assert!(false, "{}", other),
        }
    }
}

#[test]
fn lists_that_contradict_themselves_are_refused() {
    let without_register = Participant {
        registers: vec![],
        ..bank(0)
    };
    let twice_in_one = Participant {
        registers: vec![Register::Kar, Register::Kar],
        ..bank(0)
    };
    let on = day("2020-01-01");
    let nameless = Participant {
        name: " ".to_owned(),
        ..bank(0)
    };
    for (list, expected) in [
        (vec![], ParticipantsError::Empty),
        (vec![nameless], ParticipantsError::Name(number(0))),
        (
            vec![bank(0), bank(1), bank(0)],
            ParticipantsError::Duplicate(number(0)),
        ),
        (vec![without_register], ParticipantsError::Registers(number(0))),
        (vec![twice_in_one], ParticipantsError::Registers(number(0))),
        (
            vec![merged(0, 1, on)],
            ParticipantsError::UnknownSuccessor {
                bank: number(0),
                successor: number(1),
            },
        ),
        (vec![merged(0, 0, on)], ParticipantsError::Cycle(number(0))),
    ] {
        assert_eq!(Participants::new(list), Err(expected));
    }
}

#[test]
fn a_chain_is_followed_as_far_as_its_mergers_have_come() {
    let list = vec![
        merged(2, 0, day("2026-01-01")),
        merged(0, 3, day("2026-06-01")),
        merged(3, 1, day("2026-12-01")),
        bank(1),
    ];
    let participants = Participants::new(list).unwrap();
    for (today, answering) in [
        ("2025-12-31", 2),
        ("2026-01-01", 0),
        ("2026-05-31", 0),
        ("2026-06-01", 3),
        ("2026-11-30", 3),
        ("2026-12-01", 1),
    ] {
        let found = participants.answering_for(number(2), day(today)).unwrap();
        assert_eq!(found.organization, number(answering), "{today}");
    }
    assert_eq!(participants.answering_for(number(5), day(TODAY)), None);
}

#[test]
fn a_bank_is_not_loaded_until_every_set_is_whatever_else_it_delivered() {
    let both = |kar: bool, kfr: bool| {
        move |set: SetId| SetFreshness {
            loaded: match set.register {
                Register::Kar => kar,
                Register::Kfr => kfr,
            },
            last_delivery: Some(now()),
        }
    };
    let told = Some(now());
    for (kar, kfr) in [(false, false), (true, false), (false, true)] {
        let found = freshness(&bank(0), both(kar, kfr), now());
        assert_eq!(found, (Freshness::NotLoaded, told), "{kar} {kfr}");
        let expected = Coverage {
            not_loaded: 1,
            ..Coverage::default()
        };
        assert_eq!(
            counted(vec![bank(0)], both(kar, kfr), None),
            expected,
            "{kar} {kfr}"
        );
    }
    assert_eq!(
        freshness(&bank(0), both(true, true), now()),
        (Freshness::Current, told)
    );
    let long_ago = |_: SetId| SetFreshness {
        loaded: false,
        last_delivery: Some(now() - TimeDelta::days(400)),
    };
    assert_eq!(
        counted(vec![bank(0)], long_ago, None).stale,
        0,
        "it is not late as well"
    );
}

#[test]
fn a_bank_is_as_fresh_as_its_oldest_set() {
    let at = |kar: Option<i64>, kfr: Option<i64>| {
        let last = move |set: SetId| {
            let hours = match set.register {
                Register::Kar => kar,
                Register::Kfr => kfr,
            };
            hours.map_or(NEVER, |hours| whole(now() - TimeDelta::hours(hours)))
        };
        freshness(&bank(0), last, now())
    };
    let hours_ago = |hours| Some(now() - TimeDelta::hours(hours));
    assert_eq!(at(Some(36), Some(1)), (Freshness::Current, hours_ago(36)));
    assert_eq!(at(Some(37), Some(1)), (Freshness::Stale, hours_ago(37)));
    assert_eq!(at(Some(1), Some(37)), (Freshness::Stale, hours_ago(37)));
    assert_eq!(at(Some(1), None), (Freshness::NotLoaded, None));
    assert_eq!(at(None, Some(37)), (Freshness::NotLoaded, None));
    let only_kar = Participant {
        registers: vec![Register::Kar],
        ..bank(0)
    };
    let kar_alone = |set: SetId| match set.register {
        Register::Kar => whole(now()),
        Register::Kfr => NEVER,
    };
    assert_eq!(
        freshness(&only_kar, kar_alone, now()),
        (Freshness::Current, Some(now()))
    );
}

#[test]
fn a_delivery_is_late_only_after_the_whole_of_its_time() {
    let just = TimeDelta::hours(36);
    assert_eq!(
        counted(vec![bank(0)], delivered_before(just), None),
        Coverage::default()
    );
    let late = counted(
        vec![bank(0)],
        delivered_before(just + TimeDelta::milliseconds(1)),
        None,
    );
    assert_eq!(
        late,
        Coverage {
            stale: 1,
            ..Coverage::default()
        }
    );
}

#[test]
fn stale_and_unloaded_banks_are_counted_apart() {
    let last = |set: SetId| match set.bank {
        bank if bank == number(0) => NEVER,
        bank if bank == number(1) => whole(now() - TimeDelta::days(9)),
        bank if bank == number(2) && set.register == Register::Kfr => NEVER,
        _ => whole(now()),
    };
    let expected = Coverage {
        stale: 1,
        not_loaded: 2,
        ..Coverage::default()
    };
    assert_eq!(counted((0..5).map(bank).collect(), last, None), expected);
}

#[test]
fn a_bank_is_counted_when_its_records_begin_after_the_first_day_asked_for() {
    let from_2015 = || {
        vec![
            Participant {
                covers_from: Some(day("2015-01-01")),
                ..bank(0)
            },
            bank(1),
        ]
    };
    let before = |period_from: Option<&str>| {
        let fresh = delivered_before(TimeDelta::zero());
        counted(from_2015(), fresh, period_from.map(day)).before_coverage
    };
    assert_eq!(before(Some("2014-12-31")), 1);
    assert_eq!(before(Some("2015-01-01")), 0);
    assert_eq!(before(None), 0, "an account is asked for today");
}

#[test]
fn a_merged_bank_is_never_counted_and_one_that_merges_tomorrow_is() {
    let list = |on: &str| {
        let covers_from = Some(day("2015-01-01"));
        vec![
            Participant {
                covers_from,
                ..merged(0, 1, day(on))
            },
            bank(1),
        ]
    };
    let asked_from = Some(day("2010-01-01"));
    let fresh_but_for_0 = |age: Option<TimeDelta>| {
        move |set: SetId| {
            if set.bank == number(0) {
                age.map_or(NEVER, |age| whole(now() - age))
            } else {
                whole(now())
            }
        }
    };
    let old = Some(TimeDelta::days(400));
    for on in ["2020-01-01", "2026-11-19", TODAY] {
        assert_eq!(
            counted(list(on), fresh_but_for_0(None), asked_from),
            Coverage::default(),
            "{on}"
        );
        assert_eq!(
            counted(list(on), fresh_but_for_0(old), asked_from),
            Coverage::default(),
            "{on}"
        );
    }
    let tomorrow = counted(list("2026-11-21"), fresh_but_for_0(None), asked_from);
    assert_eq!(
        tomorrow,
        Coverage {
            not_loaded: 1,
            before_coverage: 1,
            ..Coverage::default()
        }
    );
    let tomorrow = counted(list("2026-11-21"), fresh_but_for_0(old), asked_from);
    assert_eq!(
        tomorrow,
        Coverage {
            stale: 1,
            before_coverage: 1,
            ..Coverage::default()
        }
    );
}

#[test]
fn records_of_an_unregistered_bank_are_an_error_and_never_left_out() {
    let participants = Participants::new(vec![bank(0)]).unwrap();
    let interval = Interval::new(day("2020-01-01"), None).unwrap();
    let days = Days {
        today: day(TODAY),
        retained_from: day("2016-11-20"),
    };
    let period = Period::new(day("2020-01-01"), day(TODAY)).unwrap();
    let held = HeldRelationship {
        bank: number(1),
        relationship: Relationship::new(Role::Owner, true, true, interval),
    };
    let found = overview(&[held], &participants, &period, OwnershipFilter::All, &days);
    assert_eq!(found, Err(UnregisteredBank(number(1))));
    let carried = HeldAccount {
        bank: number(1),
        interval,
    };
    assert_eq!(
        servicing_provider(&[carried], &participants, &days),
        Err(UnregisteredBank(number(1)))
    );
}
