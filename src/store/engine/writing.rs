//! Who writes a set: its lock, what is being written, and what is read of it meanwhile.

use crate::domain::relationship::SetId;
use crate::pseudonym::{Sealed, SealedAgreement};
use crate::store::{
    Begun, Publication, Published, RowKey, RowWrite, SealedRecord, SetChange, SetState, StoreError, Tally,
};
use crate::store::{postgres, sqlite};
use chrono::NaiveDate;
use uuid::Uuid;

/// A set that is prepared to be put under the next key.
pub enum Rekeyed {
    Sqlite(sqlite::Rekeyed),
    Postgres(postgres::Rekeyed),
}

impl Rekeyed {
    /// Puts it under the next key. Not for threads that answer.
    pub fn put_in_force(self, lock: SetLock) -> Result<(), StoreError> {
        match (self, lock) {
            (Self::Sqlite(copy), SetLock::Sqlite(lock)) => copy.put_in_force(lock),
            (Self::Postgres(rekeyed), SetLock::Postgres(lock)) => rekeyed.put_in_force(*lock),
            (Self::Sqlite(_), SetLock::Postgres(_)) | (Self::Postgres(_), SetLock::Sqlite(_)) => {
                Err(StoreError::Damaged("a lock of another store"))
            }
        }
    }
}

/// The right to write a set, until it is dropped. No rows beyond the set's version stand.
pub enum SetLock {
    Sqlite(sqlite::SetLock),
    Postgres(Box<postgres::SetLock>),
}

impl SetLock {
    /// The set.
    pub fn set(&self) -> SetId {
        match self {
            Self::Sqlite(lock) => lock.set(),
            Self::Postgres(lock) => lock.set(),
        }
    }

    /// How the set stands. Nobody else changes it.
    pub fn state(&self) -> Result<SetState, StoreError> {
        match self {
            Self::Sqlite(lock) => lock.state(),
            Self::Postgres(lock) => Ok(lock.state().clone()),
        }
    }

    /// What its rows are sealed with, for as long as the lock is held.
    pub fn key(&self) -> Result<RowKey, StoreError> {
        match self {
            Self::Sqlite(lock) => lock.key(),
            Self::Postgres(lock) => lock.key(),
        }
    }

    /// A customer's records of an agreement that are in force: those that a change can concern.
    pub async fn records_of(
        &self,
        customer: &Sealed,
        agreement: &SealedAgreement,
    ) -> Result<Vec<SealedRecord>, StoreError> {
        match self {
            Self::Sqlite(lock) => lock.records_of(customer, agreement),
            Self::Postgres(lock) => lock.records_of(customer, agreement).await,
        }
    }

    /// Whether calls have to hold in a whole set that is being received.
    pub async fn is_receiving_whole_set(&self) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(lock) => lock.is_receiving_whole_set(),
            Self::Postgres(lock) => lock.is_receiving_whole_set().await,
        }
    }

    /// Files that a delivery begins; `Err` names the one that is being received already. The lock is given up then: from
    /// here on calls find the delivery.
    pub async fn begin(self, begun: Begun) -> Result<Result<(), Uuid>, StoreError> {
        match self {
            Self::Sqlite(lock) => lock.begin(begun).await,
            Self::Postgres(lock) => lock.begin(begun).await,
        }
    }

    /// Puts changes in force. The lock is held until it is known whether they are.
    pub async fn publish(self, publication: Publication) -> Result<Published, StoreError> {
        match self {
            Self::Sqlite(lock) => lock.publish(publication).await,
            Self::Postgres(lock) => lock.publish(publication).await,
        }
    }

    /// Begins to write the next version. Not for threads that answer, nor is what it begins.
    pub fn merge(self) -> Result<Merge, StoreError> {
        match self {
            Self::Sqlite(lock) => lock.merge().map(|merge| Merge::Sqlite(Box::new(merge))),
            Self::Postgres(lock) => lock.merge().map(|merge| Merge::Postgres(Box::new(merge))),
        }
    }
}

/// A version of a set that is being written. Dropped before it is published, it leaves nothing that is ever seen.
/// Not for threads that answer.
pub enum Merge {
    Sqlite(Box<sqlite::Merge>),
    Postgres(Box<postgres::Merge>),
}

impl Merge {
    /// How the set stands.
    pub fn state(&self) -> &SetState {
        match self {
            Self::Sqlite(merge) => merge.state(),
            Self::Postgres(merge) => merge.state(),
        }
    }

