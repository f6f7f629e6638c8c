//! Brings a set under another key, in one transaction under its lock: lookups read it under the one or the other.

use super::connect::Connector;
use super::lock::SetLock;
use super::publish::number;
use super::sets::small;
use super::target::Target;
use super::transaction::Transaction;
use super::{PostgresOptions, Store, keys, schema, sets};
use crate::domain::relationship::SetId;
use crate::pseudonym::{KeyFingerprint, PseudonymRing, Sealed};
use crate::store::format::decode_agreement;
use crate::store::keys::KeyState;
use crate::store::{Changed, KeyId, Rekey, Resealing, RowKey, SetChange, StoreError};
use chrono::Utc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_postgres::Row;

/// Pages whose rows are sealed anew together.
const PAGES_AT_ONCE: u32 = 200;
/// Longest that a statement takes.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(600);

/// A set that is to be brought under the next key.
pub struct Rekeyed {
    from: RowKey,
    to: RowKey,
}

impl Store {
    /// How far a rekey has come.
    pub async fn look_at_rekey(place: &PostgresOptions, given: &PseudonymRing) -> Result<Rekey, StoreError> {
        let next = next_of(given)?;
        let client = Connector::new(Target::parse(place)?, Handle::current())
            .connect()
            .await?;
        schema::check(&client).await?;
        keys::progress(&*client, next).await
    }

    /// Asks that all sets be brought under the next key. Only if an instance has it.
    pub async fn ask_for_rekey(place: &PostgresOptions, given: &PseudonymRing) -> Result<Rekey, StoreError> {
        let next = next_of(given)?;
        let client = Connector::new(Target::parse(place)?, Handle::current())
            .connect()
            .await?;
        schema::check(&client).await?;
        keys::ask(&*client, next).await
    }

    /// The sets that are still to be brought under the next key; `None`: no rekey was asked for.
    pub async fn sets_to_rekey(&self) -> Result<Option<Vec<SetId>>, StoreError> {
        let Some(next) = self.next_key().await? else {
            return Ok(None);
        };
        let sets = sets::load(&self.read_apart(sets::ALL, &[]).await?)?;
        let left = sets.0.into_iter().filter(|(_, state)| state.key != next);
        Ok(Some(left.map(|(set, _)| set).collect()))
    }

    /// What a set is to be brought from and to. `None`: it stands under the next key already.
    pub fn rekeyed(&self, set: SetId) -> Result<Option<Rekeyed>, StoreError> {
        let (next, sets) = self.0.runtime.block_on(async {
            let sets = sets::load(&self.read_apart(sets::ALL, &[]).await?)?;
            Ok::<_, StoreError>((self.next_key().await?, sets))
        })?;
        let state = sets.get(set).ok_or(StoreError::Damaged("a set without a row"))?;
        let Some(next) = next.filter(|next| *next != state.key) else {
            return Ok(None);
        };
        Ok(Some(Rekeyed {
            from: self.0.keys.get(state.key)?,
            to: self.0.keys.get(next)?,
        }))
    }

    async fn next_key(&self) -> Result<Option<KeyId>, StoreError> {
        let next = "SELECT id FROM keys WHERE state = $1";
        let rows = self.read_apart(next, &[&keys::number(KeyState::Next)]).await?;
        let next = rows.first().map(|row| Ok(KeyId(small(row.try_get(0)?)?)));
        next.transpose()
    }

    /// The former key is no longer in use, if all sets are under the next one. The list of publications begins anew, since
    /// a process that has the next key only could not tell what has changed before.
    pub async fn retire_former_key(&self) -> Result<(), StoreError> {
        let next = self.next_key().await?.ok_or(StoreError::LacksKey)?;
        let transaction = Transaction::begin(self, self.0.timeout).await?;
        transaction.run(schema::ALONE).await?;
        // Whoever makes a set meanwhile makes it under the next key.
        let sets = sets::load(&transaction.query(sets::ALL, &[]).await?)?.0;
        if sets.values().any(|state| state.key != next) {
            return Err(StoreError::SetBusy);
        }
        let next = i16::from(next.0);
        transaction
            .execute("DELETE FROM keys WHERE id <> $1", &[&next])
            .await?;
        let current = "UPDATE keys SET state = $1 WHERE id = $2";
        transaction
            .execute(current, &[&keys::number(KeyState::Current), &next])
            .await?;
        if let Some(set) = sets.values().next() {
            number(&transaction, set, None, Utc::now(), &Changed::Any).await?;
            let former = "DELETE FROM publications WHERE number < (SELECT max(number) FROM publications)";
            transaction.execute(former, &[]).await?;
        }
        transaction.commit().await?;
        self.follow().await
    }
}

