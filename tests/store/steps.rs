//! What a bank may do, drawn at random.

use crate::deliveries::today;
use crate::model::{Call, Change, Identity, Terms};
use chrono::{NaiveDate, TimeDelta};
use kundeforhold::domain::relationship::Role;
use proptest::collection::vec;
use proptest::prelude::*;

/// What happens while a whole set is received, and what becomes of it.
#[derive(Debug, Clone)]
pub struct Upload {
    pub lines: Vec<(Identity, Terms)>,
    pub meanwhile: Vec<Meanwhile>,
    pub is_broken_off: bool,
}

#[derive(Debug, Clone)]
pub enum Meanwhile {
    Call(Call),
    Batch(Vec<(u16, NaiveDate)>),
    Rekey,
}

#[derive(Debug, Clone)]
pub enum Step {
    WholeSet(Upload),
    Changes(Vec<Change>),
    Apart(Meanwhile),
    RollBack,
    Reopen,
    Kill,
    /// A kill while a whole set is received.
    KillAmid(Vec<Meanwhile>),
    /// A kill while a rekey copies.
    KillAmidRekey(Vec<Meanwhile>),
    Purge,
    BackUp,
    /// Of the last backup, if there is one.
    Restore,
    /// Time goes on, until all that has ended by today has ended too long ago.
    Erase,
}

fn days(range: std::ops::Range<i64>) -> impl Strategy<Value = NaiveDate> {
    range.prop_map(|offset| today() + TimeDelta::days(offset))
}

fn identity() -> impl Strategy<Value = Identity> {
    // Few, so that they meet.
    let long_ago = days(-3_662..-3_650);
    let from = prop_oneof![3 => Just(today()), 3 => days(-4..-1), 1 => long_ago];
    (0..3_u16, 0..4_u8, from)
}

fn put() -> impl Strategy<Value = (Identity, Terms)> {
    let roles = prop_oneof![Just(Role::Unknown), Just(Role::Owner), Just(Role::Other)];
    let lengths = prop_oneof![3 => Just(None), 1 => (0..6_i64).prop_map(Some)];
    (identity(), roles, lengths).prop_map(|(identity, role, length)| {
        let to = length.map(|length| identity.2 + TimeDelta::days(length));
        (identity, Terms { role, to })
    })
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        3 => put().prop_map(|(identity, terms)| Change::Put(identity, terms)),
        1 => (identity(), prop_oneof![days(-3..3), days(-3_656..-3_650)]).prop_map(|(identity, to)| Change::End(identity, to)),
        1 => identity().prop_map(Change::Remove),
    ]
}

fn meanwhile() -> impl Strategy<Value = Meanwhile> {
    let register = (0..3_u16).prop_map(|customer| Call::Register {
        customer,
        from: today(),
    });
    let deregister = (0..3_u16, proptest::option::of(days(-5..4)));
    let deregister = deregister.prop_map(|(customer, to)| Call::Deregister { customer, to });
    prop_oneof![
        2 => register.prop_map(Meanwhile::Call),
        2 => deregister.prop_map(Meanwhile::Call),
        1 => vec((0..3_u16, days(-6..1)), 1..5).prop_map(Meanwhile::Batch),
        1 => Just(Meanwhile::Rekey),
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    let upload = (
        vec(put(), 0..8),
        vec(meanwhile(), 0..4),
        proptest::bool::weighted(0.2),
    );
    let upload = upload.prop_map(|(lines, meanwhile, is_broken_off)| Upload {
        lines,
        meanwhile,
        is_broken_off,
    });
    prop_oneof![
        4 => upload.prop_map(Step::WholeSet),
        4 => vec(change(), 0..6).prop_map(Step::Changes),
        4 => meanwhile().prop_map(Step::Apart),
        3 => Just(Step::RollBack),
        1 => Just(Step::Reopen),
        1 => Just(Step::Kill),
        1 => vec(meanwhile(), 0..3).prop_map(Step::KillAmid),
        1 => vec(meanwhile(), 0..3).prop_map(Step::KillAmidRekey),
        1 => Just(Step::Purge),
        1 => Just(Step::BackUp),
        1 => Just(Step::Restore),
        1 => Just(Step::Erase),
    ]
}
