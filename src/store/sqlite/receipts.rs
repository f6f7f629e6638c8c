//! Reads receipts.

use super::Store;
use crate::domain::delivery::{Counts, DeliveryKind, Reject};
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::relationship::SetId;
use crate::store::format::{day_of, set_of, time_of};
use crate::store::kept::first_id;
use crate::store::receipt::{FromRows, KINDS, STATES, number_of};
use crate::store::{KeyUse, Receipt, Standing, StoreError, Summary};
use chrono::{DateTime, TimeDelta, Utc};
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

pub(super) const COLUMNS: &str =
    "d.id, s.bank, s.register, d.kind, d.state, d.received_at, d.published_at, d.reason, d.day,
    d.calls, d.read, d.stored, d.ended, d.removed, d.rejected, d.customers, d.accounts, d.sha256, d.sequence,
    d.discarded, d.records";

impl Store {
    /// Up to `limit` receipts of a bank, newest first, of deliveries before one.
    pub fn receipts(
        &self,
        bank: OrganizationNumber,
        limit: usize,
        before: Option<Uuid>,
    ) -> Result<Vec<Receipt>, StoreError> {
        // Ids grow with time; none is beyond this.
        let before = before.unwrap_or(Uuid::max());
        self.0.readers.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM deliveries d JOIN sets s ON s.id = d.set_id
                 WHERE d.set_id IN (SELECT id FROM sets WHERE bank = ?1) AND d.id < ?2
                 ORDER BY d.id DESC LIMIT ?3"
            ))?;
            let mut rows = statement.query(params![bank.as_u32(), before.as_bytes().as_slice(), limit])?;
            let mut receipts = Vec::new();
            while let Some(row) = rows.next()? {
                receipts.push(receipt(row)?);
            }
            Ok(receipts)
        })
    }

    /// A bank's receipt; `None`: it has no such delivery.
    pub fn receipt(&self, bank: OrganizationNumber, delivery: Uuid) -> Result<Option<Receipt>, StoreError> {
        let found = self.0.readers.read(|connection| find(connection, delivery))?;
        Ok(found.filter(|receipt| receipt.set.bank == bank))
    }

    /// The first of a delivery's rejected lines.
    pub fn rejects(&self, delivery: Uuid) -> Result<Vec<Reject>, StoreError> {
        self.0.readers.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT line, faults FROM rejects WHERE delivery = ?1 ORDER BY line")?;
            let mut rows = statement.query([delivery.as_bytes().as_slice()])?;
            let mut rejects = Vec::new();
            while let Some(row) = rows.next()? {
                let faults: String = row.get(1)?;
                let faults = serde_json::from_str(&faults);
                rejects.push(Reject {
                    line: row.get(0)?,
                    faults: faults.map_err(|_| StoreError::Damaged("a rejected line"))?,
                });
            }
            Ok(rejects)
        })
    }

    /// The delivery that an idempotency key is bound to, of those received since then. One that was abandoned or
    /// rolled back binds none.
    pub fn key_use(
        &self,
        set: SetId,
        kind: DeliveryKind,
        key: &[u8; 32],
        since: DateTime<Utc>,
    ) -> Result<Option<KeyUse>, StoreError> {
        let Some(set_id) = self.sets().get(set).map(|state| state.id) else {
            return Ok(None);
        };
        self.0.readers.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, sha256 FROM deliveries WHERE set_id = ?1 AND kind = ?2 AND idempotency = ?3
                 AND state IN (1, 2, 5) AND received_at >= ?4 ORDER BY id DESC LIMIT 1",
            )?;
            let bound = statement.query_row(
                params![
                    set_id,
                    number_of(&KINDS, kind),
                    key.as_slice(),
                    since.timestamp_millis()
                ],
                |row| {
                    Ok(KeyUse {
                        delivery_id: Uuid::from_bytes(row.get(0)?),
                        sha256: row.get(1)?,
                    })
                },
            );
            Ok(bound.optional()?)
        })
    }

    /// When a whole set was published, its version, and how its set stood before.
    pub fn whole_set(&self, delivery: Uuid) -> Result<Option<(DateTime<Utc>, u64, Standing)>, StoreError> {
        self.0.readers.read(|connection| {
            let mut statement = connection
                .prepare_cached("SELECT published_at, version, before FROM deliveries WHERE id = ?1")?;
            let found: Option<(Option<i64>, Option<u64>, Option<String>)> = statement
                .query_row([delivery.as_bytes().as_slice()], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })
                .optional()?;
            let Some((Some(at), Some(version), Some(before))) = found else {
                return Ok(None);
            };
            let before = serde_json::from_str(&before);
            let before = before.map_err(|_| StoreError::Damaged("how a set stood"))?;
            Ok(Some((time_of(at)?, version, before)))
        })
    }

    /// Receipts of deliveries that took effect since then, single KFR calls left out. Those that were begun more than a
    /// day before are not looked for.
    pub fn published_since(&self, since: DateTime<Utc>) -> Result<Vec<Receipt>, StoreError> {
        let since = since.timestamp_millis().max(0);
        let begun = first_id(since.saturating_sub(TimeDelta::days(1).num_milliseconds()).max(0));
        self.0.readers.read(|connection| {
            let mut statement = connection.prepare_cached(&format!(
                "SELECT {COLUMNS} FROM deliveries d JOIN sets s ON s.id = d.set_id
                 WHERE d.id >= ?1 AND d.published_at >= ?2 AND d.state IN (1, 4, 5) AND d.kind <> 4 ORDER BY d.id"
            ))?;
            let mut rows = statement.query(params![begun, since])?;
            let mut receipts = Vec::new();
            while let Some(row) = rows.next()? {
                receipts.push(receipt(row)?);
            }
            Ok(receipts)
        })
    }

    /// The deliveries that changed a set after a version, oldest first.
    pub fn published_after(&self, set: SetId, version: u64) -> Result<Vec<Uuid>, StoreError> {
        let set_id = self.set_id(set)?;
        self.0.readers.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id FROM deliveries WHERE set_id = ?1 AND state = 1 AND kind IN (1, 2, 4) AND version > ?2
                 ORDER BY version",
            )?;
            let ids = statement.query_map(params![set_id, version], |row| {
                Ok(Uuid::from_bytes(row.get(0)?))
            })?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
    }

    /// Records of a set after each of its last deliveries, oldest first.
    pub fn trend(&self, set: SetId, points: usize) -> Result<Vec<(DateTime<Utc>, u64)>, StoreError> {
        let Some(set_id) = self.sets().get(set).map(|state| state.id) else {
            return Ok(Vec::new());
        };
        self.0.readers.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT published_at, records FROM deliveries
                 WHERE set_id = ?1 AND published_at IS NOT NULL AND records IS NOT NULL ORDER BY id DESC LIMIT ?2",
            )?;
            let mut rows = statement.query(params![set_id, points])?;
            let mut trend = Vec::new();
            while let Some(row) = rows.next()? {
                trend.push((time_of(row.get(0)?)?, row.get(1)?));
            }
            trend.reverse();
            Ok(trend)
        })
    }

    /// Lines that a set's last V2 delivery or batch had rejected; `None`: none has ended.
    pub fn last_rejected(&self, set: SetId) -> Result<Option<u64>, StoreError> {
        let Some(set_id) = self.sets().get(set).map(|state| state.id) else {
            return Ok(None);
        };
        self.0.readers.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT rejected FROM deliveries WHERE set_id = ?1 AND state IN (1, 2, 4, 5) AND kind IN (0, 1, 2)
                 ORDER BY id DESC LIMIT 1",
            )?;
            Ok(statement.query_row([set_id], |row| row.get(0)).optional()?)
        })
    }
}

