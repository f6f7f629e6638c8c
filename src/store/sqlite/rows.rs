//! The rows of `relationships` and `accounts`.

use crate::pseudonym::{Sealed, SealedAgreement, Tag};
use crate::store::format::{day_number, decode_agreement, decode_relationship, encode_terms};
use crate::store::{KeyId, RowWrite, SealedRecord, StoreError};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row};

/// Writes rows of one set as of a version. Its statements are found once, not for each row.
pub(super) struct RowWriter<'c> {
    set_id: i64,
    key: KeyId,
    version: u64,
    insert: CachedStatement<'c>,
    end: CachedStatement<'c>,
    point: CachedStatement<'c>,
}

impl<'c> RowWriter<'c> {
    pub(super) fn new(
        connection: &'c Connection,
        set_id: i64,
        key: KeyId,
        version: u64,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            set_id,
            key,
            version,
            insert: connection.prepare_cached(
                "INSERT INTO relationships (subject, set_id, agreement, from_day, since, terms, to_day, key)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?,
            end: connection.prepare_cached(
                "UPDATE relationships SET until = ?5 WHERE subject = ?1 AND set_id = ?2 AND agreement = ?3
                 AND from_day = ?4 AND since < ?5 AND until IS NULL",
            )?,
            point: connection.prepare_cached(
                "INSERT OR IGNORE INTO accounts (tag, set_id, subject, key) VALUES (?1, ?2, ?3, ?4)",
            )?,
        })
    }

    pub(super) fn write(&mut self, write: &RowWrite) -> Result<(), StoreError> {
        match write {
            RowWrite::Insert(record) => self.insert(record),
            RowWrite::Replace(record) => {
                self.end(record)?;
                self.insert(record)
            }
            RowWrite::End(record) => self.end(record),
        }
    }

    fn insert(&mut self, record: &SealedRecord) -> Result<(), StoreError> {
        let interval = record.relationship.interval();
        self.insert.execute((
            record.customer.as_bytes(),
            self.set_id,
            record.agreement.as_bytes(),
            day_number(interval.from()),
            self.version,
            encode_terms(&record.agreement, &record.relationship),
            interval.to().map(day_number),
            self.key.0,
        ))?;
        Ok(())
    }

    /// What stood before the version does not stand from it on.
    fn end(&mut self, record: &SealedRecord) -> Result<(), StoreError> {
        let ended = self.end.execute((
            record.customer.as_bytes(),
            self.set_id,
            record.agreement.as_bytes(),
            day_number(record.relationship.interval().from()),
            self.version,
        ))?;
        match ended {
            1 => Ok(()),
            _ => Err(StoreError::Damaged("a record that should stand and does not")),
        }
    }

    /// Says where the records of an account are looked for.
    pub(super) fn point(&mut self, account: Tag, customer: &[u8]) -> Result<(), StoreError> {
        self.point
            .execute((account.0.as_slice(), self.set_id, customer, self.key.0))?;
        Ok(())
    }
}

/// A customer's records of an agreement in a set that are in force, in order of their first day.
pub(super) fn of_agreement(
    connection: &Connection,
    set_id: i64,
    customer: &Sealed,
    agreement: &SealedAgreement,
) -> Result<Vec<SealedRecord>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT subject, agreement, from_day, terms, to_day FROM relationships
         WHERE subject = ?1 AND set_id = ?2 AND agreement = ?3 AND until IS NULL ORDER BY from_day",
    )?;
    let mut rows = statement.query((customer.as_bytes(), set_id, agreement.as_bytes()))?;
    let mut records = Vec::new();
    while let Some(row) = rows.next()? {
        records.push(record(row)?);
    }
    Ok(records)
}

