//! The rows of `relationships`.

use super::sets::{self, small};
use super::transaction::Transaction;
use crate::pseudonym::{Sealed, SealedAgreement};
use crate::store::format::{day_number, decode_agreement, decode_relationship, encode_terms};
use crate::store::{RowWrite, SealedRecord, SetState, StoreError};
use tokio_postgres::Row;

/// What stood before the version does not stand from it on.
const END: &str = "
    UPDATE relationships r SET until = $5
    FROM unnest($1::bytea[], $2::bytea[], $3::integer[]) AS w (subject, agreement, from_day)
    WHERE r.subject = w.subject AND r.set_id = $4 AND r.agreement = w.agreement AND r.from_day = w.from_day
          AND r.since < $5 AND r.until IS NULL";
const INSERT: &str = "
    INSERT INTO relationships (subject, set_id, agreement, from_day, since, terms, to_day, key)
    SELECT w.subject, $6, w.agreement, w.from_day, $7, w.terms, w.to_day, $8
    FROM unnest($1::bytea[], $2::bytea[], $3::integer[], $4::smallint[], $5::integer[])
         AS w (subject, agreement, from_day, terms, to_day)";

/// Writes rows of a set as of a version.
pub(super) async fn write(
    transaction: &Transaction,
    set: &SetState,
    version: u64,
    writes: &[RowWrite],
) -> Result<(), StoreError> {
    let ended: Vec<&SealedRecord> = writes.iter().filter_map(ended).collect();
    let inserted: Vec<&SealedRecord> = writes.iter().filter_map(inserted).collect();
    let (set_id, key) = (sets::id(set), i16::from(set.key.0));
    let version = version.cast_signed();
    if !ended.is_empty() {
        let (subjects, agreements, from_days) = identities(&ended);
        let done = transaction
            .execute(END, &[&subjects, &agreements, &from_days, &set_id, &version])
            .await?;
        if done != ended.len() as u64 {
            return Err(StoreError::Damaged("a record that should stand and does not"));
        }
    }
    if !inserted.is_empty() {
        let (subjects, agreements, from_days) = identities(&inserted);
        let (terms, to_days): (Vec<i16>, Vec<Option<i32>>) =
            inserted.iter().map(|record| terms(record)).unzip();
        let parameters: super::transaction::Parameters<'_> = &[
            &subjects,
            &agreements,
            &from_days,
            &terms,
            &to_days,
            &set_id,
            &version,
            &key,
        ];
        transaction.execute(INSERT, parameters).await?;
    }
    Ok(())
}

fn ended(write: &RowWrite) -> Option<&SealedRecord> {
    match write {
        RowWrite::End(record) | RowWrite::Replace(record) => Some(record),
        RowWrite::Insert(_) => None,
    }
}

fn inserted(write: &RowWrite) -> Option<&SealedRecord> {
    match write {
        RowWrite::Insert(record) | RowWrite::Replace(record) => Some(record),
        RowWrite::End(_) => None,
    }
}

fn identities<'r>(records: &[&'r SealedRecord]) -> (Vec<&'r [u8]>, Vec<&'r [u8]>, Vec<i32>) {
    let subjects = records.iter().map(|record| record.customer.as_bytes());
    let agreements = records.iter().map(|record| record.agreement.as_bytes());
    let from_days = records
        .iter()
        .map(|record| day_number(record.relationship.interval().from()));
    (subjects.collect(), agreements.collect(), from_days.collect())
}

/// All of a record but its identity: its terms and its last day.
pub(super) fn terms(record: &SealedRecord) -> (i16, Option<i32>) {
    let terms = encode_terms(&record.agreement, &record.relationship);
    (terms.into(), record.relationship.interval().to().map(day_number))
}

/// A customer's records of an agreement in a set that are in force, in order of their first day.
pub(super) async fn of_agreement(
    transaction: &Transaction,
    set_id: i32,
    customer: &Sealed,
    agreement: &SealedAgreement,
) -> Result<Vec<SealedRecord>, StoreError> {
    let sql = "SELECT subject, agreement, from_day, terms, to_day FROM relationships
        WHERE subject = $1 AND set_id = $2 AND agreement = $3 AND until IS NULL ORDER BY from_day";
    let rows = transaction
        .query(sql, &[&customer.as_bytes(), &set_id, &agreement.as_bytes()])
        .await?;
    rows.iter().map(record).collect()
}

/// Reads `subject, agreement, from_day, terms, to_day`.
pub(super) fn record(row: &Row) -> Result<SealedRecord, StoreError> {
    let (subject, agreement, terms) = (row.try_get(0)?, row.try_get(1)?, small(row.try_get(3)?)?);
    Ok(SealedRecord {
        customer: Sealed::from_bytes(subject).ok_or(StoreError::Damaged("a customer"))?,
        agreement: decode_agreement(terms, agreement)?,
        relationship: decode_relationship(terms, row.try_get(2)?, row.try_get(4)?)?,
    })
}
