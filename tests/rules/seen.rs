//! What the random questions were like: a class that is met too rarely proves nothing.

use crate::model::{Answer, OnlyPrimaryOwner, Ownership, Record, Role, World};
use crate::random::{BANKS, QUESTIONS, Question};
use std::collections::BTreeMap;

/// How often each class of interest must have been met, at the least: the rarest is met twice as often.
const OFTEN: u32 = QUESTIONS / 200;

/// How many questions were of a class.
#[derive(Default)]
pub struct Seen(BTreeMap<&'static str, u32>);

impl Seen {
    fn note(&mut self, classes: &[(&'static str, bool)]) {
        for (class, met) in classes {
            *self.0.entry(class).or_default() += u32::from(*met);
        }
    }

    pub fn assert_each_often(&self) {
        let rare: Vec<_> = self.0.iter().filter(|(_, count)| **count < OFTEN).collect();
        assert!(rare.is_empty(), "met too rarely: {rare:?}");
    }
}

pub fn note_boundaries(question: &Question, seen: &mut Seen) {
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
    note_mergers(world, seen);
}

fn note_mergers(world: &World, seen: &mut Seen) {
    let any = |is: &dyn Fn(&Record) -> bool| world.records.iter().any(is);
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

pub fn note_answers(question: &Question, expected: &Answer, seen: &mut Seen) {
    let Question {
        world,
        from,
        to,
        only,
        ..
    } = question;
    let listed = |is: Ownership| expected.banks.iter().any(|(_, ownership, _)| *ownership == is);
    let everything = world.relationships(*from, *to, OnlyPrimaryOwner::Absent);
    note_reach(question, &everything, seen);
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

/// Where it matters, or might, how far back the records of a bank reach.
fn note_reach(question: &Question, everything: &Answer, seen: &mut Seen) {
    let Question { world, from, to, .. } = question;
    let begins_late = |at: usize| world.covers_from[at].is_some_and(|first| first > *from);
    let answered = |bank: usize| {
        let of_bank = move |r: &&Record| world.listed_as(r.bank) == bank && world.is_spoken_of(r);
        let overlaps = |r: &&Record| (*from..=*to).any(|day| r.runs(day));
        world.records.iter().filter(of_bank).filter(overlaps)
    };
    let any = |is: &dyn Fn(usize, Ownership) -> bool| {
        everything
            .banks
            .iter()
            .any(|(bank, ownership, _)| is(*bank, *ownership))
    };
    let without_unknown = |bank| answered(bank).all(|r| r.role != Role::Unknown);
    let decides = |bank, ownership| ownership == Ownership::Unknown && without_unknown(bank);
    seen.note(&[
        ("how far back a bank reaches decides", any(&decides)),
        (
            "how far back a merged bank reaches decides",
            any(&|bank, ownership| decides(bank, ownership) && !begins_late(bank)),
        ),
        (
            "how far back only the successor reaches decides",
            any(&|bank, ownership| {
                decides(bank, ownership) && answered(bank).all(|r| r.bank != bank && !begins_late(r.bank))
            }),
        ),
        (
            "a merged bank that reaches less far has no answered record",
            any(&|bank, ownership| {
                let merged = |at: usize| at != bank && world.listed_as(at) == bank;
                let contributes = |at: usize| answered(bank).any(|r| r.bank == at);
                ownership == Ownership::NotPrimary
                    && (0..BANKS).any(|at| merged(at) && begins_late(at) && !contributes(at))
            }),
        ),
        (
            "a bank reaches back to the first day asked for",
            any(&|bank, ownership| {
                ownership == Ownership::NotPrimary && world.covers_from[bank] == Some(*from)
            }),
        ),
        (
            "a primary owner at a bank that reaches less far",
            any(&|bank, ownership| ownership == Ownership::Primary && begins_late(bank)),
        ),
    ]);
}

pub fn note_accounts(question: &Question, may_be: &[usize], contested: bool, seen: &mut Seen) {
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
