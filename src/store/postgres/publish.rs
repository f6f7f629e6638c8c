//! One transaction puts a version in force: the last rows, the set, the receipt and the publication.

use super::lock::SetLock;
use super::transaction::Transaction;
use super::{deliveries, receipts, rows, sets};
use crate::domain::delivery::{Counts, DeliveryKind, DeliveryState};
use crate::store::format::{day_number, time_of};
use crate::store::publication::{count_published, next_state, note_tags};
use crate::store::receipt::{KINDS, STATES, number_of};
use crate::store::{Changed, Filing, Publication, Published, SetChange, SetState, Standing, StoreError};
use chrono::{DateTime, NaiveDate, Utc};
use uuid::Uuid;

impl SetLock {
    /// Puts changes in force.
    pub async fn publish(self, publication: Publication) -> Result<Published, StoreError> {
        let changes = !publication.writes.is_empty() || !matches!(publication.filing, Filing::Call { .. });
        let version = self.state.version + u64::from(changes);
        publish(self, version, publication, Changed::default()).await
    }
}

/// Publishes a version of a set, most of whose rows may be written already. The lock is held until it is known what
/// became of it.
pub(super) async fn publish(
    lock: SetLock,
    version: u64,
    publication: Publication,
    mut changed: Changed,
) -> Result<Published, StoreError> {
    let SetLock {
        store,
        set,
        state,
        mut transaction,
        guard,
    } = lock;
    note_tags(&publication.writes, &mut changed);
    rows::write(&transaction, &state, version, &publication.writes).await?;
    // As rows have it, so that nothing else is said after a restart.
    let at = time_of(Utc::now().timestamp_millis())?;
    let next = next_state(&state, version, &publication, at);
    sets::write(&transaction, &next).await?;
    let delivery = file(&transaction, &state, &next, &publication, at).await?;
    keep_calls(&transaction, &state, version, &publication.calls).await?;
    let receipt = receipts::get(&transaction, delivery).await?;
    transaction.note().await?;
    number(&transaction, &next, Some(delivery), at, &changed).await?;
    transaction.commit().await?;
    store.0.own.remove(&delivery);
    count_published(set);
    // Lookups of this process follow by themselves where this fails.
    let _ = store.follow().await;
    drop(guard);
    Ok(Published { receipt })
}

/// Writes the receipt, and what becomes of those of former deliveries. Gives its id.
async fn file(
    transaction: &Transaction,
    before: &SetState,
    after: &SetState,
    publication: &Publication,
    at: DateTime<Utc>,
) -> Result<Uuid, StoreError> {
    match &publication.filing {
        Filing::Delivery {
            delivery_id,
            kind,
            summary,
            rejects,
            idempotency,
        } => {
            let former = (*kind == DeliveryKind::WholeSet).then_some(&before.standing);
            let key = idempotency.as_ref().map(<[u8; 32]>::as_slice);
            let receiving = DeliveryState::Receiving;
            publish_receipt(transaction, *delivery_id, receiving, after, at, former, key).await?;
            deliveries::write_summary(transaction, *delivery_id, summary).await?;
            deliveries::write_rejects(transaction, *delivery_id, rejects).await?;
            match kind {
                DeliveryKind::WholeSet => supersede(transaction, before).await?,
                DeliveryKind::Rollback => roll_back(transaction, after, &summary.discarded).await?,
                DeliveryKind::Changes | DeliveryKind::Batch | DeliveryKind::KfrCalls => {}
            }
            Ok(*delivery_id)
        }
        Filing::Batch { begun, summary } => {
            let filed = DeliveryState::Published;
            deliveries::insert(transaction, sets::id(before), begun, filed).await?;
            publish_receipt(transaction, begun.delivery_id, filed, after, at, None, None).await?;
            deliveries::write_summary(transaction, begun.delivery_id, summary).await?;
            Ok(begun.delivery_id)
        }
        Filing::Call { day, counts } => count_call(transaction, after, *day, counts, at).await,
    }
}

