//! Brings a set under another key, beside all that reads and writes it.
//!
//! The rows of all its versions are copied, sealed anew, as they were at one version; then what has changed since. The
//! last of that is done under the set's lock, and then the set's row names the other key, in one transaction: from there
//! on every lookup reads the copies, and whoever writes next writes among them. Until then nobody reads the copies, and
//! afterwards nobody reads what they were made of, which is removed. A copy that is broken off is removed too.

use super::lock::SetLock;
use super::memory::News;
use super::publish::number;
use super::rows::Key;
use super::scan::{Scan, Scanned, Wanted};
use super::steps::{Pointers, Steps, spilled};
use super::writer::Done;
use super::{Store, connection, keys, sets};
use crate::domain::relationship::SetId;
use crate::pseudonym::{KeyFingerprint, PseudonymRing, Sealed};
use crate::spill::Sorter;
use crate::store::format::{day_number, encode_terms};
use crate::store::{Changed, KeyId, Rekey, Resealing, RowKey, SealedRecord, SetChange, SetState, StoreError};
use chrono::Utc;
use rusqlite::{Connection, params};
use std::path::Path;

/// Memory for sorting the rows of a set.
const SORT_BYTES: usize = 32 << 20;
/// Changes that are few enough to be carried over under the lock, which calls wait for meanwhile.
const FEW_CHANGES: u64 = 2_000;
/// Rounds of carrying over what has changed meanwhile, before the rest is done under the lock however much it is.
const MOST_ROUNDS: usize = 5;
/// Kept calls that are sealed anew in a step.
const CALLS_PER_STEP: usize = 1_000;

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

    /// Removes the rows of a set that are not under its key: those that a copy was made of, or a copy that was broken
    /// off. Nobody reads them. Not for threads that answer.
    pub fn clear_other_keys(&self, set: SetId) -> Result<(), StoreError> {
        let SetState { id, key, .. } = self.state_of(set)?;
        let is_mixed = self.0.readers.read(|connection| sets::is_mixed(connection, id))?;
        if !is_mixed {
            return Ok(());
        }
        let mut steps = Steps::new(self);
        let mut scan = Scan::of(Wanted::NotUnder { set_id: id, key });
        while let Some(mut rows) = scan.next_piece(self, |row| row.key().map(Some))? {
            while !rows.is_empty() {
                let rest = rows.split_off(rows.len().min(steps.rows()));
                let step = std::mem::replace(&mut rows, rest);
                steps.queue(move |connection| delete_rows(connection, &step))?;
            }
        }
        for share in 0..=u8::MAX {
            let mut pointers = self
                .0
                .readers
                .read(|connection| other_pointers(connection, id, key, share))?;
            while !pointers.is_empty() {
                let rest = pointers.split_off(pointers.len().min(steps.rows()));
                let step = std::mem::replace(&mut pointers, rest);
                steps.queue(move |connection| delete_pointers(connection, id, &step))?;
            }
        }
        steps.queue(move |connection| {
            connection.execute(
                "DELETE FROM pending_calls WHERE set_id = ?1 AND key <> ?2",
                (id, key.0),
            )?;
            connection.execute(
                "UPDATE sets SET mixed = 0 WHERE id = ?1 AND key = ?2",
                (id, key.0),
            )?;
            Ok(())
        })?;
        steps.finish()
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
        // What was erased while it was copied stands among the copies.
        self.store.forget_erased();
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
                let copied = Copied {
                    record: resealing.record(copied.record)?,
                    ..copied
                };
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
            let reseal = |call: KeptCall| {
                let change = resealing.change(call.change)?;
                Ok::<_, StoreError>(KeptCall { change, ..call })
            };
            let calls: Vec<KeptCall> = calls.into_iter().map(reseal).collect::<Result<_, _>>()?;
            let (set_id, key) = (state.id, self.to.id);
            steps.queue(move |connection| write_calls(connection, set_id, key, &calls))?;
        }
    }
}

/// A row that is copied, with the versions at which it began and ended.
struct Copied {
    record: SealedRecord,
    since: u64,
    until: Option<u64>,
}

/// What still is in force has no end.
const IN_FORCE: u64 = u64::MAX;

impl Copied {
    /// A row as it is at version `to`, if it was another at version `from`. What is beyond that is not in force yet, and
    /// may never be.
    fn between(row: &Scanned<'_>, from: u64, to: u64) -> Result<Option<Self>, StoreError> {
        let (began, until) = (row.since, row.until.filter(|until| *until <= to));
        let is_changed = began > from || until.is_some_and(|until| until > from);
        if began > to || !is_changed {
            return Ok(None);
        }
        Ok(Some(Self {
            record: row.record()?,
            since: began,
            until,
        }))
    }

