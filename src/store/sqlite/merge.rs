//! What takes long to write: rows of the next version in short steps, seen by nobody until it is published.

use super::Store;
use super::lock::SetLock;
use super::publish::{keep_calls, put_in_force};
use super::rows::RowWriter;
use super::scan::SortedRecords;
use super::steps::{Pointers, Steps};
use super::writer::Done;
use crate::pseudonym::{Sealed, SealedAgreement};
use crate::store::publication::{count_published, note_tags};
use crate::store::{
    Changed, KeyId, Publication, Published, RowWrite, SealedRecord, SetChange, SetState, StoreError,
};
use rusqlite::{Connection, params};
use std::cmp::Ordering;

/// A version of a set that is being written. Dropped before it is published, it leaves rows that nobody sees, and that
/// whoever takes the set next removes.
pub struct Merge {
    writing: Writing,
    writes: Vec<RowWrite>,
    steps: Steps,
    /// What points to accounts goes last, in its own order.
    accounts: Pointers,
}

/// A version that is written, and not in force yet.
pub struct Written(Writing);

/// The lock, and what the version is.
struct Writing {
    lock: SetLock,
    store: Store,
    state: SetState,
    changed: Changed,
    begun: bool,
}

impl Drop for Writing {
    fn drop(&mut self) {
        if self.begun {
            self.store.0.memory.mark_merging(self.lock.set);
        }
    }
}

impl SetLock {
    /// Begins to write the next version.
    pub fn merge(self) -> Result<Merge, StoreError> {
        let (store, state) = (self.store.clone(), self.state()?);
        Ok(Merge {
            writes: Vec::new(),
            steps: Steps::new(&store),
            accounts: Pointers::new(&store),
            writing: Writing {
                lock: self,
                store,
                state,
                changed: Changed::default(),
                begun: false,
            },
        })
    }
}

impl Merge {
    /// How the set stands.
    pub fn state(&self) -> &SetState {
        &self.writing.state
    }

    /// A customer's records of an agreement, unless they were written already.
    pub fn records_of(
        &self,
        customer: &Sealed,
        agreement: &SealedAgreement,
    ) -> Result<Vec<SealedRecord>, StoreError> {
        self.writing.lock.records_of(customer, agreement)
    }

    /// The set's records at a version that is kept.
    pub fn records_at(&self, version: u64) -> SortedRecords {
        SortedRecords::new(&self.writing.store, &self.writing.state, version)
    }

    /// The calls that were kept for a whole set.
    pub fn calls(&self) -> KeptCalls {
        let Writing { store, state, .. } = &self.writing;
        KeptCalls {
            store: store.clone(),
            set_id: state.id,
            key: state.key,
            version: state.version,
        }
    }

