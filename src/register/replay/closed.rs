//! What ended longer ago than it is kept, left out of a whole set: what is replayed stays the same but for that.

use super::{Resolution, changes_at};
use crate::domain::relationship::{Relationship, SetId};
use crate::journal::{Changes, Journal, JournalError, KeptState, NewBody, SealedRecord, SetChange};
use crate::pseudonym::{AgreementKey, CustomerKey};
use crate::spill::{Merged, Sorter};
use chrono::NaiveDate;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Records, and later changes, of a customer that are held in memory. Those of customers with more stay.
const MOST_OF_CUSTOMER: usize = 10_000;
/// Memory for sorting what changed the whole set since.
const SORT_BYTES: usize = 16 << 20;
const KEY_BYTES: usize = 16;
/// A customer, and the place of a change among all that follow the whole set.
const HEADER_BYTES: usize = KEY_BYTES + 8;

/// Writes the whole set of a kept state again, without the records that had ended before a day, be it by what
/// changed it later; what stays in the journal of those who changed it is replayed to the same. `None`: it has none.
/// `check` is asked now and then whether to go on. Blocks; memory is bounded.
pub fn without_closed(
    journal: &Arc<Journal>,
    set: SetId,
    state: KeptState,
    before: NaiveDate,
    check: &mut dyn FnMut() -> Result<(), JournalError>,
) -> Result<Option<NewBody>, JournalError> {
    let mut has_closed = false;
    walk(journal, set, state, before, &mut |_, closed| {
        has_closed |= closed;
        Ok(!closed)
    })?;
    let whole_set = journal.published_at(set, state.whole_set)?;
    let Some(mut rewriting) = journal
        .begin_rewriting(whole_set.publication())?
        .filter(|_| has_closed)
    else {
        return Ok(None);
    };
    let mut written = 0_u64;
    walk(journal, set, state, before, &mut |record, closed| {
        if written.is_multiple_of(MOST_OF_CUSTOMER as u64) {
            check()?;
        }
        written += 1;
        if !closed {
            rewriting.push(&SetChange::Put(record.clone()))?;
        }
        Ok(true)
    })?;
    rewriting.finish(journal).map(Some)
}

/// Gives each record of the whole set and whether it can be left out, until told to stop.
fn walk(
    journal: &Journal,
    set: SetId,
    state: KeptState,
    before: NaiveDate,
    told: &mut dyn FnMut(&SealedRecord, bool) -> Result<bool, JournalError>,
) -> Result<(), JournalError> {
    let mut later = Later::of(journal, set, state)?;
    let mut records = Records {
        changes: changes_at(journal, set, state.whole_set)?,
        ahead: None,
    };
    let (mut too_many, mut last) = (None, None);
    while let Some((customer, records)) = records.next_customer()? {
        if last > Some(customer) {
            return Err(JournalError::Corrupt("order of a whole set"));
        }
        last = Some(customer);
        let later = later.of_customer(customer)?;
        if records.len() >= MOST_OF_CUSTOMER || later.len() >= MOST_OF_CUSTOMER {
            too_many = Some(customer);
        }
        let closed = match too_many == Some(customer) {
            true => vec![false; records.len()],
            false => closed(customer, &records, &later, before),
        };
        for (record, closed) in records.iter().zip(closed) {
            if !told(record, closed)? {
                return Ok(());
            }
        }
    }
    Ok(())
}

type Standing = BTreeMap<(AgreementKey, NaiveDate), Relationship>;

fn identity(record: &SealedRecord) -> (AgreementKey, NaiveDate) {
    (record.agreement.key(), record.relationship.interval().from())
}

/// Which records of a customer can be left out: those that have ended before the day by now, provided that all
/// else then comes to stand as it stands. KFR calls look at what runs, so that is tried.
fn closed(
    customer: CustomerKey,
    records: &[SealedRecord],
    later: &[SetChange],
    before: NaiveDate,
) -> Vec<bool> {
    let is_closed = |relationship: &Relationship| relationship.interval().to().is_some_and(|to| to < before);
    let none = vec![false; records.len()];
    if later.is_empty() {
        return records
            .iter()
            .map(|record| is_closed(&record.relationship))
            .collect();
    }
    let mut stands = standing(customer, records, &none, later);
    let ended = |record| stands.get(&identity(record)).is_some_and(is_closed);
    let left_out: Vec<bool> = records.iter().map(ended).collect();
    let mut without = standing(customer, records, &left_out, later);
    stands.retain(|_, relationship| !is_closed(relationship));
    without.retain(|_, relationship| !is_closed(relationship));
    if stands == without { left_out } else { none }
}

