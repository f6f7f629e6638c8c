//! Brings a set under another key, beside all that reads and writes it.
//!
//! The rows of all its versions are copied, sealed anew, as they were at one version; then what has changed since. The
//! last of that is done under the set's lock, and then the set's row names the other key, in one transaction: from there
//! on every lookup reads the copies, and whoever writes next writes among them. Until then nobody reads the copies, and
//! afterwards nobody reads what they were made of, which is removed. A copy that is broken off is removed too.

mod calls;
mod clearing;
mod copies;

use self::calls::{KeptCall, kept_calls, write_calls};
use self::copies::{Copied, write_copies};
use super::lock::SetLock;
use super::memory::News;
use super::publish::number;
use super::scan::{Scan, Wanted};
use super::steps::{Pointers, Steps, spilled};
use super::writer::Done;
use super::{Store, connection, keys, sets};
use crate::domain::relationship::SetId;
use crate::pseudonym::{KeyFingerprint, PseudonymRing};
use crate::spill::Sorter;
use crate::store::{Changed, Rekey, Resealing, RowKey, SetState, StoreError};
use chrono::Utc;
use rusqlite::Connection;
use std::path::Path;

/// Memory for sorting the rows of a set.
const SORT_BYTES: usize = 32 << 20;
/// Changes that are few enough to be carried over under the lock, which calls wait for meanwhile.
const FEW_CHANGES: u64 = 2_000;
/// Rounds of carrying over what has changed meanwhile, before the rest is done under the lock however much it is.
const MOST_ROUNDS: usize = 5;

/// A copy of a set's rows under the next key, as they were at a version.
pub struct Rekeyed {
    store: Store,
    set: SetId,
    from: RowKey,
    to: RowKey,
    version: u64,
}

impl Store {
    /// How far a rekey has come; a service may be at it meanwhile.
    pub fn look_at_rekey(path: &Path, given: &PseudonymRing) -> Result<Rekey, StoreError> {
        let next = next_of(given)?;
        keys::progress(&connection::open_reader(path, 0)?, next)
    }

    /// Asks that all sets be brought under the next key, by whoever serves the file. Only if that one has it.
    pub fn ask_for_rekey(path: &Path, given: &PseudonymRing) -> Result<Rekey, StoreError> {
        let next = next_of(given)?;
        let mut connection = connection::open_writer(path, 0)?;
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        let asked = keys::ask(&transaction, next)?;
        transaction.commit()?;
        Ok(asked)
    }

    /// The sets that are still to be brought under the next key; `None`: no rekey was asked for.
    pub fn sets_to_rekey(&self) -> Result<Option<Vec<SetId>>, StoreError> {
        self.0.readers.read(|connection| {
            let Some(next) = keys::next(connection)? else {
                return Ok(None);
            };
            Ok(Some(sets::not_wholly_under(connection, next)?))
        })
    }

    /// Copies a set under the next key. `None`: it stands under it already. Not for threads that answer.
    pub fn copy_under_next_key(&self, set: SetId) -> Result<Option<Rekeyed>, StoreError> {
        self.clear_other_keys(set)?;
        let state = self.state_of(set)?;
        let next = self.0.readers.read(keys::next)?;
        let Some(next) = next.filter(|next| *next != state.key) else {
            return Ok(None);
        };
        let mut copy = Rekeyed {
            store: self.clone(),
            set,
            from: self.0.keys.get(state.key)?,
            to: self.0.keys.get(next)?,
            version: 0,
        };
        copy.mark_mixed(state.id)?;
        for _ in 0..MOST_ROUNDS {
            let version = self.state_of(set)?.version;
            if copy.carry_over(version)? <= FEW_CHANGES {
                break;
            }
        }
        Ok(Some(copy))
    }

    /// The former key is no longer in use, if all sets are under the next one. Nothing is left of what it has made: the
    /// list of publications begins anew, since a process that has the next key only could not tell what has changed
    /// before.
    pub async fn retire_former_key(&self) -> Result<(), StoreError> {
        let retire = |connection: &Connection| {
            let next = keys::next(connection)?.ok_or(StoreError::LacksKey)?;
            if !sets::not_wholly_under(connection, next)?.is_empty() {
                return Err(StoreError::SetBusy);
            }
            keys::retire_former(connection, next)?;
            let Some(set) = sets::load(connection)?.0.into_values().next() else {
                return Ok(Done::nothing_new(()));
            };
            let id = number(connection, &set, None, Utc::now(), &Changed::Any)?;
            connection.execute("DELETE FROM publications WHERE number < ?1", [id.number])?;
            Ok(Done {
                value: (),
                news: vec![News::Published(id, Changed::Any)],
            })
        };
        self.0.writer.short(retire).await
    }

