//! Going back to the state just before the latest whole set.

use super::incoming::Receiving;
use super::{BankCaller, Conflict, Delivery, DeliveryError, DeliveryRefusal, Taken};
use crate::domain::delivery::DeliveryKind;
use crate::domain::relationship::SetId;
use crate::register::resolution::Tally;
use crate::store::{
    Filing, Publication, Receipt, SetLock, SetState, Standing, Store, StoreError, Summary, Written,
};
use chrono::{NaiveDate, TimeDelta, Utc};
use std::sync::Arc;
use uuid::Uuid;

/// Which changes that were published after a whole set may be lost with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Discard {
    Nothing,
    Anything,
    Only(Vec<Uuid>),
}

impl Discard {
    fn allows(&self, delivery: &Uuid) -> bool {
        match self {
            Self::Nothing => false,
            Self::Anything => true,
            Self::Only(these) => these.contains(delivery),
        }
    }
}

/// What a rollback goes back to, and what goes.
struct Undoing {
    /// The version that is to stand again.
    version: u64,
    standing: Standing,
    /// The whole set first.
    discarded: Vec<Uuid>,
}

impl Delivery {
    /// Undoes the latest published whole set of a set: what it replaced stands again. Changes published after
    /// it are lost with it, and have to be let go knowingly. `None`: the bank has no such delivery.
    pub async fn roll_back(
        &self,
        bank: &BankCaller,
        delivery_id: Uuid,
        discard: Discard,
        today: NaiveDate,
    ) -> Result<Option<Receipt>, DeliveryRefusal> {
        let Some(undone) = self.find_receipt(bank.bank(), delivery_id).await? else {
            return Ok(None);
        };
        let (delivery, set) = (self.clone(), undone.set);
        let roll_back = async move { Ok(delivery.undo(set, delivery_id, &discard, today).await) };
        Ok(Some(self.in_own_task(roll_back).await??))
    }

    /// What a rollback of a whole set would undo now: the deliveries that go, the whole set first.
    ///
    /// # Errors
    /// When it cannot be rolled back.
    pub async fn would_undo(&self, set: SetId, whole_set: Uuid) -> Result<Vec<Uuid>, DeliveryRefusal> {
        let days = self.bounds.rollback_days;
        let state = self.store.sets().get(set).cloned().ok_or(Conflict::NotLatest)?;
        let undoing = move |store: &Store| undoable(store, set, &state, whole_set, &Discard::Anything, days);
        Ok(self.read(undoing).await??.discarded)
    }

    async fn undo(&self, set: SetId, whole_set: Uuid, discard: &Discard, today: NaiveDate) -> Taken {
        let id = Uuid::now_v7();
        let place = self
            .running
            .enter(set, id, DeliveryKind::Rollback, Arc::default());
        let _place = place.map_err(Conflict::Running)?;
        let days = self.bounds.rollback_days;
        // Before it has a receipt, since most cannot be done.
        let state = self.store.sets().get(set).cloned().ok_or(Conflict::NotLatest)?;
        undoable(&self.store, set, &state, whole_set, discard, days)?;
        let receiving = self.file_begun(set, id, DeliveryKind::Rollback).await?;
        let lock = self.store.lock(set, self.bounds.publish_timeout).await;
        let undoing = lock.map_err(DeliveryRefusal::from).and_then(|lock| {
            let state = lock.state()?;
            Ok((
                undoable(&self.store, set, &state, whole_set, discard, days)?,
                lock,
            ))
        });
        match undoing {
            Ok((undoing, lock)) => self.stand_again(lock, undoing, today, receiving).await,
            Err(refusal) => Err(receiving.refused(refusal).await),
        }
    }

    async fn stand_again(
        &self,
        lock: SetLock,
        undoing: Undoing,
        today: NaiveDate,
        receiving: Receiving,
    ) -> Taken {
        let version = undoing.version;
        let written = self.workers.run(move || write(lock, version, today));
        let publication = |tally: Tally| Publication {
            writes: Vec::new(),
            // Of what stood then, some may be erased by now.
            standing: Standing {
                records: tally.records,
                running: tally.running,
                ..undoing.standing
            },
            filing: Filing::Delivery {
                delivery_id: receiving.id,
                kind: DeliveryKind::Rollback,
                summary: Summary {
                    discarded: undoing.discarded,
                    ..Summary::default()
                },
                rejects: Vec::new(),
                idempotency: None,
            },
            calls: Vec::new(),
        };
        let published = match written.await.map_err(DeliveryError::from) {
            Ok(Ok((written, tally))) => {
                let published = written.publish(publication(tally)).await;
                published.map_err(DeliveryError::from)
            }
            Ok(Err(cause)) => Err(cause.into()),
            Err(cause) => Err(cause),
        };
        match published {
            Ok(published) => {
                receiving.mark_published();
                Ok(published.receipt)
            }
            Err(cause) => Err(receiving.refused(cause.into()).await),
        }
    }
}

/// Writes what differs between the set and its records at a version. Counts those.
fn write(lock: SetLock, version: u64, today: NaiveDate) -> Result<(Written, Tally), StoreError> {
    let mut merge = lock.merge()?;
    let (mut records, mut tally) = (merge.records_at(version), Tally::default());
    merge.replace(|| {
        let next = records.next_record()?;
        next.iter().for_each(|record| tally.add(record, today));
        Ok::<_, StoreError>(next)
    })?;
    Ok((merge.finish()?, tally))
}

/// What a whole set replaced, if it can stand again.
fn undoable(
    store: &Store,
    set: SetId,
    state: &SetState,
    whole_set: Uuid,
    discard: &Discard,
    rollback_days: i64,
) -> Result<Undoing, DeliveryRefusal> {
    if state.standing.whole_set != Some(whole_set) {
        return Err(Conflict::NotLatest.into());
    }
    let (published_at, version, standing) = store.whole_set(whole_set)?.ok_or(Conflict::NotLatest)?;
    if !standing.loaded {
        return Err(Conflict::NothingBefore.into());
    }
    let version = version.saturating_sub(1);
    if published_at < Utc::now() - TimeDelta::days(rollback_days) || version < state.kept_from {
        return Err(Conflict::RollbackTimeOver.into());
    }
    let mut discarded = vec![whole_set];
    discarded.extend(store.published_after(set, version + 1)?);
    if !discarded[1..].iter().all(|later| discard.allows(later)) {
        return Err(Conflict::LaterChanges(discarded.split_off(1)).into());
    }
    Ok(Undoing {
        version,
        standing,
        discarded,
    })
}
