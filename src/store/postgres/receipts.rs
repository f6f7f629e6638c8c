//! Reads receipts.

use super::Store;
use super::publish::kind;
use super::sets::{columns, small};
use super::transaction::{Parameters, Transaction};
use crate::domain::delivery::{Counts, DeliveryKind, Reject};
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::relationship::SetId;
use crate::store::format::{day_of, set_of, time_of};
use crate::store::kept::first_id;
use crate::store::receipt::{FromRows, KINDS, STATES};
use crate::store::{KeyUse, Receipt, Standing, StoreError, Summary};
use chrono::{DateTime, TimeDelta, Utc};
use tokio_postgres::Row;
use uuid::Uuid;

const RECEIPT: &str = "
    SELECT d.id, s.bank, s.register, d.kind, d.state, d.received_at, d.published_at, d.reason, d.day, d.calls, d.read,
           d.stored, d.ended, d.removed, d.rejected, d.customers, d.accounts, d.sha256, d.sequence, d.discarded, d.records
    FROM deliveries d JOIN sets s ON s.id = d.set_id WHERE d.id = $1";
const RECEIPTS: &str = "
    SELECT d.id, s.bank, s.register, d.kind, d.state, d.received_at, d.published_at, d.reason, d.day, d.calls, d.read,
           d.stored, d.ended, d.removed, d.rejected, d.customers, d.accounts, d.sha256, d.sequence, d.discarded, d.records
    FROM deliveries d JOIN sets s ON s.id = d.set_id
    WHERE d.set_id IN (SELECT id FROM sets WHERE bank = $1) AND d.id < $2 ORDER BY d.id DESC LIMIT $3";

const PUBLISHED_SINCE: &str = "
    SELECT d.id, s.bank, s.register, d.kind, d.state, d.received_at, d.published_at, d.reason, d.day, d.calls, d.read,
           d.stored, d.ended, d.removed, d.rejected, d.customers, d.accounts, d.sha256, d.sequence, d.discarded, d.records
    FROM deliveries d JOIN sets s ON s.id = d.set_id
    WHERE d.id >= $1 AND d.published_at >= $2 AND d.state IN (1, 4, 5) AND d.kind <> 4 ORDER BY d.id";

impl Store {
    /// Up to `limit` receipts of a bank, newest first, of deliveries before one.
    pub async fn receipts(
        &self,
        bank: OrganizationNumber,
        limit: usize,
        before: Option<Uuid>,
    ) -> Result<Vec<Receipt>, StoreError> {
        let (bank, limit) = (
            bank.as_u32().cast_signed(),
            i64::try_from(limit).unwrap_or(i64::MAX),
        );
        // Ids grow with time; none is beyond this.
        let before = before.unwrap_or(Uuid::max());
        let rows = self.read_apart(RECEIPTS, &[&bank, &before, &limit]).await?;
        rows.iter().map(receipt).collect()
    }

    /// A bank's receipt; `None`: it has no such delivery.
    pub async fn receipt(
        &self,
        bank: OrganizationNumber,
        delivery: Uuid,
    ) -> Result<Option<Receipt>, StoreError> {
        let rows = self.read_apart(RECEIPT, &[&delivery]).await?;
        let found = rows.first().map(receipt).transpose()?;
        Ok(found.filter(|receipt| receipt.set.bank == bank))
    }

    /// The first of a delivery's rejected lines.
    pub async fn rejects(&self, delivery: Uuid) -> Result<Vec<Reject>, StoreError> {
        let lines = "SELECT line, faults FROM rejects WHERE delivery = $1 ORDER BY line";
        let reject = |row: &Row| {
            let faults = serde_json::from_str(row.try_get(1)?);
            Ok(Reject {
                line: row.try_get::<_, i64>(0)?.cast_unsigned(),
                faults: faults.map_err(|_| StoreError::Damaged("a rejected line"))?,
            })
        };
        self.read_apart(lines, &[&delivery])
            .await?
            .iter()
            .map(reject)
            .collect()
    }

