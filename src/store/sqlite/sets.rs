//! The rows of `sets`.

use super::keys;
use crate::domain::relationship::SetId;
use crate::store::format::{register_number, set_of, time_of};
use crate::store::{KeyId, SetState, Sets, Standing, StoreError};
use rusqlite::Connection;
use uuid::Uuid;

pub(super) fn load(connection: &Connection) -> Result<Sets, StoreError> {
    let mut statement = connection.prepare(
        "SELECT bank, register, id, version, kept_from, loaded, last_delivery, records, running, sequence, whole_set,
         merging, key FROM sets",
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
            key: KeyId(row.get(12)?),
        };
        sets.0.insert(set_of(row.get(0)?, row.get(1)?)?, state);
    }
    Ok(sets)
}

/// Makes the row of a set that is not known yet. Where a rekey is under way, it begins under the next key.
pub(super) fn add(connection: &Connection, set: SetId) -> Result<SetState, StoreError> {
    let key = keys::newest_in_use(connection)?;
    connection.execute(
        "INSERT INTO sets (bank, register, key) VALUES (?1, ?2, ?3)",
        (set.bank.as_u32(), register_number(set.register), key.0),
    )?;
    Ok(SetState {
        id: connection.last_insert_rowid(),
        key,
        version: 0,
        kept_from: 0,
        sequence: 0,
        standing: Standing::default(),
        merging: false,
    })
}

/// Writes a set's row, but for its key, which only a rekey changes.
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

/// The sets that are not under a key, or have rows that are not.
pub(super) fn not_wholly_under(connection: &Connection, key: KeyId) -> Result<Vec<SetId>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT bank, register FROM sets WHERE key <> ?1 OR mixed <> 0 ORDER BY id")?;
    let mut rows = statement.query([key.0])?;
    let mut sets = Vec::new();
    while let Some(row) = rows.next()? {
        sets.push(set_of(row.get(0)?, row.get(1)?)?);
    }
    Ok(sets)
}

/// Whether a set may have rows that are not under its key.
pub(super) fn is_mixed(connection: &Connection, set_id: i64) -> Result<bool, StoreError> {
    let mut statement = connection.prepare_cached("SELECT mixed FROM sets WHERE id = ?1")?;
    Ok(statement.query_row([set_id], |row| row.get(0))?)
}
