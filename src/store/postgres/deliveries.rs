//! The rows of `deliveries` and `rejects`: how a delivery begins, and how it ends without being published.

use super::lock::SetLock;
use super::publish::{kind, state};
use super::transaction::Transaction;
use super::{Store, receipts, sets};
use crate::domain::delivery::{DeliveryState, Reject};
use crate::store::{Begun, DeliveryEnd, Receipt, StoreError, Summary};
use uuid::Uuid;

impl SetLock {
    /// Files that a delivery begins; `Err` names the one that is being received already.
    pub async fn begin(self, begun: Begun) -> Result<Result<(), Uuid>, StoreError> {
        let set_id = sets::id(&self.state);
        let running = "SELECT id FROM deliveries WHERE set_id = $1 AND state = 0";
        if let Some(row) = self.transaction.query_opt(running, &[&set_id]).await? {
            return Ok(Err(row.try_get(0)?));
        }
        insert(&self.transaction, set_id, &begun, DeliveryState::Receiving).await?;
        // Nobody finds it without a beat.
        self.store.0.own.insert(begun.delivery_id);
        let committed = self.transaction.commit().await;
        if committed.is_err() {
            self.store.0.own.remove(&begun.delivery_id);
        }
        committed.map(Ok)
    }
}

impl Store {
    /// Files the end of a delivery that is being received, and gives its receipt.
    pub async fn end_delivery(&self, delivery: Uuid, end: DeliveryEnd) -> Result<Receipt, StoreError> {
        let transaction = Transaction::begin(self, self.0.timeout).await?;
        let receiving = "SELECT set_id FROM deliveries WHERE id = $1 AND state = 0 FOR UPDATE";
        let receiving = transaction.query_opt(receiving, &[&delivery]).await?;
        let Some(row) = receiving else {
            self.0.own.remove(&delivery);
            return Err(StoreError::NotReceiving);
        };
        let set_id: i32 = row.try_get(0)?;
        set_end(&transaction, delivery, &end).await?;
        let calls = "DELETE FROM pending_calls WHERE set_id = $1";
        transaction.execute(calls, &[&set_id]).await?;
        let receipt = receipts::get(&transaction, delivery).await?;
        transaction.commit().await?;
        self.0.own.remove(&delivery);
        Ok(receipt)
    }

    /// Files a batch that was refused, and gives its receipt.
    pub async fn file_refused_batch(&self, begun: Begun, end: DeliveryEnd) -> Result<Receipt, StoreError> {
        let lock = self.lock(begun.set, self.0.timeout).await?;
        let (transaction, set_id) = (lock.transaction, sets::id(&lock.state));
        insert(&transaction, set_id, &begun, DeliveryState::Abandoned).await?;
        set_end(&transaction, begun.delivery_id, &end).await?;
        let receipt = receipts::get(&transaction, begun.delivery_id).await?;
        transaction.commit().await?;
        Ok(receipt)
    }
}

pub(super) async fn insert(
    transaction: &Transaction,
    set_id: i32,
    begun: &Begun,
    in_state: DeliveryState,
) -> Result<(), StoreError> {
    let insert = "INSERT INTO deliveries (id, set_id, kind, state, received_at) VALUES ($1, $2, $3, $4, $5)";
    let received_at = begun.received_at.timestamp_millis();
    let (kind, in_state) = (kind(begun.kind), state(in_state));
    transaction
        .execute(
            insert,
            &[&begun.delivery_id, &set_id, &kind, &in_state, &received_at],
        )
        .await?;
    Ok(())
}

async fn set_end(transaction: &Transaction, delivery: Uuid, end: &DeliveryEnd) -> Result<(), StoreError> {
    let update = "UPDATE deliveries SET state = $2, reason = $3, idempotency = $4 WHERE id = $1";
    match end {
        DeliveryEnd::Abandoned { reason } => {
            let (abandoned, no_key) = (state(DeliveryState::Abandoned), None::<&[u8]>);
            transaction
                .execute(update, &[&delivery, &abandoned, reason, &no_key])
                .await?;
        }
        DeliveryEnd::Rejected {
            reason,
            summary,
            rejects,
            idempotency,
        } => {
            let key = idempotency.as_ref().map(<[u8; 32]>::as_slice);
            let rejected = state(DeliveryState::Rejected);
            transaction
                .execute(update, &[&delivery, &rejected, reason, &key])
                .await?;
            write_summary(transaction, delivery, summary).await?;
            write_rejects(transaction, delivery, rejects).await?;
        }
    }
    Ok(())
}

pub(super) async fn write_summary(
    transaction: &Transaction,
    delivery: Uuid,
    summary: &Summary,
) -> Result<(), StoreError> {
    let update = "UPDATE deliveries SET read = $2, stored = $3, ended = $4, removed = $5, rejected = $6,
        customers = $7, accounts = $8, sha256 = $9, sequence = $10, discarded = $11 WHERE id = $1";
    let counts = &summary.counts;
    let discarded = match summary.discarded.is_empty() {
        true => None,
        false => serde_json::to_string(&summary.discarded).ok(),
    };
    transaction
        .execute(
            update,
            &[
                &delivery,
                &counts.read.cast_signed(),
                &counts.stored.cast_signed(),
                &counts.ended.cast_signed(),
                &counts.removed.cast_signed(),
                &counts.rejected.cast_signed(),
                &counts.customers.cast_signed(),
                &counts.accounts.cast_signed(),
                &summary.sha256.as_ref().map(<[u8; 32]>::as_slice),
                &summary.sequence.map(u64::cast_signed),
                &discarded,
            ],
        )
        .await?;
    Ok(())
}

pub(super) async fn write_rejects(
    transaction: &Transaction,
    delivery: Uuid,
    rejects: &[Reject],
) -> Result<(), StoreError> {
    if rejects.is_empty() {
        return Ok(());
    }
    let lines: Vec<i64> = rejects.iter().map(|reject| reject.line.cast_signed()).collect();
    let faults = rejects.iter().map(|reject| serde_json::to_string(&reject.faults));
    let faults: Vec<String> = faults
        .collect::<Result<_, _>>()
        .map_err(|_| StoreError::Damaged("a rejected line"))?;
    let insert = "INSERT INTO rejects (delivery, line, faults)
        SELECT DISTINCT ON (w.line) $1, w.line, w.faults
        FROM unnest($2::bigint[], $3::text[]) WITH ORDINALITY AS w (line, faults, place)
        ORDER BY w.line, w.place DESC";
    transaction.execute(insert, &[&delivery, &lines, &faults]).await?;
    Ok(())
}
