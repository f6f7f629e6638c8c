//! The rows of `sets` and `keys`.

use crate::domain::relationship::SetId;
use crate::pseudonym::KeyFingerprint;
use crate::store::format::{register_number, set_of, time_of};
use crate::store::{SetState, Sets, Standing, StoreError};
use rusqlite::Connection;
use uuid::Uuid;

/// Notes the key in a new file; a file of another key is refused.
pub(super) fn claim_key(connection: &Connection, key: KeyFingerprint) -> Result<(), StoreError> {
    if !connection.prepare("SELECT 1 FROM keys")?.exists([])? {
        connection.execute("INSERT INTO keys (fingerprint) VALUES (?1)", [key.as_slice()])?;
    }
    check_key(connection, key)
}

pub(super) fn check_key(connection: &Connection, key: KeyFingerprint) -> Result<(), StoreError> {
    let known = "SELECT 1 FROM keys WHERE fingerprint = ?1";
    let is_new = !connection.prepare("SELECT 1 FROM keys")?.exists([])?;
    match is_new || connection.prepare(known)?.exists([key.as_slice()])? {
        true => Ok(()),
        false => Err(StoreError::OtherKey),
    }
}

pub(super) fn load(connection: &Connection) -> Result<Sets, StoreError> {
    let mut statement = connection.prepare(
        "SELECT bank, register, id, version, kept_from, loaded, last_delivery, records, running, sequence, whole_set,
         merging FROM sets",
    )?;
    let mut rows = statement.query([])?;
    let mut sets = Sets::default();
    while let Some(row) = rows.next()? {
        let last_delivery: Option<i64> = row.get(6)?;
        let whole_set: Option<[u8; 16]> = row.get(10)?;
        let state = SetState {
            id: row.get(2)?,
            version: row.get(3)?,
            kept_from: row.get(4)?,
            sequence: row.get(9)?,
            standing: Standing {
                loaded: row.get(5)?,
                last_delivery: last_delivery.map(time_of).transpose()?,
                records: row.get(7)?,
                running: row.get(8)?,
                whole_set: whole_set.map(Uuid::from_bytes),
            },
            merging: row.get(11)?,
        };
        sets.0.insert(set_of(row.get(0)?, row.get(1)?)?, state);
    }
    Ok(sets)
}

/// Makes the row of a set that is not known yet.
pub(super) fn add(connection: &Connection, set: SetId) -> Result<SetState, StoreError> {
    connection.execute(
        "INSERT INTO sets (bank, register) VALUES (?1, ?2)",
        (set.bank.as_u32(), register_number(set.register)),
    )?;
    Ok(SetState {
        id: connection.last_insert_rowid(),
        version: 0,
        kept_from: 0,
        sequence: 0,
        standing: Standing::default(),
        merging: false,
    })
}

/// Writes all of a set's row.
pub(super) fn write(connection: &Connection, state: &SetState) -> Result<(), StoreError> {
    let standing = &state.standing;
    let mut statement = connection.prepare_cached(
        "UPDATE sets SET version = ?2, kept_from = ?3, loaded = ?4, last_delivery = ?5, records = ?6, running = ?7,
         sequence = ?8, whole_set = ?9, merging = ?10 WHERE id = ?1",
    )?;
    statement.execute((
        state.id,
        state.version,
        state.kept_from,
        standing.loaded,
        standing.last_delivery.map(|at| at.timestamp_millis()),
        standing.records,
        standing.running,
        state.sequence,
        standing.whole_set.as_ref().map(|id| id.as_bytes().as_slice()),
        state.merging,
    ))?;
    Ok(())
}
