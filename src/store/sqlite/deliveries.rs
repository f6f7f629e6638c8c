//! The rows of `deliveries` and `rejects`: how a delivery begins, and how it ends without being published.

use super::Store;
use super::lock::SetLock;
use super::receipts;
use super::writer::Done;
use crate::domain::delivery::{DeliveryState, Reject};
use crate::store::receipt::{KINDS, STATES, number_of};
use crate::store::{Begun, DeliveryEnd, Receipt, StoreError, Summary};
use chrono::Utc;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

/// What the receipt of a delivery says that the service's end cut off.
const CUT_OFF: &str = "the service was restarted while it was being received; deliver it again";

impl SetLock {
    /// Files that a delivery begins; `Err` names the one that is being received already. The lock is given up then: from
    /// here on calls find the delivery.
    pub async fn begin(self, begun: Begun) -> Result<Result<(), Uuid>, StoreError> {
        let (store, id) = (self.store.clone(), self.state()?.id);
        let begin = move |connection: &Connection| {
            let running = "SELECT id FROM deliveries WHERE set_id = ?1 AND state = 0";
            let running: Option<[u8; 16]> =
                connection.query_row(running, [id], |row| row.get(0)).optional()?;
            if let Some(running) = running {
                return Ok(Done::nothing_new((Err(Uuid::from_bytes(running)), self)));
            }
            insert(connection, id, &begun, DeliveryState::Receiving)?;
            Ok(Done::nothing_new((Ok(()), self)))
        };
        let (begun, _lock) = store.0.writer.short(begin).await?;
        Ok(begun)
    }
}

impl Store {
    /// Files the end of a delivery that is being received, and gives its receipt.
    pub async fn end_delivery(&self, delivery: Uuid, end: DeliveryEnd) -> Result<Receipt, StoreError> {
        let end = move |connection: &Connection| {
            write_end(connection, delivery, &end)?;
            connection.execute(
                "DELETE FROM pending_calls WHERE set_id = (SELECT set_id FROM deliveries WHERE id = ?1)",
                [delivery.as_bytes().as_slice()],
            )?;
            Ok(Done::nothing_new(receipts::get(connection, delivery)?))
        };
        self.0.writer.short(end).await
    }

    /// Files a batch that was refused, and gives its receipt. A batch has a row once it ends, since it keeps out no other
    /// delivery.
    pub async fn file_refused_batch(&self, begun: Begun, end: DeliveryEnd) -> Result<Receipt, StoreError> {
        let id = self.set_id(begun.set)?;
        let file = move |connection: &Connection| {
            insert(connection, id, &begun, DeliveryState::Abandoned)?;
            set_end(connection, begun.delivery_id, &end)?;
            Ok(Done::nothing_new(receipts::get(connection, begun.delivery_id)?))
        };
        self.0.writer.short(file).await
    }

    /// The row of a set that was delivered to.
    pub(super) fn set_id(&self, set: crate::domain::relationship::SetId) -> Result<i64, StoreError> {
        let sets = self.sets();
        sets.get(set)
            .map(|state| state.id)
            .ok_or(StoreError::Damaged("a set without a row"))
    }
}

pub(super) fn insert(
    connection: &Connection,
    set_id: i64,
    begun: &Begun,
    state: DeliveryState,
) -> Result<(), StoreError> {
    connection.execute(
        "INSERT INTO deliveries (id, set_id, kind, state, received_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        params![
            begun.delivery_id.as_bytes().as_slice(),
            set_id,
            number_of(&KINDS, begun.kind),
            number_of(&STATES, state),
            begun.received_at.timestamp_millis(),
        ],
    )?;
    Ok(())
}

fn write_end(connection: &Connection, delivery: Uuid, end: &DeliveryEnd) -> Result<(), StoreError> {
    let receiving = "SELECT 1 FROM deliveries WHERE id = ?1 AND state = 0";
    let receiving: Option<i64> = connection
        .query_row(receiving, [delivery.as_bytes().as_slice()], |row| row.get(0))
        .optional()?;
    receiving.ok_or(StoreError::NotReceiving)?;
    set_end(connection, delivery, end)
}

fn set_end(connection: &Connection, delivery: Uuid, end: &DeliveryEnd) -> Result<(), StoreError> {
    let id = delivery.as_bytes().as_slice();
    match end {
        DeliveryEnd::Abandoned { reason } => {
            connection.execute(
                "UPDATE deliveries SET state = ?2, reason = ?3 WHERE id = ?1",
                params![id, number_of(&STATES, DeliveryState::Abandoned), reason],
            )?;
        }
        DeliveryEnd::Rejected {
            reason,
            summary,
            rejects,
            idempotency,
        } => {
            connection.execute(
                "UPDATE deliveries SET state = ?2, reason = ?3, idempotency = ?4 WHERE id = ?1",
                params![
                    id,
                    number_of(&STATES, DeliveryState::Rejected),
                    reason,
                    idempotency.as_ref().map(<[u8; 32]>::as_slice)
                ],
            )?;
            write_summary(connection, delivery, summary)?;
            write_rejects(connection, delivery, rejects)?;
        }
    }
    Ok(())
}

pub(super) fn write_summary(
    connection: &Connection,
    delivery: Uuid,
    summary: &Summary,
) -> Result<(), StoreError> {
    let counts = &summary.counts;
    let discarded: Option<String> = match summary.discarded.is_empty() {
        true => None,
        false => serde_json::to_string(&summary.discarded).ok(),
    };
    connection.execute(
        "UPDATE deliveries SET read = ?2, stored = ?3, ended = ?4, removed = ?5, rejected = ?6, customers = ?7,
         accounts = ?8, sha256 = ?9, sequence = ?10, discarded = ?11 WHERE id = ?1",
        params![
            delivery.as_bytes().as_slice(),
            counts.read,
            counts.stored,
            counts.ended,
            counts.removed,
            counts.rejected,
            counts.customers,
            counts.accounts,
            summary.sha256.as_ref().map(<[u8; 32]>::as_slice),
            summary.sequence,
            discarded,
        ],
    )?;
    Ok(())
}

pub(super) fn write_rejects(
    connection: &Connection,
    delivery: Uuid,
    rejects: &[Reject],
) -> Result<(), StoreError> {
    let mut insert = connection
        .prepare_cached("INSERT OR REPLACE INTO rejects (delivery, line, faults) VALUES (?1, ?2, ?3)")?;
    for reject in rejects {
        let faults =
            serde_json::to_string(&reject.faults).map_err(|_| StoreError::Damaged("a rejected line"))?;
        insert.execute(params![delivery.as_bytes().as_slice(), reject.line, faults])?;
    }
    Ok(())
}

/// What was being received when the process ended was abandoned, and the calls that waited for it hold already.
pub(super) fn abandon_all(connection: &Connection) -> Result<(), StoreError> {
    let receiving = number_of(&STATES, DeliveryState::Receiving);
    let abandoned = connection.execute(
        "UPDATE deliveries SET state = ?2, reason = ?3 WHERE state = ?1",
        params![receiving, number_of(&STATES, DeliveryState::Abandoned), CUT_OFF],
    )?;
    connection.execute("DELETE FROM pending_calls", [])?;
    if abandoned > 0 {
        tracing::warn!(abandoned, at = %Utc::now(), "deliveries that were being received were abandoned");
    }
    Ok(())
}
