//! What changes do to a customer's records: the rules of KFR calls and V2 changes, applied to what stands.

use crate::domain::relationship::{Interval, Relationship, RelationshipRecord, Role};
use crate::pseudonym::{Sealed, SealedAgreement};
use crate::store::{RowWrite, SealedIdentity, SealedRecord, SetChange, Tally};
use chrono::NaiveDate;
use std::collections::BTreeMap;

/// What a change did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Stored,
    /// It ended longer ago than records are kept.
    NotKept,
    Registered,
    AlreadyRunning,
    Deregistered,
    NothingRuns,
    Ended,
    /// A record would end before it began. Nothing is changed.
    EndsBeforeItBegan,
    Removed,
    /// There is no record of this identity to end.
    NoSuchEnd,
    /// There is no record of this identity, so it is removed already.
    NotThere,
}

/// Agreement as it is stored, and first day: the order of a customer's rows.
type Key = (Vec<u8>, NaiveDate);

/// A customer's records in one set, while changes are applied to them.
pub struct CustomerRecords {
    customer: Sealed,
    /// What ended before this day counts as gone.
    kept_from: NaiveDate,
    before: BTreeMap<Key, SealedRecord>,
    now: BTreeMap<Key, SealedRecord>,
}

impl CustomerRecords {
    pub fn new(
        customer: Sealed,
        records: impl IntoIterator<Item = SealedRecord>,
        kept_from: NaiveDate,
    ) -> Self {
        let before: BTreeMap<Key, SealedRecord> = records
            .into_iter()
            .map(|record| (key_of(&record), record))
            .collect();
        Self {
            customer,
            kept_from,
            now: before.clone(),
            before,
        }
    }

    pub fn customer(&self) -> &Sealed {
        &self.customer
    }

    pub fn apply(&mut self, change: &SetChange) -> Effect {
        match change {
            SetChange::Put(record) => {
                self.put(record.clone());
                match record.relationship.interval().ended_before(self.kept_from) {
                    true => Effect::NotKept,
                    false => Effect::Stored,
                }
            }
            SetChange::End { identity, to } => self.end(identity, *to),
            SetChange::Remove(identity) => self.remove(identity),
            SetChange::Register { from, on, role, .. } => self.register(*from, *on, *role),
            SetChange::Deregister {
                to, on, is_explicit, ..
            } => self.deregister(*to, *on, *is_explicit),
        }
    }

    fn end(&mut self, identity: &SealedIdentity, to: NaiveDate) -> Effect {
        let Some(standing) = self.find(identity) else {
            return Effect::NoSuchEnd;
        };
        match Interval::new(identity.from, Some(to)) {
            Some(interval) => {
                self.put(over(standing, interval));
                Effect::Ended
            }
            None => Effect::EndsBeforeItBegan,
        }
    }

    fn remove(&mut self, identity: &SealedIdentity) -> Effect {
        match self.find(identity) {
            Some(standing) => {
                self.now.remove(&key_of(&standing));
                Effect::Removed
            }
            None => Effect::NotThere,
        }
    }

    /// The record of an identity, unless it ended longer ago than it is kept, be it erased by now or not.
    fn find(&self, identity: &SealedIdentity) -> Option<SealedRecord> {
        let key = (identity.agreement.as_bytes().to_vec(), identity.from);
        let record = self.now.get(&key)?;
        (self.is_changed(&key, record) || self.is_kept(record)).then(|| record.clone())
    }

    fn is_changed(&self, key: &Key, record: &SealedRecord) -> bool {
        self.before.get(key) != Some(record)
    }

    fn is_kept(&self, record: &SealedRecord) -> bool {
        !record.relationship.interval().ended_before(self.kept_from)
    }

    /// What stands once all changes are made: nothing is written that would be erased again the same day.
    fn standing(&self) -> impl Iterator<Item = (&Key, &SealedRecord)> {
        let stands =
            |(key, record): &(&Key, &SealedRecord)| !self.is_changed(key, record) || self.is_kept(record);
        self.now.iter().filter(stands)
    }

