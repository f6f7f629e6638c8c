//! Removes what a copy was made of, or a copy that was broken off.

use super::super::rows::Key;
use super::super::scan::{Scan, Wanted};
use super::super::steps::Steps;
use super::super::{Store, sets};
use crate::domain::relationship::SetId;
use crate::store::{KeyId, SetState, StoreError};
use rusqlite::{Connection, params};

impl Store {
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