    /// As bytes that sort in the order of rows.
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.record.encode_sorted(self.since, &mut bytes);
        bytes.extend(self.until.unwrap_or(IN_FORCE).to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
        let (sorted, until) = bytes
            .split_last_chunk()
            .ok_or(StoreError::Damaged("a copied row"))?;
        let (since, record) = SealedRecord::decode_sorted(sorted)?;
        Ok(Self {
            record,
            since,
            until: Some(u64::from_be_bytes(*until)).filter(|until| *until != IN_FORCE),
        })
    }
}

/// What began since a version is copied, what ended since then ends in the copies too.
fn write_copies(
    connection: &Connection,
    set_id: i64,
    key: KeyId,
    from: u64,
    copies: &[Copied],
) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO relationships (subject, set_id, agreement, from_day, since, until, terms, to_day, key)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?;
    let mut end = connection.prepare_cached(
        "UPDATE relationships SET until = ?6
         WHERE subject = ?1 AND set_id = ?2 AND agreement = ?3 AND from_day = ?4 AND since = ?5",
    )?;
    for Copied { record, since, until } in copies {
        let interval = record.relationship.interval();
        let (customer, agreement) = (record.customer.as_bytes(), record.agreement.as_bytes());
        let from_day = day_number(interval.from());
        if *since > from {
            insert.execute(params![
                customer,
                set_id,
                agreement,
                from_day,
                since,
                until,
                encode_terms(&record.agreement, &record.relationship),
                interval.to().map(day_number),
                key.0,
            ])?;
        } else {
            // One that was removed since it was copied is removed from here too.
            end.execute(params![customer, set_id, agreement, from_day, since, until])?;
        }
    }
    Ok(())
}

fn delete_rows(connection: &Connection, keys: &[Key]) -> Result<(), StoreError> {
    let mut delete = connection.prepare_cached(
        "DELETE FROM relationships
         WHERE subject = ?1 AND set_id = ?2 AND agreement = ?3 AND from_day = ?4 AND since = ?5",
    )?;
    for key in keys {
        delete.execute((&key.subject, key.set_id, &key.agreement, key.from_day, key.since))?;
    }
    Ok(())
}

/// An account's tag and a customer.
type Pointer = ([u8; 8], Vec<u8>);

/// What points to accounts of a set under other keys, of one share of the tags.
fn other_pointers(
    connection: &Connection,
    set_id: i64,
    key: KeyId,
    share: u8,
) -> Result<Vec<Pointer>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT tag, subject FROM accounts WHERE tag >= ?1 AND tag < ?2 AND set_id = ?3 AND key <> ?4 ORDER BY tag",
    )?;
    // Beyond every tag of the share.
    let (begin, end) = ([share], [&[share][..], &[u8::MAX; 9]].concat());
    let mut rows = statement.query(params![begin.as_slice(), end, set_id, key.0])?;
    let mut pointers = Vec::new();
    while let Some(row) = rows.next()? {
        pointers.push((row.get(0)?, row.get(1)?));
    }
    Ok(pointers)
}

fn delete_pointers(connection: &Connection, set_id: i64, pointers: &[Pointer]) -> Result<(), StoreError> {
    let mut delete =
        connection.prepare_cached("DELETE FROM accounts WHERE tag = ?1 AND set_id = ?2 AND subject = ?3")?;
    for (tag, subject) in pointers {
        delete.execute((tag.as_slice(), set_id, subject))?;
    }
    Ok(())
}

/// A call that is kept for a whole set, and its number among those of its customer.
struct KeptCall {
    number: u64,
    version: u64,
    change: SetChange,
}

/// The next ones after a customer and number.
fn kept_calls(
    connection: &Connection,
    set: &SetState,
    (subject, number): &(Vec<u8>, u64),
) -> Result<Vec<KeptCall>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT number, version, change FROM pending_calls
         WHERE set_id = ?1 AND (subject, number) > (?2, ?3) AND key = ?4 ORDER BY subject, number LIMIT ?5",
    )?;
    let mut rows = statement.query(params![set.id, subject, number, set.key.0, CALLS_PER_STEP])?;
    let mut calls = Vec::new();
    while let Some(row) = rows.next()? {
        let mut change = row
            .get_ref(2)?
            .as_blob()
            .map_err(|_| StoreError::Damaged("a call"))?;
        let change = SetChange::decode(&mut change)?.ok_or(StoreError::Damaged("a call"))?;
        calls.push(KeptCall {
            number: row.get(0)?,
            version: row.get(1)?,
            change,
        });
    }
    Ok(calls)
}

fn write_calls(
    connection: &Connection,
    set_id: i64,
    key: KeyId,
    calls: &[KeptCall],
) -> Result<(), StoreError> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO pending_calls (set_id, subject, number, change, version, key) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    for call in calls {
        let mut change = Vec::new();
        call.change.encode(&mut change);
        let subject: &Sealed = call.change.customer();
        insert.execute(params![
            set_id,
            subject.as_bytes(),
            call.number,
            change,
            call.version,
            key.0
        ])?;
    }
    Ok(())
}
