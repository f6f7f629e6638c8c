//! The calls that are kept for a whole set that is being received, under another key.

use crate::store::{KeyId, Resealing, SetChange, SetState, StoreError};
use rusqlite::{Connection, params};

/// Calls that are sealed anew in a step.
const CALLS_PER_STEP: usize = 1_000;

/// A call that is kept for a whole set, and its number among those of its customer.
pub(super) struct KeptCall {
    pub(super) number: u64,
    version: u64,
    pub(super) change: SetChange,
}

impl KeptCall {
    pub(super) fn resealed(self, resealing: &mut Resealing) -> Result<Self, StoreError> {
        Ok(Self {
            change: resealing.change(self.change)?,
            ..self
        })
    }
}

/// The next ones after a customer and number.
pub(super) fn kept_calls(
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

pub(super) fn write_calls(
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
        let subject = call.change.customer();
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