/// Removes a row of no version that is kept, and with the last of an account and customer what points to it.
pub(super) fn remove(connection: &Connection, key: &Key) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM relationships
         WHERE subject = ?1 AND set_id = ?2 AND agreement = ?3 AND from_day = ?4 AND since = ?5",
    )?;
    statement.execute((&key.subject, key.set_id, &key.agreement, key.from_day, key.since))?;
    remove_pointer(connection, key)
}

/// What went of a record.
pub(super) struct Erased {
    pub(super) rows: u64,
    /// It stood in answers until its time was over.
    pub(super) was_in_force: bool,
}

/// Removes a row, and with the last of an account and customer what points to it. With a row that is in force all that
/// its record was before goes too.
pub(super) fn erase(connection: &Connection, key: &Key) -> Result<Erased, StoreError> {
    let mut erase = connection.prepare_cached(
        "DELETE FROM relationships
         WHERE subject = ?1 AND set_id = ?2 AND agreement = ?3 AND from_day = ?4 AND since = ?5
         RETURNING until IS NULL",
    )?;
    let of_row = (&key.subject, key.set_id, &key.agreement, key.from_day, key.since);
    let erased: Option<bool> = erase.query_row(of_row, |row| row.get(0)).optional()?;
    let (mut rows, was_in_force) = (u64::from(erased.is_some()), erased == Some(true));
    if was_in_force {
        let mut erase = connection.prepare_cached(
            "DELETE FROM relationships
             WHERE subject = ?1 AND set_id = ?2 AND agreement = ?3 AND from_day = ?4 AND since < ?5",
        )?;
        rows += erase.execute(of_row)? as u64;
    }
    remove_pointer(connection, key)?;
    Ok(Erased { rows, was_in_force })
}

fn remove_pointer(connection: &Connection, key: &Key) -> Result<(), StoreError> {
    let Some(tag) = key.agreement.first_chunk::<8>() else {
        return Ok(());
    };
    // Both ends are given: a customer may have many accounts that come after this one.
    let mut statement = connection.prepare_cached(
        "DELETE FROM accounts WHERE tag = ?1 AND set_id = ?2 AND subject = ?3 AND NOT EXISTS (
             SELECT 1 FROM relationships WHERE subject = ?3 AND set_id = ?2 AND agreement BETWEEN ?1 AND ?4)",
    )?;
    let last = [tag.as_slice(), &[u8::MAX; Sealed::MAX_BYTES]].concat();
    statement.execute((tag.as_slice(), key.set_id, &key.subject, last))?;
    Ok(())
}

/// What a row ended at is undone: it stands as before.
pub(super) fn reopen(connection: &Connection, key: &Key) -> Result<(), StoreError> {
    let mut statement = connection.prepare_cached(
        "UPDATE relationships SET until = NULL
         WHERE subject = ?1 AND set_id = ?2 AND agreement = ?3 AND from_day = ?4 AND since = ?5",
    )?;
    statement.execute((&key.subject, key.set_id, &key.agreement, key.from_day, key.since))?;
    Ok(())
}

/// The primary key of a row.
#[derive(Debug, Clone)]
pub(super) struct Key {
    pub(super) subject: Vec<u8>,
    pub(super) set_id: i64,
    pub(super) agreement: Vec<u8>,
    pub(super) from_day: i32,
    pub(super) since: u64,
}

/// Reads `subject, agreement, from_day, terms, to_day`.
pub(super) fn record(row: &Row<'_>) -> Result<SealedRecord, StoreError> {
    let terms: u8 = row.get(3)?;
    let subject = row
        .get_ref(0)?
        .as_blob()
        .map_err(|_| StoreError::Damaged("a customer"))?;
    let agreement = row
        .get_ref(1)?
        .as_blob()
        .map_err(|_| StoreError::Damaged("an agreement"))?;
    Ok(SealedRecord {
        customer: Sealed::from_bytes(subject).ok_or(StoreError::Damaged("a customer"))?,
        agreement: decode_agreement(terms, agreement)?,
        relationship: decode_relationship(terms, row.get(2)?, row.get(4)?)?,
    })
}
