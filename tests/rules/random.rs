//! A hundred thousand random questions: the program and the naive model answer alike.

use crate::model::{Answer, DAYS, OnlyPrimaryOwner, Ownership, Record, Role, World};
use crate::{bank, day, merged, number};
use chrono::{Days as DayCount, NaiveDate};
use kundeforhold::domain::calendar::Period;
use kundeforhold::domain::overview::{
    Days, HeldAccount, HeldRelationship, Overview, OwnershipFilter, OwnershipType, overview,
    servicing_provider,
};
use kundeforhold::domain::participants::Participants;
use kundeforhold::domain::relationship::{self, Interval, Relationship};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;

const QUESTIONS: u32 = 100_000;
/// How often each class of interest must have been met, at the least: the rarest is met twice as often.
const OFTEN: u32 = QUESTIONS / 200;
const BANKS: usize = 4;
/// First days of the calendar: it spans a clock change each, new year, and a leap day.
const CALENDARS: [&str; 4] = ["2027-03-22", "2027-10-25", "2027-12-26", "2028-02-23"];

#[derive(Debug, Clone)]
struct Question {
    calendar: NaiveDate,
    world: World,
    from: usize,
    to: usize,
    only: OnlyPrimaryOwner,
}

/// A calendar this small makes days meet by themselves; the period ends today, and everything has ended
/// yesterday, more often still.
fn questions() -> impl Strategy<Value = Question> {
    let only = prop::sample::select(vec![
        OnlyPrimaryOwner::Absent,
        OnlyPrimaryOwner::No,
        OnlyPrimaryOwner::Yes,
        OnlyPrimaryOwner::YesAndUnknown,
    ]);
    let days = (4..DAYS - 2, 0..2 * DAYS, 0..DAYS, 0..DAYS);
    let turns = (0..3_u8, 0..4_u8, any::<bool>());
    let mergers = prop::array::uniform3((0..3_u8, 0..3_usize, 0..DAYS));
    let calendar = prop::sample::select(CALENDARS.to_vec());
    let records = prop::collection::vec(records(), 0..8);
    (calendar, days, turns, mergers, records, only).prop_map(
        |(
            calendar,
            (today, kept, one, other),
            (ends_today, all_ended, upwards),
            mergers,
            mut records,
            only,
        )| {
            let to = if ends_today == 0 { today } else { one.max(other) };
            if all_ended == 0 {
                records.retain(|record| record.from < today);
                records
                    .iter_mut()
                    .for_each(|r| r.to = Some(r.to.unwrap_or(today).min(today - 1)));
            }
            let world = World {
                today,
                kept_from: if kept > today { 0 } else { kept },
                mergers: chain_of_mergers(mergers, upwards),
                records,
            };
            Question {
                calendar: day(calendar),
                world,
                from: one.min(other).min(to),
                to,
                only,
            }
        },
    )
}

fn records() -> impl Strategy<Value = Record> {
    let roles = prop::sample::select(vec![
        Role::Owner,
        Role::SecondaryOwner,
        Role::Other,
        Role::Unknown,
    ]);
    (
        0..BANKS,
        roles,
        any::<(bool, bool)>(),
        0..DAYS,
        prop::option::of(0..DAYS),
    )
        .prop_map(|(bank, role, (creditable, holds_funds), one, other)| Record {
            bank,
            role,
            creditable,
            holds_funds,
            from: other.map_or(one, |other| one.min(other)),
            to: other.map(|other| one.max(other)),
        })
}

/// A bank merges only into one further up, or only into one further down, so that there is no cycle.
fn chain_of_mergers(mergers: [(u8, usize, usize); 3], upwards: bool) -> Vec<Option<(usize, usize)>> {
    let mut all = vec![None];
    for (at, (merges, into, on)) in mergers.into_iter().enumerate() {
        all.push((merges == 0).then_some((into % (at + 1), on)));
    }
    if upwards {
        all.reverse();
        for (successor, _) in all.iter_mut().flatten() {
            *successor = BANKS - 1 - *successor;
        }
    }
    all
}

impl Question {
    fn day(&self, at: usize) -> NaiveDate {
        self.calendar + DayCount::new(at as u64)
    }

    fn days(&self) -> Days {
        Days {
            today: self.day(self.world.today),
            retained_from: self.day(self.world.kept_from),
        }
    }

    fn participants(&self) -> Participants {
        let banks = self
            .world
            .mergers
            .iter()
            .enumerate()
            .map(|(at, merger)| match *merger {
                Some((successor, on)) => merged(at, successor, self.day(on)),
                None => bank(at),
            });
        Participants::new(banks.collect()).unwrap()
    }

    fn interval(&self, record: &Record) -> Interval {
        Interval::new(self.day(record.from), record.to.map(|to| self.day(to))).unwrap()
    }