    /// A customer's records of an agreement, unless they were written already.
    pub fn records_of(
        &self,
        customer: &Sealed,
        agreement: &SealedAgreement,
    ) -> Result<Vec<SealedRecord>, StoreError> {
        match self {
            Self::Sqlite(merge) => merge.records_of(customer, agreement),
            Self::Postgres(merge) => merge.records_of(customer, agreement),
        }
    }

    /// The set's records at a version that is kept.
    pub fn records_at(&self, version: u64) -> SortedRecords {
        match self {
            Self::Sqlite(merge) => SortedRecords::Sqlite(merge.records_at(version)),
            Self::Postgres(merge) => SortedRecords::Postgres(merge.records_at(version)),
        }
    }

    /// The calls that were kept for a whole set.
    pub fn calls(&self) -> KeptCalls {
        match self {
            Self::Sqlite(merge) => KeptCalls::Sqlite(merge.calls()),
            Self::Postgres(merge) => KeptCalls::Postgres(merge.calls()),
        }
    }

    /// Writes what differs between the set as it stands and records in the order of rows, each identity once.
    pub fn replace<E: From<StoreError>>(
        &mut self,
        next: impl FnMut() -> Result<Option<SealedRecord>, E>,
    ) -> Result<(), E> {
        match self {
            Self::Sqlite(merge) => merge.replace(next),
            Self::Postgres(merge) => merge.replace(next),
        }
    }

    /// Makes the records of a version that is kept stand again, and counts them: some may be erased by now.
    pub fn restore(&mut self, version: u64, today: NaiveDate) -> Result<Tally, StoreError> {
        match self {
            Self::Sqlite(merge) => {
                let (mut records, mut tally) = (merge.records_at(version), Tally::default());
                merge.replace(|| {
                    let next = records.next_record()?;
                    next.iter().for_each(|record| tally.add(record, today));
                    Ok::<_, StoreError>(next)
                })?;
                Ok(tally)
            }
            Self::Postgres(merge) => merge.restore(version, today),
        }
    }

    /// Takes a row's change.
    pub fn write(&mut self, write: RowWrite) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(merge) => merge.write(write),
            Self::Postgres(merge) => merge.write(write),
        }
    }

    /// Keeps calls for the whole set that is being received, if there is one.
    pub fn keep_calls(&mut self, calls: Vec<SetChange>) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(merge) => merge.keep_calls(calls),
            Self::Postgres(merge) => merge.keep_calls(calls),
        }
    }

    /// Writes what is left.
    pub fn finish(self) -> Result<Written, StoreError> {
        match self {
            Self::Sqlite(merge) => merge.finish().map(|written| Written::Sqlite(Box::new(written))),
            Self::Postgres(merge) => merge.finish().map(|written| Written::Postgres(Box::new(written))),
        }
    }
}

/// A version that is written, and not in force yet.
pub enum Written {
    Sqlite(Box<sqlite::Written>),
    Postgres(Box<postgres::Written>),
}

impl Written {
    /// How the set stood.
    pub fn state(&self) -> &SetState {
        match self {
            Self::Sqlite(written) => written.state(),
            Self::Postgres(written) => written.state(),
        }
    }

    /// Puts the version in force: from here on every lookup reads it. The lock is held until it is known what became of
    /// it, whoever waits.
    pub async fn publish(self, publication: Publication) -> Result<Published, StoreError> {
        match self {
            Self::Sqlite(written) => written.publish(publication).await,
            Self::Postgres(written) => written.publish(publication).await,
        }
    }
}

/// The calls that were kept for a whole set, and are in force.
pub enum KeptCalls {
    Sqlite(sqlite::KeptCalls),
    Postgres(postgres::KeptCalls),
}

impl KeptCalls {
    /// Those of the next so many customers after one, in the order of rows and in that of the calls.
    pub fn of_customers_after(&self, after: &[u8], most: usize) -> Result<Vec<SetChange>, StoreError> {
        match self {
            Self::Sqlite(calls) => calls.of_customers_after(after, most),
            Self::Postgres(calls) => calls.of_customers_after(after, most),
        }
    }
}

/// A set's records at one version, in the order of customer, agreement and first day.
pub enum SortedRecords {
    Sqlite(sqlite::SortedRecords),
    Postgres(postgres::SortedRecords),
}

impl SortedRecords {
    /// The next record; `None` at the end.
    pub fn next_record(&mut self) -> Result<Option<SealedRecord>, StoreError> {
        match self {
            Self::Sqlite(records) => records.next_record(),
            Self::Postgres(records) => records.next_record(),
        }
    }
}