/// Only what is being received is published; a batch has its row from now on.
async fn publish_receipt(
    transaction: &Transaction,
    delivery: Uuid,
    from: DeliveryState,
    after: &SetState,
    at: DateTime<Utc>,
    before: Option<&Standing>,
    key: Option<&[u8]>,
) -> Result<(), StoreError> {
    let update =
        "UPDATE deliveries SET state = $2, published_at = $3, version = $4, records = $5, before = $6,
        idempotency = $7 WHERE id = $1 AND state = $8";
    let before = before.map(serde_json::to_string).transpose();
    let before = before.map_err(|_| StoreError::Damaged("how a set stands"))?;
    let published = transaction
        .execute(
            update,
            &[
                &delivery,
                &state(DeliveryState::Published),
                &at.timestamp_millis(),
                &after.version.cast_signed(),
                &after.standing.records.cast_signed(),
                &before,
                &key,
                &state(from),
            ],
        )
        .await?;
    match published {
        1 => Ok(()),
        _ => Err(StoreError::NotReceiving),
    }
}

/// A state as rows have it.
pub(super) fn state(state: DeliveryState) -> i16 {
    number_of(&STATES, state) as i16
}

/// A kind as rows have it.
pub(super) fn kind(kind: DeliveryKind) -> i16 {
    number_of(&KINDS, kind) as i16
}

async fn set_state(
    transaction: &Transaction,
    delivery: Uuid,
    from: DeliveryState,
    to: DeliveryState,
) -> Result<(), StoreError> {
    let update = "UPDATE deliveries SET state = $3 WHERE id = $1 AND state = $2";
    transaction
        .execute(update, &[&delivery, &state(from), &state(to)])
        .await?;
    Ok(())
}

/// The former whole set gives way; the calls that waited for the new one are in it.
async fn supersede(transaction: &Transaction, before: &SetState) -> Result<(), StoreError> {
    if let Some(former) = before.standing.whole_set {
        set_state(
            transaction,
            former,
            DeliveryState::Published,
            DeliveryState::Superseded,
        )
        .await?;
    }
    let calls = "DELETE FROM pending_calls WHERE set_id = $1";
    transaction.execute(calls, &[&sets::id(before)]).await?;
    Ok(())
}

/// What goes is rolled back, but for the calls of a day, of which only some may go; the former whole set stands again.
async fn roll_back(
    transaction: &Transaction,
    after: &SetState,
    discarded: &[Uuid],
) -> Result<(), StoreError> {
    let update = "UPDATE deliveries SET state = $2 WHERE id = ANY($1) AND kind <> $3";
    let (rolled_back, calls) = (state(DeliveryState::RolledBack), kind(DeliveryKind::KfrCalls));
    transaction
        .execute(update, &[&discarded, &rolled_back, &calls])
        .await?;
    match after.standing.whole_set {
        Some(again) => {
            set_state(
                transaction,
                again,
                DeliveryState::Superseded,
                DeliveryState::Published,
            )
            .await
        }
        None => Ok(()),
    }
}

/// One line a day: a call that changed nothing counts too.
async fn count_call(
    transaction: &Transaction,
    after: &SetState,
    day: NaiveDate,
    counts: &Counts,
    at: DateTime<Utc>,
) -> Result<Uuid, StoreError> {
    let insert = "
        INSERT INTO deliveries AS d (id, set_id, kind, state, received_at, published_at, version, day, calls, read,
             stored, ended, removed, customers, records)
        VALUES ($1, $2, $3, $4, $5, $5, $6, $7, 1, $8, $9, $10, $11, $12, $13)
        ON CONFLICT (set_id, day) WHERE day IS NOT NULL DO UPDATE SET
             published_at = excluded.published_at, version = excluded.version, calls = d.calls + 1,
             read = d.read + excluded.read, stored = d.stored + excluded.stored, ended = d.ended + excluded.ended,
             removed = d.removed + excluded.removed, customers = d.customers + excluded.customers,
             records = excluded.records
        RETURNING id";
    let rows = transaction
        .query(
            insert,
            &[
                &Uuid::now_v7(),
                &sets::id(after),
                &kind(DeliveryKind::KfrCalls),
                &state(DeliveryState::Published),
                &at.timestamp_millis(),
                &after.version.cast_signed(),
                &day_number(day),
                &counts.read.cast_signed(),
                &counts.stored.cast_signed(),
                &counts.ended.cast_signed(),
                &counts.removed.cast_signed(),
                &counts.customers.cast_signed(),
                &after.standing.records.cast_signed(),
            ],
        )
        .await?;
    let row = rows.first().ok_or(StoreError::Damaged("a receipt"))?;
    Ok(row.try_get(0)?)
}