    fn held(&self) -> Vec<HeldRelationship> {
        let held = |record: &Record| {
            let role = match record.role {
                Role::Owner => relationship::Role::Owner,
                Role::SecondaryOwner => relationship::Role::SecondaryOwner,
                Role::Other => relationship::Role::Other,
                Role::Unknown => relationship::Role::Unknown,
            };
            let interval = self.interval(record);
            HeldRelationship {
                bank: number(record.bank),
                relationship: Relationship::new(role, record.creditable, record.holds_funds, interval),
            }
        };
        self.world.records.iter().map(held).collect()
    }

    fn carried(&self) -> Vec<HeldAccount> {
        let carried = |record: &Record| HeldAccount {
            bank: number(record.bank),
            interval: self.interval(record),
        };
        self.world.records.iter().map(carried).collect()
    }

    fn filter(&self) -> OwnershipFilter {
        match self.only {
            OnlyPrimaryOwner::Absent => OwnershipFilter::Absent,
            OnlyPrimaryOwner::No => OwnershipFilter::All,
            OnlyPrimaryOwner::Yes => OwnershipFilter::OnlyPrimaryOwner,
            OnlyPrimaryOwner::YesAndUnknown => OwnershipFilter::PrimaryOwnerOrUnknown,
        }
    }
}

/// The program's answer in the model's terms, its order kept.
fn in_terms_of_the_model(found: &Overview) -> Answer {
    let bank = |listed: &kundeforhold::domain::overview::CustomerRelationship| {
        let at = (0..BANKS)
            .find(|at| number(*at) == listed.institution.organization)
            .unwrap();
        let ownership = match listed.standing.ownership {
            OwnershipType::PrimaryOwner => Ownership::Primary,
            OwnershipType::NotPrimaryOwner => Ownership::NotPrimary,
            OwnershipType::Unknown => Ownership::Unknown,
        };
        (at, ownership, listed.standing.active_account)
    };
    Answer {
        banks: found.banks.iter().map(bank).collect(),
        unknown_ownership: found.unknown_ownership,
    }
}