fn standing(
    customer: CustomerKey,
    records: &[SealedRecord],
    left_out: &[bool],
    later: &[SetChange],
) -> Standing {
    let mut resolution = Resolution::new(std::iter::empty());
    for (record, left_out) in records.iter().zip(left_out) {
        if !left_out {
            resolution.apply(&SetChange::Put(record.clone()));
        }
    }
    later.iter().for_each(|change| resolution.apply(change));
    resolution.of_customer(customer)
}

/// The records of a whole set, in its order.
struct Records {
    changes: Changes,
    ahead: Option<SealedRecord>,
}

impl Records {
    /// The next records of one customer: all, or so many that they are [too many](MOST_OF_CUSTOMER).
    fn next_customer(&mut self) -> Result<Option<(CustomerKey, Vec<SealedRecord>)>, JournalError> {
        let Some(first) = self.next()? else {
            return Ok(None);
        };
        let customer = first.customer.customer_key();
        let mut records = vec![first];
        while records.len() < MOST_OF_CUSTOMER
            && let Some(record) = self.next()?
        {
            if record.customer.customer_key() != customer {
                self.ahead = Some(record);
                break;
            }
            records.push(record);
        }
        Ok(Some((customer, records)))
    }

    fn next(&mut self) -> Result<Option<SealedRecord>, JournalError> {
        if let Some(record) = self.ahead.take() {
            return Ok(Some(record));
        }
        match self.changes.next().transpose()? {
            None => Ok(None),
            Some(SetChange::Put(record)) => Ok(Some(record)),
            Some(_) => Err(JournalError::Corrupt("whole set")),
        }
    }
}

/// What changed the whole set since, by customer and in order.
struct Later {
    sorted: Merged,
    ahead: Option<(CustomerKey, SetChange)>,
}

impl Later {
    fn of(journal: &Journal, set: SetId, state: KeptState) -> Result<Self, JournalError> {
        let mut sorter = Sorter::new(journal.scratch(), SORT_BYTES);
        let (mut record, mut place) = (Vec::new(), 0_u64);
        let parts = journal.made_of(set, state.position).into_iter();
        for at in parts.filter(|at| *at != state.whole_set) {
            for change in changes_at(journal, set, at)? {
                let change = change?;
                record.clear();
                record.extend(change.customer().customer_key().0);
                record.extend(place.to_be_bytes());
                change.encode(&mut record);
                sorter.push(&record).map_err(JournalError::Io)?;
                place += 1;
            }
        }
        Ok(Self {
            sorted: sorter.finish().map_err(JournalError::Io)?,
            ahead: None,
        })
    }

    /// The changes of a customer, up to [so many](MOST_OF_CUSTOMER). Customers are asked for in order.
    fn of_customer(&mut self, customer: CustomerKey) -> Result<Vec<SetChange>, JournalError> {
        let mut changes = Vec::new();
        while let Some((of, change)) = self.next()? {
            if of > customer {
                self.ahead = Some((of, change));
                break;
            }
            if of == customer && changes.len() < MOST_OF_CUSTOMER {
                changes.push(change);
            }
        }
        Ok(changes)
    }

    fn next(&mut self) -> Result<Option<(CustomerKey, SetChange)>, JournalError> {
        if let Some(ahead) = self.ahead.take() {
            return Ok(Some(ahead));
        }
        let Some(record) = self.sorted.next_record().map_err(JournalError::Io)? else {
            return Ok(None);
        };
        let damaged = || JournalError::Corrupt("sorted change");
        let (header, mut change) = record.split_at_checked(HEADER_BYTES).ok_or_else(damaged)?;
        let customer = header.first_chunk().copied().ok_or_else(damaged)?;
        let change = SetChange::decode(&mut change)?.ok_or_else(damaged)?;
        Ok(Some((CustomerKey(customer), change)))
    }
}
