//! Changes turned into blind writes: the rules of KFR calls, applied to the rows that stand.

use super::{customer_level_row, row};
use crate::domain::relationship::{Interval, Relationship, RelationshipRecord, Role};
use crate::index::CustomerRows;
use crate::index::layout::{Row, RowWrite};
use crate::journal::SetChange;
use crate::pseudonym::{AgreementKey, CustomerKey, Sealed};
use chrono::NaiveDate;
use std::collections::{BTreeMap, HashMap};

/// What a change did to a customer, for the answer to a KFR call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Stored,
    Registered,
    AlreadyRunning,
    Deregistered,
    NothingRuns,
}

/// Changes turned into blind writes: the rules of KFR calls, applied to the rows that stand.
pub struct Resolution {
    /// First and last day of what stands at customer level, by customer and first day.
    standing: HashMap<CustomerKey, BTreeMap<NaiveDate, Relationship>>,
    writes: BTreeMap<(CustomerKey, AgreementKey, NaiveDate), RowWrite>,
    effects: Vec<Effect>,
}

impl Resolution {
    pub fn new(rows: impl Iterator<Item = (CustomerKey, CustomerRows)>) -> Self {
        let customer_level = |rows: CustomerRows| {
            rows.into_iter()
                .filter(|(agreement, _)| *agreement == AgreementKey::CUSTOMER_LEVEL)
                .map(|(_, relationship)| (relationship.interval().from(), relationship))
                .collect()
        };
        Self {
            standing: rows
                .map(|(customer, rows)| (customer, customer_level(rows)))
                .collect(),
            writes: BTreeMap::new(),
            effects: Vec::new(),
        }
    }

    pub fn apply(&mut self, change: &SetChange) {
        let effect = match change {
            SetChange::Put(record) => {
                self.put(row(record));
                Effect::Stored
            }
            SetChange::Register {
                customer,
                from,
                on,
                role,
            } => self.register(customer, *from, *on, *role),
            SetChange::Deregister { customer, to, on } => self.deregister(customer, *to, *on),
        };
        self.effects.push(effect);
    }

    fn register(&mut self, customer: &Sealed, from: NaiveDate, on: NaiveDate, role: Role) -> Effect {
        let customer = customer.customer_key();
        let running = self.running(customer, on);
        let open_ended = running
            .iter()
            .find(|relationship| relationship.interval().to().is_none());
        let running = open_ended.or(running.first()).copied();
        let relationship = match running {
            Some(running) if running.interval().from() <= from && running.interval().to().is_none() => {
                return Effect::AlreadyRunning;
            }
            Some(running) => {
                self.delete(customer_level_row(customer, running));
                Interval::new(from.min(running.interval().from()), None)
                    .map(|interval| running.over(interval))
            }
            None => {
                let holds_funds = RelationshipRecord::holds_funds_by_default(role);
                let interval = Interval::new(from, None);
                interval.map(|interval| Relationship::new(role, false, holds_funds, interval))
            }
        };
        if let Some(relationship) = relationship {
            self.put(customer_level_row(customer, relationship));
        }
        // One that had an end, today or ahead, runs on again: that is more than running already.
        let ran_on = running.is_some_and(|running| running.interval().to().is_none());
        if ran_on {
            Effect::AlreadyRunning
        } else {
            Effect::Registered
        }
    }

    fn deregister(&mut self, customer: &Sealed, to: NaiveDate, on: NaiveDate) -> Effect {
        let customer = customer.customer_key();
        let running = self.running(customer, on);
        for relationship in &running {
            match Interval::new(relationship.interval().from(), Some(to)) {
                Some(interval) => self.put(customer_level_row(customer, relationship.over(interval))),
                None => self.delete(customer_level_row(customer, *relationship)),
            }
        }
        if running.is_empty() {
            Effect::NothingRuns
        } else {
            Effect::Deregistered
        }
    }

    /// What runs at customer level on a day, earliest first.
    fn running(&self, customer: CustomerKey, day: NaiveDate) -> Vec<Relationship> {
        let standing = self.standing.get(&customer);
        let running = standing
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter(|r| r.interval().runs_on(day));
        running.copied().collect()
    }

    fn put(&mut self, row: Row) {
        let from = row.relationship.interval().from();
        if row.agreement == AgreementKey::CUSTOMER_LEVEL {
            self.standing
                .entry(row.customer)
                .or_default()
                .insert(from, row.relationship);
        }
        self.writes
            .insert((row.customer, row.agreement, from), RowWrite::Put(row));
    }

    fn delete(&mut self, row: Row) {
        let from = row.relationship.interval().from();
        if let Some(standing) = self.standing.get_mut(&row.customer) {
            standing.remove(&from);
        }
        self.writes
            .insert((row.customer, row.agreement, from), RowWrite::Delete(row));
    }

    /// What each change did, in order.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// One write a row, in order of customer.
    pub fn into_writes(self) -> Vec<RowWrite> {
        self.writes.into_values().collect()
    }
}