    /// Writes what differs between the set as it stands and records in the order of rows, each identity once.
    pub fn replace<E: From<StoreError>>(
        &mut self,
        mut next: impl FnMut() -> Result<Option<SealedRecord>, E>,
    ) -> Result<(), E> {
        let mut standing = self.records_at(self.writing.state.version);
        let (mut stands, mut wanted) = (standing.next_record()?, next()?);
        loop {
            let order = match (&stands, &wanted) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(stands), Some(wanted)) => stands.cmp_identity(wanted),
            };
            let write = match order {
                Ordering::Less => std::mem::replace(&mut stands, standing.next_record()?).map(RowWrite::End),
                Ordering::Greater => std::mem::replace(&mut wanted, next()?).map(RowWrite::Insert),
                Ordering::Equal => {
                    let stood = std::mem::replace(&mut stands, standing.next_record()?);
                    let wanted = std::mem::replace(&mut wanted, next()?);
                    wanted
                        .filter(|wanted| stood.as_ref() != Some(wanted))
                        .map(RowWrite::Replace)
                }
            };
            if let Some(write) = write {
                self.write(write)?;
            }
        }
    }

    /// Takes a row's change, and waits where steps queue up. Not for threads that answer.
    pub fn write(&mut self, write: RowWrite) -> Result<(), StoreError> {
        if let (RowWrite::Insert(SealedRecord { customer, .. }), Some(account)) =
            (&write, write.record().agreement.account())
        {
            self.accounts.add(account.tag(), customer.as_bytes())?;
        }
        self.writes.push(write);
        if self.writes.len() >= self.steps.rows() {
            self.queue_rows()?;
        }
        Ok(())
    }

    /// Keeps calls for the whole set that is being received, if there is one. Not for threads that answer.
    pub fn keep_calls(&mut self, calls: Vec<SetChange>) -> Result<(), StoreError> {
        let state = self.writing.state.clone();
        let version = state.version + 1;
        self.queue(move |connection| keep_calls(connection, &state, version, &calls))
    }

    fn queue_rows(&mut self) -> Result<(), StoreError> {
        let writes = std::mem::take(&mut self.writes);
        note_tags(&writes, &mut self.writing.changed);
        let SetState { id, key, version, .. } = self.writing.state;
        self.queue(move |connection| {
            let mut rows = RowWriter::new(connection, id, key, version + 1)?;
            writes.iter().try_for_each(|write| rows.write(write))
        })
    }

    fn queue(
        &mut self,
        step: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        let id = self.writing.state.id;
        self.writing.begun = true;
        self.steps.queue(move |connection| {
            // Each step, since the one before it may have failed.
            let mark = "UPDATE sets SET merging = 1 WHERE id = ?1 AND merging = 0";
            connection.prepare_cached(mark)?.execute([id])?;
            step(connection)?;
            metrics::counter!("kundeforhold_merge_steps_total").increment(1);
            Ok(())
        })
    }

    /// Writes what is left.
    pub fn finish(mut self) -> Result<Written, StoreError> {
        if !self.writes.is_empty() {
            self.queue_rows()?;
        }
        let accounts = std::mem::replace(&mut self.accounts, Pointers::new(&self.writing.store));
        let SetState { id, key, .. } = self.writing.state;
        accounts.write(id, key, |pointers| {
            self.queue(move |connection| pointers.write(connection))?;
            Ok(self.steps.rows())
        })?;
        self.steps.finish()?;
        Ok(Written(self.writing))
    }
}

impl Written {
    /// How the set stood.
    pub fn state(&self) -> &SetState {
        &self.0.state
    }

    /// Puts the version in force: from here on every lookup reads it. The lock is held until it is known what became of
    /// it, whoever waits.
    pub async fn publish(self, publication: Publication) -> Result<Published, StoreError> {
        let mut writing = self.0;
        let set = writing.lock.set;
        let (store, version) = (writing.store.clone(), writing.state.version + 1);
        let changed = std::mem::take(&mut writing.changed);
        let publish = move |connection: &Connection| {
            let done = put_in_force(connection, set, &writing.state, version, &publication, changed)?;
            Ok(Done {
                value: (done.value, writing),
                news: done.news,
            })
        };
        let (published, mut writing) = store.0.writer.short(publish).await?;
        writing.begun = false;
        count_published(set);
        Ok(published)
    }
}

/// The calls that were kept for a whole set, and are in force.
pub struct KeptCalls {
    store: Store,
    set_id: i64,
    key: KeyId,
    version: u64,
}

impl KeptCalls {
    /// Those of the next so many customers after one, in the order of rows and in that of the calls.
    pub fn of_customers_after(&self, after: &[u8], most: usize) -> Result<Vec<SetChange>, StoreError> {
        self.store.0.readers.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT change FROM pending_calls WHERE set_id = ?1 AND subject > ?2 AND version <= ?4 AND key = ?5 AND subject <= (
                     SELECT max(subject) FROM (SELECT DISTINCT subject FROM pending_calls
                     WHERE set_id = ?1 AND subject > ?2 AND version <= ?4 AND key = ?5 ORDER BY subject LIMIT ?3))
                 ORDER BY subject, number",
            )?;
            let mut rows = statement.query(params![self.set_id, after, most, self.version, self.key.0])?;
            let mut calls = Vec::new();
            while let Some(row) = rows.next()? {
                let mut change = row.get_ref(0)?.as_blob().map_err(|_| StoreError::Damaged("a call"))?;
                calls.extend(SetChange::decode(&mut change)?);
            }
            Ok(calls)
        })
    }
}
