//! The rows of `sets`.

use super::transaction::Transaction;
use crate::domain::relationship::SetId;
use crate::store::format::{register_number, set_of, time_of};
use crate::store::{KeyId, SetState, Sets, Standing, StoreError};
use tokio_postgres::Row;

/// All rows, as [`load`] reads them.
pub(super) const ALL: &str = "SELECT bank, register, id, version, kept_from, loaded, last_delivery, records, running, sequence, whole_set, key FROM sets";
const LOCKED: &str = "
    SELECT bank, register, id, version, kept_from, loaded, last_delivery, records, running, sequence, whole_set, key FROM sets
    WHERE bank = $1 AND register = $2 FOR UPDATE";
const LOCKED_IF_FREE: &str = "
    SELECT bank, register, id, version, kept_from, loaded, last_delivery, records, running, sequence, whole_set, key FROM sets
    WHERE bank = $1 AND register = $2 FOR UPDATE SKIP LOCKED";

pub(super) fn load(rows: &[Row]) -> Result<Sets, StoreError> {
    let sets = rows.iter().map(read);
    Ok(Sets(sets.collect::<Result<_, _>>()?))
}

fn read(row: &Row) -> Result<(SetId, SetState), StoreError> {
    let number = |column| Ok::<_, StoreError>(row.try_get::<_, i64>(column)?.cast_unsigned());
    let set = set_of(row.try_get::<_, i32>(0)?.cast_unsigned(), small(row.try_get(1)?)?)?;
    let last_delivery: Option<i64> = row.try_get(6)?;
    let state = SetState {
        id: row.try_get::<_, i32>(2)?.into(),
        version: number(3)?,
        kept_from: number(4)?,
        sequence: number(9)?,
        standing: Standing {
            loaded: row.try_get(5)?,
            last_delivery: last_delivery.map(time_of).transpose()?,
            records: number(7)?,
            running: number(8)?,
            whole_set: row.try_get(10)?,
        },
        key: KeyId(small(row.try_get(11)?)?),
        merging: false,
    };
    Ok((set, state))
}

/// Locks a set's row until the end of the transaction, made if need be.
pub(super) async fn lock(transaction: &Transaction, set: SetId) -> Result<SetState, StoreError> {
    let (bank, register) = columns(set);
    if let Some(row) = transaction.query_opt(LOCKED, &[&bank, &register]).await? {
        return Ok(read(&row)?.1);
    }
    let add = "INSERT INTO sets (bank, register, key)
        SELECT $1, $2, id FROM keys ORDER BY state DESC LIMIT 1 ON CONFLICT DO NOTHING";
    transaction.execute(add, &[&bank, &register]).await?;
    let row = transaction.query_opt(LOCKED, &[&bank, &register]).await?;
    Ok(read(&row.ok_or(StoreError::Damaged("a set without a row"))?)?.1)
}

/// The same, unless somebody else has it.
pub(super) async fn try_lock(transaction: &Transaction, set: SetId) -> Result<Option<SetState>, StoreError> {
    let (bank, register) = columns(set);
    let row = transaction.query_opt(LOCKED_IF_FREE, &[&bank, &register]).await?;
    row.map(|row| Ok(read(&row)?.1)).transpose()
}

/// Writes a set's row, but for its key.
pub(super) async fn write(transaction: &Transaction, state: &SetState) -> Result<(), StoreError> {
    let standing = &state.standing;
    let update =
        "UPDATE sets SET version = $2, kept_from = $3, loaded = $4, last_delivery = $5, records = $6,
        running = $7, sequence = $8, whole_set = $9 WHERE id = $1";
    transaction
        .execute(
            update,
            &[
                &id(state),
                &state.version.cast_signed(),
                &state.kept_from.cast_signed(),
                &standing.loaded,
                &standing.last_delivery.map(|at| at.timestamp_millis()),
                &standing.records.cast_signed(),
                &standing.running.cast_signed(),
                &state.sequence.cast_signed(),
                &standing.whole_set,
            ],
        )
        .await?;
    Ok(())
}

/// What names a set in rows.
pub(super) fn columns(set: SetId) -> (i32, i16) {
    (
        set.bank.as_u32().cast_signed(),
        register_number(set.register).into(),
    )
}

/// A set's number, as rows have it.
pub(super) fn id(state: &SetState) -> i32 {
    // They are numbered by the database, from 1.
    state.id as i32
}

/// A small number of a row.
pub(super) fn small(number: i16) -> Result<u8, StoreError> {
    u8::try_from(number).map_err(|_| StoreError::Damaged("a small number"))
}
