//! A second model of what deliveries do to a set, as plain as can be.

use crate::deliveries::today;
use chrono::{Months, NaiveDate};
use kundeforhold::domain::relationship::Role;
use std::collections::BTreeMap;

/// Customer, agreement (0: at customer level) and first day.
pub type Identity = (u16, u8, NaiveDate);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub role: Role,
    pub to: Option<NaiveDate>,
}

pub type Records = BTreeMap<Identity, Terms>;

/// A KFR call, or an item of a batch.
#[derive(Debug, Clone, Copy)]
pub enum Call {
    Register { customer: u16, from: NaiveDate },
    Deregister { customer: u16, to: Option<NaiveDate> },
}

/// A line of changes.
#[derive(Debug, Clone, Copy)]
pub enum Change {
    Put(Identity, Terms),
    End(Identity, NaiveDate),
    Remove(Identity),
}

/// What a call comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Done,
    NothingToDo,
    Refused,
}

/// What ended longer ago than ten years is not kept.
pub fn keep(records: &mut Records) {
    let kept_from = today() - Months::new(120);
    records.retain(|_, terms| terms.to.is_none_or(|to| to >= kept_from));
}

fn runs((_, _, from): &Identity, terms: &Terms) -> bool {
    *from <= today() && terms.to.is_none_or(|to| to >= today())
}

pub fn running(records: &Records) -> u64 {
    records
        .iter()
        .filter(|(identity, terms)| runs(identity, terms))
        .count() as u64
}

/// Those of a customer at customer level that run, earliest first.
fn running_at_level(records: &Records, customer: u16) -> Vec<(Identity, Terms)> {
    let of_customer = records.range((customer, 0, NaiveDate::MIN)..=(customer, 0, NaiveDate::MAX));
    let running = of_customer.filter(|(identity, terms)| runs(identity, terms));
    running.map(|(identity, terms)| (*identity, *terms)).collect()
}

pub fn call(records: &mut Records, call: &Call) -> Outcome {
    let outcome = match *call {
        Call::Register { customer, from } => register(records, customer, from),
        Call::Deregister { customer, to } => deregister(records, customer, to),
    };
    keep(records);
    outcome
}

fn register(records: &mut Records, customer: u16, from: NaiveDate) -> Outcome {
    let running = running_at_level(records, customer);
    let open = running.iter().find(|(_, terms)| terms.to.is_none());
    match open.or(running.first()) {
        None => {
            let terms = Terms {
                role: Role::Unknown,
                to: None,
            };
            records.insert((customer, 0, from), terms);
            Outcome::Done
        }
        Some((identity, terms)) => {
            records.remove(identity);
            let began = identity.2.min(from);
            records.insert((customer, 0, began), Terms { to: None, ..*terms });
            match terms.to {
                None => Outcome::NothingToDo,
                Some(_) => Outcome::Done,
            }
        }
    }
}

fn deregister(records: &mut Records, customer: u16, to: Option<NaiveDate>) -> Outcome {
    let running = running_at_level(records, customer);
    if running.is_empty() {
        return Outcome::NothingToDo;
    }
    let last = to.unwrap_or(today().pred_opt().unwrap());
    if to.is_some() && running.iter().any(|((_, _, from), _)| *from > last) {
        return Outcome::Refused;
    }
    for (identity, terms) in running {
        match identity.2 > last {
            true => records.remove(&identity),
            false => records.insert(
                identity,
                Terms {
                    to: Some(last),
                    ..terms
                },
            ),
        };
    }
    Outcome::Done
}

/// All or nothing; `false`: nothing.
pub fn change(records: &mut Records, changes: &[Change]) -> bool {
    let mut changed = records.clone();
    for change in changes {
        match change {
            Change::Put(identity, terms) => drop(changed.insert(*identity, *terms)),
            Change::Remove(identity) => drop(changed.remove(identity)),
            Change::End(identity, to) => match changed.get_mut(identity) {
                Some(terms) if identity.2 <= *to => terms.to = Some(*to),
                Some(_) | None => return false,
            },
        }
    }
    keep(&mut changed);
    *records = changed;
    true
}