/// How many questions were of a class.
#[derive(Default)]
struct Seen(BTreeMap<&'static str, u32>);

impl Seen {
    fn note(&mut self, classes: &[(&'static str, bool)]) {
        for (class, met) in classes {
            *self.0.entry(class).or_default() += u32::from(*met);
        }
    }

    fn assert_each_often(&self) {
        let rare: Vec<_> = self.0.iter().filter(|(_, count)| **count < OFTEN).collect();
        assert!(rare.is_empty(), "met too rarely: {rare:?}");
    }
}

/// Asks every question; `check` gets it, and where to note what it was like.
fn ask_many(check: impl Fn(&Question, &mut Seen) -> Result<(), TestCaseError>) {
    let seen = RefCell::new(Seen::default());
    let config = Config {
        cases: QUESTIONS,
        failure_persistence: None,
        ..Config::default()
    };
    let asked =
        TestRunner::new(config).run(&questions(), |question| check(&question, &mut seen.borrow_mut()));
    asked.unwrap_or_else(|cause| panic!("{cause}"));
    seen.borrow().assert_each_often();
}

#[test]
fn random_relationships_are_answered_as_the_naive_model_answers_them() {
    ask_many(|question, seen| {
        let expected = question
            .world
            .relationships(question.from, question.to, question.only);
        let period = Period::new(question.day(question.from), question.day(question.to)).unwrap();
        let (held, participants) = (question.held(), question.participants());
        let found = overview(&held, &participants, &period, question.filter(), &question.days()).unwrap();
        note_boundaries(question, seen);
        note_answers(question, &expected, seen);
        prop_assert_eq!(in_terms_of_the_model(&found), expected);
        Ok(())
    });
}

fn note_boundaries(question: &Question, seen: &mut Seen) {
    let Question { world, from, to, .. } = question;
    let any = |is: &dyn Fn(&Record) -> bool| world.records.iter().any(is);
    seen.note(&[
        ("a record of one day", any(&|r| r.to == Some(r.from))),
        ("a record begins today", any(&|r| r.from == world.today)),
        ("a record begins tomorrow", any(&|r| r.from == world.today + 1)),
        ("a record ends yesterday", any(&|r| r.to == Some(world.today - 1))),
        ("a record ends today", any(&|r| r.to == Some(world.today))),
        (
            "a record ends on the first day asked for",
            any(&|r| r.to == Some(*from)),
        ),
        (
            "a record ends the day before",
            any(&|r| r.to.is_some_and(|end| end + 1 == *from)),
        ),
        (
            "a record begins on the last day asked for",
            any(&|r| r.from == *to),
        ),
        ("a record begins the day after", any(&|r| r.from == to + 1)),
        (
            "a record ends on the first day kept",
            any(&|r| r.to == Some(world.kept_from)),
        ),
        (
            "a record ends the day before it",
            any(&|r| r.to.is_some_and(|end| end + 1 == world.kept_from)),
        ),
        ("the period ends yesterday", to + 1 == world.today),
        ("the period ends today", *to == world.today),
        ("the period ends tomorrow", *to == world.today + 1),
        ("the period lies ahead", *from > world.today),
        ("the period is today", *from == world.today && *to == world.today),
        ("the period begins before what is kept", *from < world.kept_from),
    ]);
    let mergers = || world.mergers.iter().flatten();
    let merged = |at: usize| world.listed_as(at) != at;
    let twice = |at: usize| merged(at) && world.mergers[at].is_some_and(|(to, _)| merged(to));
    seen.note(&[
        (
            "a merger yesterday",
            mergers().any(|(_, on)| on + 1 == world.today),
        ),
        ("a merger today", mergers().any(|(_, on)| *on == world.today)),
        (
            "a merger tomorrow",
            mergers().any(|(_, on)| *on == world.today + 1),
        ),
        ("a bank merged twice over", (0..BANKS).any(twice)),
        ("a record of a merged bank", any(&|r| merged(r.bank))),
        ("a record of a bank merged twice over", any(&|r| twice(r.bank))),
        (
            "records of both merged banks",
            any(&|r| merged(r.bank) && any(&|s| s.bank == world.listed_as(r.bank))),
        ),
        (
            "a successor with a lower number",
            (0..BANKS).any(|at| world.listed_as(at) < at),
        ),
        (
            "a successor with a higher number",
            (0..BANKS).any(|at| world.listed_as(at) > at),
        ),
    ]);
}

fn note_answers(question: &Question, expected: &Answer, seen: &mut Seen) {
    let Question {
        world,
        from,
        to,
        only,
        ..
    } = question;
    let listed = |is: Ownership| expected.banks.iter().any(|(_, ownership, _)| *ownership == is);
    let everything = world.relationships(*from, *to, OnlyPrimaryOwner::Absent);
    let left_out = everything.banks.len() - expected.banks.len() - expected.unknown_ownership;
    seen.note(&[
        ("no bank is listed", expected.banks.is_empty()),
        ("several banks are listed", expected.banks.len() > 2),
        ("a primary owner is listed", listed(Ownership::Primary)),
        ("no primary owner is listed", listed(Ownership::NotPrimary)),
        ("an unknown ownership is listed", listed(Ownership::Unknown)),
        (
            "an unknown ownership is listed by the terms",
            *only == OnlyPrimaryOwner::YesAndUnknown && listed(Ownership::Unknown),
        ),
        (
            "an active account",
            expected.banks.iter().any(|(_, _, active)| *active),
        ),
        (
            "no active account though the period ends today",
            *to == world.today && expected.banks.iter().any(|(_, _, active)| !active),
        ),
        (
            "one unknown ownership is counted",
            expected.unknown_ownership == 1,
        ),
        (
            "several unknown ownerships are counted",
            expected.unknown_ownership > 1,
        ),
        ("banks left out without being counted", left_out > 0),
    ]);
}

#[test]
fn random_accounts_are_serviced_by_a_bank_that_the_naive_model_admits() {
    ask_many(|question, seen| {
        let (may_be, contested) = question.world.servicing();
        let (mut held, participants) = (question.carried(), question.participants());
        let found = servicing_provider(&held, &participants, &question.days()).unwrap();
        held.reverse();
        let found_reversed = servicing_provider(&held, &participants, &question.days()).unwrap();
        prop_assert_eq!(found, found_reversed, "the order of records decides");
        note_accounts(question, &may_be, contested, seen);
        let Some(found) = found else {
            prop_assert!(may_be.is_empty());
            return Ok(());
        };
        prop_assert!(
            may_be
                .iter()
                .any(|at| number(*at) == found.institution.organization)
        );
        prop_assert_eq!(found.contested, contested);
        Ok(())
    });
}

fn note_accounts(question: &Question, may_be: &[usize], contested: bool, seen: &mut Seen) {
    let world = &question.world;
    let any = |is: &dyn Fn(&Record) -> bool| world.records.iter().any(is);
    let runs = any(&|r| r.runs(world.today));
    let ahead = any(&|r| r.from > world.today);
    let ended = any(&|r| world.is_spoken_of(r) && !r.runs(world.today));
    let running_banks = world
        .records
        .iter()
        .filter(|r| r.runs(world.today))
        .map(|r| r.bank);
    let mut delivered_by: Vec<usize> = running_banks.collect();
    delivered_by.sort_unstable();
    delivered_by.dedup();
    seen.note(&[
        ("an account of nobody", may_be.is_empty()),
        ("an account only from a later day on", may_be.is_empty() && ahead),
        (
            "an account forgotten",
            may_be.is_empty() && !ahead && !world.records.is_empty(),
        ),
        ("two banks at once", contested),
        (
            "two banks at once that have merged",
            delivered_by.len() > 1 && !contested,
        ),
        ("the later start decides", contested && may_be.len() == 1),
        (
            "nothing decides between two banks at once",
            contested && may_be.len() > 1,
        ),
        ("one runs and others have ended", runs && ended),
        (
            "none runs and the last to end decides",
            !runs && may_be.len() == 1,
        ),
        ("none runs and nothing decides", !runs && may_be.len() > 1),
        ("ends today", any(&|r| r.to == Some(world.today)) && runs),
    ]);
}
