//! Going back to the state just before the latest whole set.

use super::incoming::Receiving;
use super::{BankCaller, Conflict, Delivery, DeliveryError, DeliveryRefusal, Taken};
use crate::domain::delivery::DeliveryKind;
use crate::domain::relationship::SetId;
use crate::store::{
    Filing, Publication, Receipt, SetLock, SetState, Standing, Store, StoreError, Summary, Tally,
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
        let undoing = undoable(&self.store, set, &state, whole_set, &Discard::Anything, days);
        Ok(self.in_time(undoing).await??.discarded)
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
        undoable(&self.store, set, &state, whole_set, discard, days).await?;
        let receiving = self.file_begun(set, id, DeliveryKind::Rollback).await?;
        match self.lock_undoable(set, whole_set, discard).await {
            Ok((lock, undoing)) => self.stand_again(lock, undoing, today, receiving).await,
            Err(refusal) => Err(receiving.refused(refusal).await),
        }
    }

    /// The set's lock, and what a rollback undoes under it.
    async fn lock_undoable(
        &self,
        set: SetId,
        whole_set: Uuid,
        discard: &Discard,
    ) -> Result<(SetLock, Undoing), DeliveryRefusal> {
        let lock = self.store.lock(set, self.bounds.publish_timeout).await?;
        let (state, days) = (lock.state()?, self.bounds.rollback_days);
        let undoing = undoable(&self.store, set, &state, whole_set, discard, days).await?;
        Ok((lock, undoing))
    }

    async fn stand_again(
        &self,
        lock: SetLock,
        undoing: Undoing,
        today: NaiveDate,
        receiving: Receiving,
    ) -> Taken {
        let version = undoing.version;
        let written = self.workers.run(move || {
            let mut merge = lock.merge()?;
            let tally = merge.restore(version, today)?;
            Ok::<_, StoreError>((merge.finish()?, tally))
        });
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

/// What a whole set replaced, if it can stand again.
async fn undoable(
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
    let (published_at, version, standing) = store.whole_set(whole_set).await?.ok_or(Conflict::NotLatest)?;
    if !standing.loaded {
        return Err(Conflict::NothingBefore.into());
    }
    let version = version.saturating_sub(1);
    if published_at < Utc::now() - TimeDelta::days(rollback_days) || version < state.kept_from {
        return Err(Conflict::RollbackTimeOver.into());
    }
    let mut discarded = vec![whole_set];
    discarded.extend(store.published_after(set, version + 1).await?);
    if !discarded[1..].iter().all(|later| discard.allows(later)) {
        return Err(Conflict::LaterChanges(discarded.split_off(1)).into());
    }
    Ok(Undoing {
        version,
        standing,
        discarded,
    })
}
