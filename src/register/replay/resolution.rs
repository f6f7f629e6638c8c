//! Changes turned into blind writes: the rules of KFR calls, applied to the rows that stand.

use super::{customer_level_row, row};
use crate::domain::relationship::{Interval, Relationship, RelationshipRecord, Role};
use crate::index::CustomerRows;
use crate::index::layout::{Row, RowWrite};
use crate::journal::{SealedIdentity, SetChange};
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
    Ended,
    /// The record of this identity would end before it began.
    EndsBeforeItBegan,
    Removed,
    /// There is no record of this identity to end.
    NoSuchEnd,
    /// There is no record of this identity, so it is removed already.
    NotThere,
}

/// The row of an identity.
fn row_of(identity: &SealedIdentity, relationship: Relationship) -> Row {
    Row {
        customer: identity.customer.customer_key(),
        agreement: identity.agreement.key(),
        account: identity.agreement.account_key(),
        relationship,
    }
}

/// Changes turned into blind writes: the rules of KFR calls and V2 changes, applied to the rows that stand.
pub struct Resolution {
    /// What stands, by customer, agreement and first day.
    standing: HashMap<CustomerKey, BTreeMap<(AgreementKey, NaiveDate), Relationship>>,
    writes: BTreeMap<(CustomerKey, AgreementKey, NaiveDate), RowWrite>,
    effects: Vec<Effect>,
}

impl Resolution {
    pub fn new(rows: impl Iterator<Item = (CustomerKey, CustomerRows)>) -> Self {
        let by_identity = |rows: CustomerRows| {
            rows.into_iter()
                .map(|(agreement, relationship)| ((agreement, relationship.interval().from()), relationship))
                .collect()
        };
        Self {
            standing: rows
                .map(|(customer, rows)| (customer, by_identity(rows)))
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
            SetChange::End { identity, to } => self.end(identity, *to),
            SetChange::Remove(identity) => self.remove(identity),
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

    fn end(&mut self, identity: &SealedIdentity, to: NaiveDate) -> Effect {
        let Some(standing) = self.find(identity) else {
            return Effect::NoSuchEnd;
        };
        match Interval::new(identity.from, Some(to)) {
            Some(interval) => {
                self.put(row_of(identity, standing.over(interval)));
                Effect::Ended
            }
            None => Effect::EndsBeforeItBegan,
        }
    }

    fn remove(&mut self, identity: &SealedIdentity) -> Effect {
        match self.find(identity) {
            Some(standing) => {
                self.delete(row_of(identity, standing));
                Effect::Removed
            }
            None => Effect::NotThere,
        }
    }

    fn find(&self, identity: &SealedIdentity) -> Option<Relationship> {
        let standing = self.standing.get(&identity.customer.customer_key())?;
        standing.get(&(identity.agreement.key(), identity.from)).copied()
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
        let running = standing.into_iter().flatten().filter(|((agreement, _), r)| {
            *agreement == AgreementKey::CUSTOMER_LEVEL && r.interval().runs_on(day)
        });
        running.map(|(_, relationship)| *relationship).collect()
    }

    /// How many records run on a day, of all customers at hand.
    pub fn running_on(&self, day: NaiveDate) -> u64 {
        let records = self.standing.values().flat_map(BTreeMap::values);
        records.filter(|record| record.interval().runs_on(day)).count() as u64
    }

    /// What stands of a customer, by agreement and first day.
    pub(super) fn of_customer(
        &self,
        customer: CustomerKey,
    ) -> BTreeMap<(AgreementKey, NaiveDate), Relationship> {
        self.standing.get(&customer).cloned().unwrap_or_default()
    }

    fn put(&mut self, row: Row) {
        let from = row.relationship.interval().from();
        self.standing
            .entry(row.customer)
            .or_default()
            .insert((row.agreement, from), row.relationship);
        self.writes
            .insert((row.customer, row.agreement, from), RowWrite::Put(row));
    }

    fn delete(&mut self, row: Row) {
        let from = row.relationship.interval().from();
        if let Some(standing) = self.standing.get_mut(&row.customer) {
            standing.remove(&(row.agreement, from));
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
