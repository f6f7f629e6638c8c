//! Changes held against what stands, customer by customer, and put in force: few at once, many by a merge.

use super::intake::{DETAILED_REJECTS, SORT_ACCOUNTS_BYTES, Sorted, count_distinct, decode_change};
use super::{Delivery, DeliveryError};
use crate::domain::delivery::{Counts, FaultCode, LineFault, Reject};
use crate::pseudonym::{Sealed, SealedAgreement};
use crate::register::resolution::{CustomerRecords, Effect};
use crate::spill::Sorter;
use crate::store::{
    Filing, Merge, Publication, Published, RowWrite, SealedRecord, SetChange, SetLock, Standing, StoreError,
};
use chrono::NaiveDate;
use std::path::PathBuf;
use tokio::runtime::Handle;

/// Rows that are written with the publication itself; more are written by a merge before it.
const MOST_AT_ONCE: usize = 1_000;
/// Rows that are held in memory until it is known that they are to be written.
const MOST_HELD: usize = 100_000;

/// What is to become of a set by changes, not in force yet.
pub(super) struct Resolved {
    writes: Writes,
    /// How the set stands then.
    standing: Standing,
    pub(super) counts: Counts,
    pub(super) rejected: u64,
    pub(super) rejects: Vec<Reject>,
    /// Kept for a whole set that is being received.
    calls: Vec<SetChange>,
}

/// Where the rows are.
enum Writes {
    Held(SetLock, Vec<RowWrite>),
    Merging(Box<Merge>),
    /// A step has failed.
    Lost,
}

impl Writes {
    /// What stands that a change can concern.
    fn records_for(&self, change: &SetChange) -> Result<Vec<SealedRecord>, StoreError> {
        let (customer, agreement) = (change.customer(), change.agreement());
        match self {
            Self::Held(lock, _) => Handle::current().block_on(lock.records_of(customer, agreement)),
            Self::Merging(merge) => merge.records_of(customer, agreement),
            Self::Lost => Err(StoreError::Closed),
        }
    }

    fn held(&self) -> usize {
        match self {
            Self::Held(_, held) => held.len(),
            Self::Merging(_) | Self::Lost => 0,
        }
    }

    fn add(&mut self, writes: Vec<RowWrite>) -> Result<(), StoreError> {
        match self {
            Self::Held(_, held) => {
                held.extend(writes);
                Ok(())
            }
            Self::Merging(merge) => writes.into_iter().try_for_each(|write| merge.write(write)),
            Self::Lost => Err(StoreError::Closed),
        }
    }

    /// Goes over to a merge: from here on rows are written.
    fn merge(&mut self) -> Result<&mut Merge, StoreError> {
        if let Self::Held(..) = self
            && let Self::Held(lock, held) = std::mem::replace(self, Self::Lost)
        {
            let mut merge = Box::new(lock.merge()?);
            held.into_iter().try_for_each(|write| merge.write(write))?;
            *self = Self::Merging(merge);
        }
        match self {
            Self::Merging(merge) => Ok(merge),
            Self::Held(..) | Self::Lost => Err(StoreError::Closed),
        }
    }
}

/// A customer's records of an agreement, while changes are applied to them.
struct Open {
    records: CustomerRecords,
    agreement: SealedAgreement,
}

impl Open {
    fn concerns(&self, change: &SetChange) -> bool {
        self.records.customer() == change.customer() && self.agreement == *change.agreement()
    }
}

/// How changes are resolved.
#[derive(Debug, Clone)]
pub(super) struct Resolving {
    pub(super) today: NaiveDate,
    pub(super) kept_from: NaiveDate,
    /// They are KFR calls, which hold in a whole set too that is being received.
    pub(super) are_calls: bool,
    pub(super) scratch: PathBuf,
}

impl Resolved {
    /// Holds sorted changes against the set. Not for threads that answer.
    pub(super) fn of(lock: SetLock, sorted: Sorted, how: &Resolving) -> Result<Self, DeliveryError> {
        let keeps_calls = how.are_calls && Handle::current().block_on(lock.is_receiving_whole_set())?;
        let mut lines = sorted.lines.under(lock.key()?, &how.scratch)?;
        let mut resolved = Self {
            standing: lock.state()?.standing,
            writes: Writes::Held(lock, Vec::new()),
            counts: Counts::default(),
            rejected: 0,
            rejects: Vec::new(),
            calls: Vec::new(),
        };
        let mut accounts = Sorter::new(&how.scratch, SORT_ACCOUNTS_BYTES);
        let mut open = None::<Open>;
        while let Some(bytes) = lines.next_record()? {
            let (line, change) = decode_change(bytes)?;
            let mut records = match open.take() {
                Some(open) if open.concerns(&change) => open.records,
                former => {
                    let is_next = former
                        .as_ref()
                        .is_none_or(|former| former.records.customer() != change.customer());
                    resolved.counts.customers += u64::from(is_next);
                    former.map_or(Ok(()), |open| resolved.close(&open.records, how))?;
                    let stands = resolved.writes.records_for(&change)?;
                    CustomerRecords::new(change.customer().clone(), stands, how.kept_from)
                }
            };
            resolved.apply(&mut records, line, &change);
            if let Some(account) = account_of(&change) {
                accounts.push(&account.tag().0)?;
            }
            open = Some(Open {
                records,
                agreement: change.agreement().clone(),
            });
            if keeps_calls {
                resolved.calls.push(change);
            }
        }
        open.map_or(Ok(()), |open| resolved.close(&open.records, how))?;
        resolved.counts.accounts = count_distinct(accounts.finish()?)?;
        Ok(resolved)
    }

