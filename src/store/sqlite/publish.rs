//! One transaction puts a version in force: the last rows, the set, the receipt and the publication.

use super::deliveries::{insert, write_rejects, write_summary};
use super::lock::SetLock;
use super::memory::News;
use super::receipts;
use super::rows::RowWriter;
use super::writer::Done;
use super::{lookup, rows, sets};
use crate::domain::delivery::{Counts, DeliveryKind, DeliveryState, PublicationId};
use crate::domain::relationship::SetId;
use crate::pseudonym::{Sealed, SealedAgreement};
use crate::store::format::{day_number, time_of};
use crate::store::publication::{count_published, next_state, note_tags};
use crate::store::receipt::{KINDS, STATES, number_of};
use crate::store::{
    Changed, Filing, Publication, Publications, Published, RowWrite, SealedRecord, SetChange, SetState,
    Standing, StoreError,
};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use rusqlite::{Connection, params};
use uuid::Uuid;

/// Publications that are known from the start.
const RECALLED: TimeDelta = TimeDelta::days(1);

impl SetLock {
    /// A customer's records of an agreement that are in force: those that a change can concern.
    pub fn records_of(
        &self,
        customer: &Sealed,
        agreement: &SealedAgreement,
    ) -> Result<Vec<SealedRecord>, StoreError> {
        let set_id = self.state()?.id;
        let store = &self.store;
        store
            .0
            .readers
            .read(|connection| rows::of_agreement(connection, set_id, customer, agreement))
    }

    /// Whether calls have to hold in a whole set that is being received.
    pub fn is_receiving_whole_set(&self) -> Result<bool, StoreError> {
        let set_id = self.state()?.id;
        let store = &self.store;
        store
            .0
            .readers
            .read(|connection| is_receiving_whole_set(connection, set_id))
    }

    /// Puts changes in force. The lock is held until it is known whether they are.
    pub async fn publish(self, publication: Publication) -> Result<Published, StoreError> {
        let state = self.state()?;
        let changes = !publication.writes.is_empty() || !matches!(publication.filing, Filing::Call { .. });
        let version = state.version + u64::from(changes);
        let changed = Changed::default();
        let (store, set) = (self.store.clone(), self.set);
        let publish = move |connection: &Connection| {
            let done = put_in_force(connection, set, &state, version, &publication, changed)?;
            Ok(Done {
                value: (done.value, self),
                news: done.news,
            })
        };
        let (published, _lock) = store.0.writer.short(publish).await?;
        count_published(set);
        Ok(published)
    }
}

/// All of it, within a transaction.
pub(super) fn put_in_force(
    connection: &Connection,
    set: SetId,
    state: &SetState,
    version: u64,
    publication: &Publication,
    mut changed: Changed,
) -> Result<Done<Published>, StoreError> {
    note_tags(&publication.writes, &mut changed);
    let mut rows = RowWriter::new(connection, state.id, state.key, version)?;
    for write in &publication.writes {
        rows.write(write)?;
        if let RowWrite::Insert(SealedRecord {
            customer, agreement, ..
        }) = write
            && let Some(account) = agreement.account()
        {
            rows.point(account.tag(), customer.as_bytes())?;
        }
    }
    // As rows have it, so that nothing else is said after a restart.
    let at = time_of(Utc::now().timestamp_millis())?;
    let next = next_state(state, version, publication, at);
    sets::write(connection, &next)?;
    let delivery = file(connection, state, &next, publication, at)?;
    keep_calls(connection, state, version, &publication.calls)?;
    let id = number(connection, &next, Some(delivery), at, &changed)?;
    let receipt = receipts::get(connection, delivery)?;
    Ok(Done {
        value: Published { receipt },
        news: vec![News::Set(set, next), News::Published(id, changed)],
    })
}

