//! Rows of a set under another key.

use super::super::scan::Scanned;
use crate::store::format::{day_number, encode_terms};
use crate::store::{KeyId, Resealing, SealedRecord, StoreError};
use rusqlite::{Connection, params};

/// A row that is copied, with the versions at which it began and ended.
pub(super) struct Copied {
    pub(super) record: SealedRecord,
    since: u64,
    until: Option<u64>,
}

/// What still is in force has no end.
const IN_FORCE: u64 = u64::MAX;

impl Copied {
    /// A row as it is at version `to`, if it was another at version `from`. What is beyond that is not in force yet, and
    /// may never be.
    pub(super) fn between(row: &Scanned<'_>, from: u64, to: u64) -> Result<Option<Self>, StoreError> {
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

    pub(super) fn resealed(self, resealing: &mut Resealing) -> Result<Self, StoreError> {
        Ok(Self {
            record: resealing.record(self.record)?,
            ..self
        })
    }

    /// As bytes that sort in the order of rows.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.record.encode_sorted(self.since, &mut bytes);
        bytes.extend(self.until.unwrap_or(IN_FORCE).to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, StoreError> {
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
pub(super) fn write_copies(
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