    fn state_of(&self, set: SetId) -> Result<SetState, StoreError> {
        let sets = self.sets();
        sets.get(set)
            .cloned()
            .ok_or(StoreError::Damaged("a set without a row"))
    }
}

fn next_of(given: &PseudonymRing) -> Result<KeyFingerprint, StoreError> {
    let next = given.next().map(|next| next.fingerprint());
    next.ok_or(StoreError::LacksKey)
}

impl Rekeyed {
    /// Carries over what has changed meanwhile, and puts the copies in force.
    pub fn put_in_force(mut self, lock: SetLock) -> Result<(), StoreError> {
        let state = lock.state()?;
        self.carry_over(state.version)?;
        self.reseal_calls(&state)?;
        let (set, next) = (
            self.set,
            SetState {
                key: self.to.id,
                ..state
            },
        );
        let switch = self.store.0.writer.step(move |connection: &Connection| {
            let switch = "UPDATE sets SET key = ?2 WHERE id = ?1";
            connection.execute(switch, (next.id, next.key.0))?;
            Ok(Done {
                value: lock,
                news: vec![News::Set(set, next)],
            })
        })?;
        switch.blocking_recv().map_err(|_| StoreError::Closed)??;
        Ok(())
    }

    fn mark_mixed(&self, set_id: i64) -> Result<(), StoreError> {
        let mut steps = Steps::new(&self.store);
        steps.queue(move |connection| {
            connection.execute("UPDATE sets SET mixed = 1 WHERE id = ?1", [set_id])?;
            Ok(())
        })?;
        steps.finish()
    }

    /// Brings the copies from their version to another. Gives how many rows differ between the two.
    fn carry_over(&mut self, to: u64) -> Result<u64, StoreError> {
        // What changes a row counts the version up.
        if to == self.version {
            return Ok(0);
        }
        let state = self.store.state_of(self.set)?;
        let (from, set_id) = (self.version, state.id);
        let mut sorter = Sorter::new(&self.store.0.scratch, SORT_BYTES);
        let mut resealing = Resealing::new(self.from.clone(), self.to.clone());
        let mut scan = Scan::of(Wanted::Beyond {
            set_id,
            key: self.from.id,
            version: from,
        });
        let mut rows = 0;
        while let Some(changed) = scan.next_piece(&self.store, |row| Copied::between(row, from, to))? {
            rows += changed.len() as u64;
            for copied in changed {
                let copied = copied.resealed(&mut resealing)?;
                sorter.push(&copied.encode()).map_err(spilled)?;
            }
        }
        self.write(set_id, sorter, from)?;
        self.version = to;
        Ok(rows)
    }

    fn write(&self, set_id: i64, sorter: Sorter, from: u64) -> Result<(), StoreError> {
        let (mut steps, mut pointers) = (Steps::new(&self.store), Pointers::new(&self.store));
        let (key, mut sorted) = (self.to.id, sorter.finish().map_err(spilled)?);
        loop {
            let mut step = Vec::with_capacity(steps.rows());
            while step.len() < steps.rows()
                && let Some(bytes) = sorted.next_record().map_err(spilled)?
            {
                let copied = Copied::decode(bytes)?;
                if let Some(account) = copied.record.agreement.account() {
                    pointers.add(account.tag(), copied.record.customer.as_bytes())?;
                }
                step.push(copied);
            }
            if step.is_empty() {
                break;
            }
            steps.queue(move |connection| write_copies(connection, set_id, key, from, &step))?;
        }
        pointers.write(set_id, key, |pointers| {
            steps.queue(move |connection| pointers.write(connection))?;
            Ok(steps.rows())
        })?;
        steps.finish()
    }

    /// The calls that are kept for a whole set that is being received.
    fn reseal_calls(&self, state: &SetState) -> Result<(), StoreError> {
        let mut resealing = Resealing::new(self.from.clone(), self.to.clone());
        let mut steps = Steps::new(&self.store);
        let mut after = (Vec::new(), 0);
        loop {
            let read = |connection: &Connection| kept_calls(connection, state, &after);
            let calls = self.store.0.readers.read(read)?;
            let Some(last) = calls.last() else {
                return steps.finish();
            };
            after = (last.change.customer().as_bytes().to_vec(), last.number);
            let reseal = |call: KeptCall| call.resealed(&mut resealing);
            let calls: Vec<KeptCall> = calls.into_iter().map(reseal).collect::<Result<_, _>>()?;
            let (set_id, key) = (state.id, self.to.id);
            steps.queue(move |connection| write_calls(connection, set_id, key, &calls))?;
        }
    }
}