/// Writes the receipt, and what becomes of those of former deliveries. Gives its id.
fn file(
    connection: &Connection,
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
            let key = idempotency.as_ref().map(<[u8; 32]>::as_slice);
            let whole = *kind == DeliveryKind::WholeSet;
            let former = whole.then_some(&before.standing);
            publish_receipt(
                connection,
                *delivery_id,
                DeliveryState::Receiving,
                after,
                at,
                former,
                key,
            )?;
            write_summary(connection, *delivery_id, summary)?;
            write_rejects(connection, *delivery_id, rejects)?;
            match kind {
                DeliveryKind::WholeSet => supersede(connection, before)?,
                DeliveryKind::Rollback => roll_back(connection, after, &summary.discarded)?,
                DeliveryKind::Changes | DeliveryKind::Batch | DeliveryKind::KfrCalls => {}
            }
            Ok(*delivery_id)
        }
        Filing::Batch { begun, summary } => {
            insert(connection, before.id, begun, DeliveryState::Published)?;
            let filed = DeliveryState::Published;
            publish_receipt(connection, begun.delivery_id, filed, after, at, None, None)?;
            write_summary(connection, begun.delivery_id, summary)?;
            Ok(begun.delivery_id)
        }
        Filing::Call { day, counts } => count_call(connection, after, *day, counts, at),
    }
}

/// Only what is being received is published; a batch has its row from now on.
fn publish_receipt(
    connection: &Connection,
    delivery: Uuid,
    from: DeliveryState,
    after: &SetState,
    at: DateTime<Utc>,
    before: Option<&Standing>,
    key: Option<&[u8]>,
) -> Result<(), StoreError> {
    let before = before.map(serde_json::to_string).transpose();
    let published = connection.execute(
        "UPDATE deliveries SET state = ?2, published_at = ?3, version = ?4, records = ?5, before = ?6, idempotency = ?7
         WHERE id = ?1 AND state = ?8",
        params![
            delivery.as_bytes().as_slice(),
            number_of(&STATES, DeliveryState::Published),
            at.timestamp_millis(),
            after.version,
            after.standing.records,
            before.map_err(|_| StoreError::Damaged("how a set stands"))?,
            key,
            number_of(&STATES, from),
        ],
    )?;
    match published {
        1 => Ok(()),
        _ => Err(StoreError::NotReceiving),
    }
}

fn set_state(
    connection: &Connection,
    delivery: Uuid,
    from: DeliveryState,
    to: DeliveryState,
) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE deliveries SET state = ?3 WHERE id = ?1 AND state = ?2",
        params![
            delivery.as_bytes().as_slice(),
            number_of(&STATES, from),
            number_of(&STATES, to)
        ],
    )?;
    Ok(())
}

/// The former whole set gives way; the calls that waited for the new one are in it.
fn supersede(connection: &Connection, before: &SetState) -> Result<(), StoreError> {
    if let Some(former) = before.standing.whole_set {
        set_state(
            connection,
            former,
            DeliveryState::Published,
            DeliveryState::Superseded,
        )?;
    }
    connection.execute("DELETE FROM pending_calls WHERE set_id = ?1", [before.id])?;
    Ok(())
}

/// What goes is rolled back, but for the calls of a day, of which only some may go; the former whole set stands again.
fn roll_back(connection: &Connection, after: &SetState, discarded: &[Uuid]) -> Result<(), StoreError> {
    for gone in discarded {
        connection.execute(
            "UPDATE deliveries SET state = ?2 WHERE id = ?1 AND kind <> ?3",
            params![
                gone.as_bytes().as_slice(),
                number_of(&STATES, DeliveryState::RolledBack),
                number_of(&KINDS, DeliveryKind::KfrCalls)
            ],
        )?;
    }
    match after.standing.whole_set {
        Some(again) => set_state(
            connection,
            again,
            DeliveryState::Superseded,
            DeliveryState::Published,
        ),
        None => Ok(()),
    }
}