    fn apply(&mut self, records: &mut CustomerRecords, line: u64, change: &SetChange) {
        let effect = records.apply(change);
        if let Some(fault) = fault_of(effect) {
            return self.reject(line, fault);
        }
        match effect {
            Effect::Stored | Effect::Registered | Effect::AlreadyRunning => self.counts.stored += 1,
            Effect::Ended | Effect::Deregistered => self.counts.ended += 1,
            Effect::Removed => self.counts.removed += 1,
            Effect::NotKept
            | Effect::NoSuchEnd
            | Effect::NotThere
            | Effect::NothingRuns
            | Effect::EndsBeforeItBegan => {}
        }
    }

    /// All changes of a customer and agreement are applied.
    fn close(&mut self, records: &CustomerRecords, how: &Resolving) -> Result<(), DeliveryError> {
        let (before, after) = records.tallies(how.today);
        let standing = &mut self.standing;
        standing.records = (standing.records + after.records).saturating_sub(before.records);
        standing.running = (standing.running + after.running).saturating_sub(before.running);
        self.writes.add(records.writes())?;
        if self.writes.held() > MOST_HELD || self.calls.len() > MOST_HELD {
            self.write_calls()?;
        }
        Ok(())
    }

    /// Goes over to a merge, and writes the calls that are held.
    fn write_calls(&mut self) -> Result<(), StoreError> {
        let merge = self.writes.merge()?;
        while !self.calls.is_empty() {
            let rest = self.calls.split_off(self.calls.len().min(MOST_AT_ONCE));
            merge.keep_calls(std::mem::replace(&mut self.calls, rest))?;
        }
        Ok(())
    }

    fn reject(&mut self, line: u64, fault: LineFault) {
        self.rejected += 1;
        if self.rejects.len() < DETAILED_REJECTS {
            self.rejects.push(Reject {
                line,
                faults: vec![fault],
            });
        }
    }
}

impl Delivery {
    /// Puts resolved changes in force.
    pub(super) async fn put_in_force(
        &self,
        mut resolved: Resolved,
        filing: Filing,
        loads: bool,
    ) -> Result<Published, DeliveryError> {
        let mut standing = std::mem::take(&mut resolved.standing);
        standing.loaded |= loads;
        let publication = |writes, calls| Publication {
            writes,
            standing,
            filing,
            calls,
        };
        match resolved.writes {
            Writes::Held(lock, held) if held.len() + resolved.calls.len() <= MOST_AT_ONCE => {
                Ok(lock.publish(publication(held, resolved.calls)).await?)
            }
            _ => {
                let written = self.workers.run(move || {
                    resolved.write_calls()?;
                    match resolved.writes {
                        Writes::Merging(merge) => merge.finish(),
                        Writes::Held(..) | Writes::Lost => Err(StoreError::Closed),
                    }
                });
                let written = written.await??;
                Ok(written.publish(publication(Vec::new(), Vec::new())).await?)
            }
        }
    }
}

fn account_of(change: &SetChange) -> Option<&Sealed> {
    match change {
        SetChange::Put(record) => record.agreement.account(),
        SetChange::End { identity, .. } | SetChange::Remove(identity) => identity.agreement.account(),
        SetChange::Register { .. } | SetChange::Deregister { .. } => None,
    }
}

/// What cannot be made. Removing what is not there leaves what was asked for.
fn fault_of(effect: Effect) -> Option<LineFault> {
    let (code, parameter, reason) = match effect {
        Effect::NoSuchEnd => (
            FaultCode::NotFound,
            "end",
            "names no record: there is none of this customer, agreement and fromDate",
        ),
        Effect::EndsBeforeItBegan => (FaultCode::InvalidDate, "toDate", "must not lie before fromDate"),
        Effect::Stored
        | Effect::NotKept
        | Effect::Registered
        | Effect::AlreadyRunning
        | Effect::Deregistered
        | Effect::NothingRuns
        | Effect::Ended
        | Effect::Removed
        | Effect::NotThere => return None,
    };
    Some(LineFault {
        code,
        parameter: parameter.to_owned(),
        reason: reason.to_owned(),
    })
}