    /// The delivery that an idempotency key is bound to, of those received since then.
    pub async fn key_use(
        &self,
        set: SetId,
        of_kind: DeliveryKind,
        key: &[u8; 32],
        since: DateTime<Utc>,
    ) -> Result<Option<KeyUse>, StoreError> {
        let sql = "SELECT d.id, d.sha256 FROM deliveries d JOIN sets s ON s.id = d.set_id
            WHERE s.bank = $1 AND s.register = $2 AND d.kind = $3 AND d.idempotency = $4
                  AND d.state IN (1, 2, 5) AND d.received_at >= $5 ORDER BY d.id DESC LIMIT 1";
        let (bank, register) = columns(set);
        let (kind, key, since) = (kind(of_kind), key.as_slice(), since.timestamp_millis());
        let rows = self
            .read_apart(sql, &[&bank, &register, &kind, &key, &since])
            .await?;
        let bound = rows.first().map(|row| {
            Ok(KeyUse {
                delivery_id: row.try_get(0)?,
                sha256: digest(row, 1)?.ok_or(StoreError::Damaged("a receipt"))?,
            })
        });
        bound.transpose()
    }

    /// When a whole set was published, its version, and how its set stood before.
    pub async fn whole_set(
        &self,
        delivery: Uuid,
    ) -> Result<Option<(DateTime<Utc>, u64, Standing)>, StoreError> {
        let sql = "SELECT published_at, version, before FROM deliveries
            WHERE id = $1 AND published_at IS NOT NULL AND version IS NOT NULL AND before IS NOT NULL";
        let rows = self.read_apart(sql, &[&delivery]).await?;
        let found = rows.first().map(|row| {
            let before = serde_json::from_str(row.try_get(2)?);
            let before = before.map_err(|_| StoreError::Damaged("how a set stood"))?;
            let version = row.try_get::<_, i64>(1)?.cast_unsigned();
            Ok((time_of(row.try_get(0)?)?, version, before))
        });
        found.transpose()
    }

    /// Receipts of deliveries that took effect since then, single KFR calls left out. Those that were begun more than a
    /// day before are not looked for.
    pub async fn published_since(&self, since: DateTime<Utc>) -> Result<Vec<Receipt>, StoreError> {
        let since = since.timestamp_millis().max(0);
        let begun = first_id(since.saturating_sub(TimeDelta::days(1).num_milliseconds()).max(0));
        let rows = self
            .read_apart(PUBLISHED_SINCE, &[&Uuid::from_bytes(begun), &since])
            .await?;
        rows.iter().map(receipt).collect()
    }