/// The receipt of a delivery that was filed.
pub(super) fn get(connection: &Connection, delivery: Uuid) -> Result<Receipt, StoreError> {
    find(connection, delivery)?.ok_or(StoreError::Damaged("a receipt"))
}

fn find(connection: &Connection, delivery: Uuid) -> Result<Option<Receipt>, StoreError> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM deliveries d JOIN sets s ON s.id = d.set_id WHERE d.id = ?1"
    ))?;
    let mut rows = statement.query([delivery.as_bytes().as_slice()])?;
    rows.next()?.map(receipt).transpose()
}

pub(super) fn receipt(row: &Row<'_>) -> Result<Receipt, StoreError> {
    let (kind, state): (usize, usize) = (row.get(3)?, row.get(4)?);
    let (published_at, day): (Option<i64>, Option<i32>) = (row.get(6)?, row.get(8)?);
    let day = day.map(day_of).transpose()?;
    let (calls, discarded): (u64, Option<String>) = (row.get(9)?, row.get(19)?);
    let discarded = discarded.map_or(Ok(Vec::new()), |text| serde_json::from_str(&text));
    Ok(Receipt {
        delivery_id: Uuid::from_bytes(row.get(0)?),
        set: set_of(row.get(1)?, row.get(2)?)?,
        kind: *KINDS.get(kind).ok_or(StoreError::Damaged("a kind of delivery"))?,
        state: *STATES
            .get(state)
            .ok_or(StoreError::Damaged("a state of delivery"))?,
        received_at: time_of(row.get(5)?)?,
        published_at: published_at.map(time_of).transpose()?,
        reason: row.get(7)?,
        calls: day.map(|day| (day, calls)),
        summary: Summary {
            counts: Counts {
                read: row.get(10)?,
                stored: row.get(11)?,
                ended: row.get(12)?,
                removed: row.get(13)?,
                rejected: row.get(14)?,
                customers: row.get(15)?,
                accounts: row.get(16)?,
            },
            sha256: row.get(17)?,
            sequence: row.get(18)?,
            discarded: discarded.map_err(|_| StoreError::Damaged("a list of deliveries"))?,
        },
        records: row.get(20)?,
        _from_rows: FromRows,
    })
}