    /// KFR: of what runs, the earlier start stands, without an end.
    fn register(&mut self, from: NaiveDate, on: NaiveDate, role: Role) -> Effect {
        let running = self.running_at_customer_level(on);
        let is_open = |record: &&SealedRecord| record.relationship.interval().to().is_none();
        let running = running.iter().find(is_open).or(running.first()).cloned();
        let Some(running) = running else {
            let holds_funds = RelationshipRecord::holds_funds_by_default(role);
            if let Some(interval) = Interval::new(from, None) {
                self.put(SealedRecord {
                    customer: self.customer.clone(),
                    agreement: SealedAgreement::CustomerLevel,
                    relationship: Relationship::new(role, false, holds_funds, interval),
                });
            }
            return Effect::Registered;
        };
        let (began, was_open) = (running.relationship.interval().from(), is_open(&&running));
        if !(was_open && began <= from) {
            self.now.remove(&key_of(&running));
            if let Some(interval) = Interval::new(from.min(began), None) {
                self.put(over(running, interval));
            }
        }
        // One that had an end, today or ahead, runs on again: that is more than running already.
        match was_open {
            true => Effect::AlreadyRunning,
            false => Effect::Registered,
        }
    }

    /// KFR: all that runs ends. By default what began only today goes; a day that the bank named is not before a start.
    fn deregister(&mut self, to: NaiveDate, on: NaiveDate, is_explicit: bool) -> Effect {
        let running = self.running_at_customer_level(on);
        let begins_later = |record: &SealedRecord| record.relationship.interval().from() > to;
        if running.is_empty() {
            return Effect::NothingRuns;
        }
        if is_explicit && running.iter().any(begins_later) {
            return Effect::EndsBeforeItBegan;
        }
        for record in running {
            match Interval::new(record.relationship.interval().from(), Some(to)) {
                Some(interval) => self.put(over(record, interval)),
                None => drop(self.now.remove(&key_of(&record))),
            }
        }
        Effect::Deregistered
    }

    /// Earliest first.
    fn running_at_customer_level(&self, day: NaiveDate) -> Vec<SealedRecord> {
        let of_level = self.now.values().filter(|record| {
            record.agreement == SealedAgreement::CustomerLevel && record.relationship.interval().runs_on(day)
        });
        of_level.cloned().collect()
    }

    fn put(&mut self, record: SealedRecord) {
        self.now.insert(key_of(&record), record);
    }

    /// What has to be written for the changes to stand.
    pub fn writes(&self) -> Vec<RowWrite> {
        let standing: BTreeMap<&Key, &SealedRecord> = self.standing().collect();
        let gone = self.before.iter().filter(|(key, _)| !standing.contains_key(key));
        let mut writes: Vec<RowWrite> = gone.map(|(_, record)| RowWrite::End(record.clone())).collect();
        for (key, record) in standing {
            match self.before.get(key) {
                Some(before) if before == record => {}
                Some(_) => writes.push(RowWrite::Replace(record.clone())),
                None => writes.push(RowWrite::Insert(record.clone())),
            }
        }
        writes
    }

    /// The records as they stand now, in their order.
    pub fn records(&self) -> impl Iterator<Item = SealedRecord> {
        self.standing().map(|(_, record)| record.clone())
    }

    /// What there was before the changes, and what there is now.
    pub fn tallies(&self, today: NaiveDate) -> (Tally, Tally) {
        let (mut before, mut after) = (Tally::default(), Tally::default());
        self.before.values().for_each(|record| before.add(record, today));
        self.standing().for_each(|(_, record)| after.add(record, today));
        (before, after)
    }
}

fn key_of(record: &SealedRecord) -> Key {
    (
        record.agreement.as_bytes().to_vec(),
        record.relationship.interval().from(),
    )
}

fn over(record: SealedRecord, interval: Interval) -> SealedRecord {
    SealedRecord {
        relationship: record.relationship.over(interval),
        ..record
    }
}

#[cfg(test)]
mod tests;