/// Calls hold in a whole set too that is being received meanwhile.
pub(super) async fn keep_calls(
    transaction: &Transaction,
    set: &SetState,
    version: u64,
    calls: &[SetChange],
) -> Result<(), StoreError> {
    let (set_id, key) = (sets::id(set), i16::from(set.key.0));
    if calls.is_empty() || !is_receiving_whole_set(transaction, set_id).await? {
        return Ok(());
    }
    let insert = "
        INSERT INTO pending_calls (set_id, subject, number, change, version, key)
        SELECT $1, w.subject, w.place + coalesce((SELECT max(number) FROM pending_calls p
                   WHERE p.set_id = $1 AND p.subject = w.subject), 0), w.change, $4, $5
        FROM unnest($2::bytea[], $3::bytea[]) WITH ORDINALITY AS w (subject, change, place)";
    let subjects: Vec<&[u8]> = calls.iter().map(|call| call.customer().as_bytes()).collect();
    let changes = calls.iter().map(|call| {
        let mut change = Vec::new();
        call.encode(&mut change);
        change
    });
    let changes: Vec<Vec<u8>> = changes.collect();
    transaction
        .execute(
            insert,
            &[&set_id, &subjects, &changes, &version.cast_signed(), &key],
        )
        .await?;
    Ok(())
}

/// Whoever ends that delivery waits for the end of the transaction, and finds what it has kept; its beat does not wait.
pub(super) async fn is_receiving_whole_set(
    transaction: &Transaction,
    set_id: i32,
) -> Result<bool, StoreError> {
    let receiving = "SELECT 1 FROM deliveries WHERE set_id = $1 AND state = 0 AND kind = 0 FOR KEY SHARE";
    Ok(transaction.query_opt(receiving, &[&set_id]).await?.is_some())
}

/// Held until the end of the transaction, and taken in a statement of its own: the next one sees every number that was
/// drawn before.
const NUMBERS: &str = "SELECT pg_advisory_xact_lock(7510, 2)";

/// Draws the number as the last act of the transaction, so that numbers come in commit order.
pub(super) async fn number(
    transaction: &Transaction,
    set: &SetState,
    delivery: Option<Uuid>,
    at: DateTime<Utc>,
    changed: &Changed,
) -> Result<(), StoreError> {
    let mut drawn = [0; 8];
    getrandom::fill(&mut drawn).map_err(|cause| StoreError::Unavailable(cause.to_string()))?;
    let standing = serde_json::to_string(&set.standing);
    let standing = standing.map_err(|_| StoreError::Damaged("how a set stands"))?;
    let insert = "
        INSERT INTO publications (number, drawn, set_id, version, sequence, standing, delivery, at, changed)
        SELECT coalesce(max(number), 0) + 1, $1, $2, $3, $4, $5, $6, $7, $8 FROM publications";
    transaction.query(NUMBERS, &[]).await?;
    transaction
        .execute(
            insert,
            &[
                &drawn.as_slice(),
                &sets::id(set),
                &set.version.cast_signed(),
                &set.sequence.cast_signed(),
                &standing,
                &delivery,
                &at.timestamp_millis(),
                &changed.encode(),
            ],
        )
        .await?;
    Ok(())
}