/// One line a day: a call that changed nothing counts too.
fn count_call(
    connection: &Connection,
    after: &SetState,
    day: NaiveDate,
    counts: &Counts,
    at: DateTime<Utc>,
) -> Result<Uuid, StoreError> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO deliveries (id, set_id, kind, state, received_at, published_at, version, day, calls, read, stored,
             ended, removed, customers, records)
         VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, 1, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT (set_id, day) WHERE day IS NOT NULL DO UPDATE SET
             published_at = excluded.published_at, version = excluded.version, calls = calls + 1,
             read = read + excluded.read, stored = stored + excluded.stored, ended = ended + excluded.ended,
             removed = removed + excluded.removed, customers = customers + excluded.customers,
             records = excluded.records
         RETURNING id",
    )?;
    let id = statement.query_row(
        params![
            Uuid::now_v7().as_bytes().as_slice(),
            after.id,
            number_of(&KINDS, DeliveryKind::KfrCalls),
            number_of(&STATES, DeliveryState::Published),
            at.timestamp_millis(),
            after.version,
            day_number(day),
            counts.read,
            counts.stored,
            counts.ended,
            counts.removed,
            counts.customers,
            after.standing.records,
        ],
        |row| row.get(0),
    )?;
    Ok(Uuid::from_bytes(id))
}

/// Calls hold in a whole set too that is being received meanwhile, once the version that they make is in force.
pub(super) fn keep_calls(
    connection: &Connection,
    set: &SetState,
    version: u64,
    calls: &[SetChange],
) -> Result<(), StoreError> {
    if calls.is_empty() {
        return Ok(());
    }
    if !is_receiving_whole_set(connection, set.id)? {
        return Ok(());
    }
    let mut insert = connection.prepare_cached(
        "INSERT INTO pending_calls (set_id, subject, number, change, version, key) VALUES (?1, ?2,
             (SELECT coalesce(max(number), 0) + 1 FROM pending_calls WHERE set_id = ?1 AND subject = ?2), ?3, ?4, ?5)",
    )?;
    for call in calls {
        let mut change = Vec::new();
        call.encode(&mut change);
        insert.execute(params![
            set.id,
            call.customer().as_bytes(),
            change,
            version,
            set.key.0
        ])?;
    }
    Ok(())
}

fn is_receiving_whole_set(connection: &Connection, set_id: i64) -> Result<bool, StoreError> {
    let receiving = "SELECT 1 FROM deliveries WHERE set_id = ?1 AND state = 0 AND kind = 0";
    Ok(connection.prepare_cached(receiving)?.exists([set_id])?)
}

/// Draws the number as the last act of the transaction, so that numbers come in commit order.
pub(super) fn number(
    connection: &Connection,
    set: &SetState,
    delivery: Option<Uuid>,
    at: DateTime<Utc>,
    changed: &Changed,
) -> Result<PublicationId, StoreError> {
    let last = lookup::last_publication(connection)?.map_or(0, |last| last.number);
    let mut drawn = [0; 8];
    getrandom::fill(&mut drawn).map_err(|cause| StoreError::Unavailable(cause.to_string()))?;
    let id = PublicationId {
        number: last + 1,
        drawn,
    };
    let mut insert = connection.prepare_cached(
        "INSERT INTO publications (number, drawn, set_id, version, delivery, at, changed)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    insert.execute(params![
        id.number,
        id.drawn.as_slice(),
        set.id,
        set.version,
        delivery.as_ref().map(|id| id.as_bytes().as_slice()),
        at.timestamp_millis(),
        changed.encode(),
    ])?;
    Ok(id)
}

/// Takes note of the publications of the last day, and of the last one before it.
pub(super) fn recall(
    connection: &Connection,
    publications: &Publications,
    most: usize,
) -> Result<(), StoreError> {
    let since = (Utc::now() - RECALLED).timestamp_millis();
    let first: Option<u64> = connection.query_row(
        "SELECT max(coalesce((SELECT max(number) FROM publications WHERE at < ?1), 1),
                    coalesce((SELECT max(number) FROM publications), 0) - ?2)",
        params![since, most],
        |row| row.get(0),
    )?;
    let mut statement = connection
        .prepare("SELECT number, drawn, changed FROM publications WHERE number >= ?1 ORDER BY number")?;
    let mut rows = statement.query([first.unwrap_or(0)])?;
    while let Some(row) = rows.next()? {
        let id = PublicationId {
            number: row.get(0)?,
            drawn: row.get(1)?,
        };
        let changed: Option<Vec<u8>> = row.get(2)?;
        publications.note(id, &Changed::decode(changed.as_deref()));
    }
    Ok(())
}