fn next_of(given: &PseudonymRing) -> Result<KeyFingerprint, StoreError> {
    let next = given.next().map(|next| next.fingerprint());
    next.ok_or(StoreError::LacksKey)
}

impl Rekeyed {
    /// Seals all rows of the set anew, of all its versions. Not for threads that answer.
    pub fn put_in_force(self, lock: SetLock) -> Result<(), StoreError> {
        if lock.state.key == self.to.id {
            return Ok(());
        }
        let store = lock.store.clone();
        store.0.runtime.block_on(async {
            let SetLock {
                state,
                transaction,
                guard,
                ..
            } = lock;
            let timeout = format!("SET LOCAL statement_timeout = {}", STATEMENT_TIMEOUT.as_millis());
            transaction.run(&timeout).await?;
            let (set_id, to) = (sets::id(&state), i16::from(self.to.id.0));
            let mut resealing = Resealing::new(self.from, self.to);
            for first in (0..=store.pages().await?).step_by(PAGES_AT_ONCE as usize) {
                reseal_pages(&transaction, set_id, to, first, &mut resealing).await?;
            }
            reseal_calls(&transaction, set_id, to, &mut resealing).await?;
            transaction
                .execute("UPDATE sets SET key = $2 WHERE id = $1", &[&set_id, &to])
                .await?;
            transaction.commit().await?;
            drop(guard);
            store.recount().await
        })
    }
}

/// Nobody else moves rows of the set, so that their places hold.
async fn reseal_pages(
    transaction: &Transaction,
    set_id: i32,
    to: i16,
    first: u32,
    resealing: &mut Resealing,
) -> Result<(), StoreError> {
    let rows = format!(
        "SELECT ctid::text, subject, agreement, terms FROM relationships
         WHERE ctid >= '({first},0)' AND ctid < '({},0)' AND set_id = {set_id} AND key <> {to}",
        first.saturating_add(PAGES_AT_ONCE)
    );
    let rows = transaction.client()?.query(&rows, &[]).await?;
    if rows.is_empty() {
        return Ok(());
    }
    let (mut places, mut subjects, mut agreements) = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        let (customer, agreement) = (sealed(row, 1)?, row.try_get(2)?);
        let agreement = decode_agreement(small(row.try_get(3)?)?, agreement)?;
        places.push(row.try_get::<_, &str>(0)?);
        subjects.push(resealing.customer(&customer)?.as_bytes().to_vec());
        agreements.push(resealing.agreement(&agreement)?.as_bytes().to_vec());
    }
    let update = "UPDATE relationships r SET subject = w.subject, agreement = w.agreement, key = $4
        FROM (SELECT place::tid, subject, agreement FROM unnest($1::text[], $2::bytea[], $3::bytea[])
              AS w (place, subject, agreement)) w
        WHERE r.ctid = w.place";
    transaction
        .execute(update, &[&places, &subjects, &agreements, &to])
        .await?;
    Ok(())
}

async fn reseal_calls(
    transaction: &Transaction,
    set_id: i32,
    to: i16,
    resealing: &mut Resealing,
) -> Result<(), StoreError> {
    let kept = "SELECT subject, number, change FROM pending_calls WHERE set_id = $1 AND key <> $2";
    for row in &transaction.query(kept, &[&set_id, &to]).await? {
        let (subject, number): (&[u8], i64) = (row.try_get(0)?, row.try_get(1)?);
        let mut change: &[u8] = row.try_get(2)?;
        let change = SetChange::decode(&mut change)?.ok_or(StoreError::Damaged("a call"))?;
        let (change, mut encoded) = (resealing.change(change)?, Vec::new());
        change.encode(&mut encoded);
        let update = "UPDATE pending_calls SET subject = $4, change = $5, key = $6
            WHERE set_id = $1 AND subject = $2 AND number = $3";
        let resealed = change.customer().as_bytes();
        transaction
            .execute(update, &[&set_id, &subject, &number, &resealed, &encoded, &to])
            .await?;
    }
    Ok(())
}

fn sealed(row: &Row, column: usize) -> Result<Sealed, StoreError> {
    Sealed::from_bytes(row.try_get(column)?).ok_or(StoreError::Damaged("a customer"))
}