    /// The deliveries that changed a set after a version, oldest first.
    pub async fn published_after(&self, set: SetId, version: u64) -> Result<Vec<Uuid>, StoreError> {
        let sql = "SELECT d.id FROM deliveries d JOIN sets s ON s.id = d.set_id
            WHERE s.bank = $1 AND s.register = $2 AND d.state = 1 AND d.kind IN (1, 2, 4) AND d.version > $3
            ORDER BY d.version";
        let (bank, register) = columns(set);
        let rows = self
            .read_apart(sql, &[&bank, &register, &version.cast_signed()])
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    /// Records of a set after each of its last deliveries, oldest first.
    pub async fn trend(&self, set: SetId, points: usize) -> Result<Vec<(DateTime<Utc>, u64)>, StoreError> {
        let sql = "SELECT d.published_at, d.records FROM deliveries d JOIN sets s ON s.id = d.set_id
            WHERE s.bank = $1 AND s.register = $2 AND d.published_at IS NOT NULL AND d.records IS NOT NULL
            ORDER BY d.id DESC LIMIT $3";
        let ((bank, register), points) = (columns(set), i64::try_from(points).unwrap_or(i64::MAX));
        let rows = self.read_apart(sql, &[&bank, &register, &points]).await?;
        let point = |row: &Row| {
            Ok((
                time_of(row.try_get(0)?)?,
                row.try_get::<_, i64>(1)?.cast_unsigned(),
            ))
        };
        rows.iter().rev().map(point).collect()
    }

    /// Lines that a set's last V2 delivery or batch had rejected; `None`: none has ended.
    pub async fn last_rejected(&self, set: SetId) -> Result<Option<u64>, StoreError> {
        let sql = "SELECT d.rejected FROM deliveries d JOIN sets s ON s.id = d.set_id
            WHERE s.bank = $1 AND s.register = $2 AND d.state IN (1, 2, 4, 5) AND d.kind IN (0, 1, 2)
            ORDER BY d.id DESC LIMIT 1";
        let (bank, register) = columns(set);
        let rows = self.read_apart(sql, &[&bank, &register]).await?;
        let rejected = rows
            .first()
            .map(|row| Ok(row.try_get::<_, i64>(0)?.cast_unsigned()));
        rejected.transpose()
    }

    /// A read that no lookup is, in one statement.
    pub(super) async fn read_apart(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let reader = self.0.readers.get().await?;
        let statement = reader.client.prepare_cached(sql).await?;
        Ok(reader.client.query(&statement, parameters).await?)
    }
}

/// The receipt of a delivery that was filed.
pub(super) async fn get(transaction: &Transaction, delivery: Uuid) -> Result<Receipt, StoreError> {
    let row = transaction.query_opt(RECEIPT, &[&delivery]).await?;
    receipt(&row.ok_or(StoreError::Damaged("a receipt"))?)
}

fn digest(row: &Row, column: usize) -> Result<Option<[u8; 32]>, StoreError> {
    let bytes: Option<&[u8]> = row.try_get(column)?;
    let digest = bytes.map(<[u8; 32]>::try_from).transpose();
    digest.map_err(|_| StoreError::Damaged("a digest"))
}

fn receipt(row: &Row) -> Result<Receipt, StoreError> {
    let number = |column| Ok::<_, StoreError>(row.try_get::<_, i64>(column)?.cast_unsigned());
    let numbered = |column| Ok::<_, StoreError>(usize::from(small(row.try_get(column)?)?));
    let (published_at, day): (Option<i64>, Option<i32>) = (row.try_get(6)?, row.try_get(8)?);
    let (day, calls) = (day.map(day_of).transpose()?, number(9)?);
    let discarded: Option<&str> = row.try_get(19)?;
    let discarded = discarded.map_or(Ok(Vec::new()), serde_json::from_str);
    let (sequence, records): (Option<i64>, Option<i64>) = (row.try_get(18)?, row.try_get(20)?);
    Ok(Receipt {
        delivery_id: row.try_get(0)?,
        set: set_of(row.try_get::<_, i32>(1)?.cast_unsigned(), small(row.try_get(2)?)?)?,
        kind: *KINDS
            .get(numbered(3)?)
            .ok_or(StoreError::Damaged("a kind of delivery"))?,
        state: *STATES
            .get(numbered(4)?)
            .ok_or(StoreError::Damaged("a state of delivery"))?,
        received_at: time_of(row.try_get(5)?)?,
        published_at: published_at.map(time_of).transpose()?,
        reason: row.try_get(7)?,
        calls: day.map(|day| (day, calls)),
        summary: Summary {
            counts: Counts {
                read: number(10)?,
                stored: number(11)?,
                ended: number(12)?,
                removed: number(13)?,
                rejected: number(14)?,
                customers: number(15)?,
                accounts: number(16)?,
            },
            sha256: digest(row, 17)?,
            sequence: sequence.map(i64::cast_unsigned),
            discarded: discarded.map_err(|_| StoreError::Damaged("a list of deliveries"))?,
        },
        records: records.map(i64::cast_unsigned),
        _from_rows: FromRows,
    })
}
