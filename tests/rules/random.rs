//! A hundred thousand random questions: the program and the naive model answer alike.

use crate::model::{Answer, DAYS, OnlyPrimaryOwner, Ownership, Record, Role, World};
use crate::seen::{Seen, note_accounts, note_answers, note_boundaries};
use crate::{bank, day, merged, number};
use chrono::{Days as DayCount, NaiveDate};
use kundeforhold::domain::calendar::Period;
use kundeforhold::domain::overview::{
    Days, HeldAccount, HeldRelationship, Overview, OwnershipFilter, OwnershipType, overview,
    servicing_provider,
};
use kundeforhold::domain::participants::{Participant, Participants};
use kundeforhold::domain::relationship::{self, Interval, Relationship};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;

pub const QUESTIONS: u32 = 100_000;
pub const BANKS: usize = 4;
/// First days of the calendar: it spans a clock change each, new year, and a leap day.
const CALENDARS: [&str; 4] = ["2027-03-22", "2027-10-25", "2027-12-26", "2028-02-23"];

#[derive(Debug, Clone)]
pub struct Question {
    calendar: NaiveDate,
    pub world: World,
    pub from: usize,
    pub to: usize,
    pub only: OnlyPrimaryOwner,
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
    let covers_from = prop::collection::vec(prop::option::weighted(0.2, 0..DAYS), BANKS);
    let banks = (mergers, covers_from);
    let calendar = prop::sample::select(CALENDARS.to_vec());
    let records = prop::collection::vec(records(), 0..8);
    (calendar, days, turns, banks, records, only).prop_map(
        |(
            calendar,
            (today, kept, one, other),
            (ends_today, all_ended, upwards),
            (mergers, covers_from),
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
                covers_from,
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
            })
            .zip(&self.world.covers_from)
            .map(|(bank, covers_from)| Participant {
                covers_from: covers_from.map(|first| self.day(first)),
                ..bank
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
        before_retention: found.before_retention,
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
