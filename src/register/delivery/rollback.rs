//! Going back to the state just before the latest whole set.

use super::{BankCaller, Conflict, Delivery, DeliveryError, DeliveryRefusal, Taken};
use crate::domain::relationship::SetId;
use crate::journal::{self, Journalled, Kind, Operation, Receipt, Summary};
use chrono::{TimeDelta, Utc};
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

impl Delivery {
    /// Undoes the latest published whole set of a set: what it replaced stands again. Changes published after
    /// it are lost with it, and have to be let go knowingly. `None`: the bank has no such delivery.
    pub async fn roll_back(
        &self,
        bank: &BankCaller,
        delivery_id: Uuid,
        discard: Discard,
    ) -> Result<Option<Receipt>, DeliveryRefusal> {
        let Some(undone) = self.find_receipt(bank, delivery_id).await? else {
            return Ok(None);
        };
        let (delivery, set) = (self.clone(), undone.set);
        let roll_back = async move { Ok(delivery.undo(set, delivery_id, &discard).await) };
        Ok(Some(self.in_own_task(roll_back).await??))
    }

    /// What a rollback of a whole set would undo now: the deliveries that go, the whole set first.
    ///
    /// # Errors
    /// When it cannot be rolled back.
    pub async fn would_undo(&self, set: SetId, whole_set: Uuid) -> Result<Vec<Uuid>, DeliveryRefusal> {
        let undoable = move |of: &Self| of.undoable(set, whole_set, &Discard::Anything);
        Ok(self.read(undoable).await??.1)
    }

    async fn undo(&self, set: SetId, whole_set: Uuid, discard: &Discard) -> Taken {
        let _index = self.index_use.deliver_set().await.map_err(DeliveryError::Index)?;
        let (rollback_id, received_at) = (Uuid::now_v7(), Utc::now());
        let _place = self
            .running
            .enter(set, rollback_id, Operation::Rollback, Arc::default())
            .map_err(Conflict::Running)?;
        self.keep_lease(set).await?;
        let guard = self.locks.lock(set).await;
        self.index.refresh().await.map_err(DeliveryError::Index)?;
        self.check_level(set)?;
        let since = self.reached(set);
        let (to, discarded) = self.undoable(set, whole_set, discard)?;
        let begun = self
            .file_begun(set, rollback_id, Operation::Rollback, received_at)
            .await?;
        let body = self.journal()?.begin_body(begun.id).finish();
        let delivery = journal::Delivery {
            id: begun.id,
            kind: Kind::Rollback { to },
            received_at: begun.received_at,
            summary: Summary {
                discarded,
                ..Summary::default()
            },
            body: body.map_err(DeliveryError::Journal)?,
        };
        self.publish(set, since, delivery, &guard).await?;
        self.receipt(set.bank, begun.id).await
    }

    /// The position just before a whole set, and what goes with it: the whole set itself first.
    fn undoable(
        &self,
        set: SetId,
        whole_set: Uuid,
        discard: &Discard,
    ) -> Result<(u64, Vec<Uuid>), DeliveryRefusal> {
        let journal = self.journal()?;
        let state = self.index.state();
        let known = state.sets.get(&set);
        if known.is_some_and(|known| known.journal != journal.id()) {
            return Err(Conflict::OtherJournal.into());
        }
        let lineage = journal.lineage(set, journal.position(set));
        let at = lineage.whole_set.ok_or(Conflict::NotLatest)?;
        let read = |at| journal.published_at(set, at).map_err(DeliveryError::Journal);
        let whole = read(at)?;
        let id = |journalled: &Journalled| journalled.publication().delivery_id;
        if id(&whole) != whole_set {
            return Err(Conflict::NotLatest.into());
        }
        let kept = TimeDelta::days(self.bounds.rollback_days);
        if whole.publication().published_at < Utc::now() - kept {
            return Err(Conflict::RollbackTimeOver.into());
        }
        if lineage.is_partial || journal.lineage(set, at - 1).is_partial {
            return Err(Conflict::OtherJournal.into());
        }
        // Let go, if the time was shorter once.
        if !journal.has_all_of(set, at - 1) {
            return Err(Conflict::RollbackTimeOver.into());
        }
        let mut discarded = vec![whole_set];
        for later in lineage.changes {
            discarded.push(id(&read(later)?));
        }
        if !discarded[1..].iter().all(|later| discard.allows(later)) {
            return Err(Conflict::LaterChanges(discarded.split_off(1)).into());
        }
        Ok((at - 1, discarded))
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Instance, bank, set};
    use super::*;
    use crate::journal::ReceiptState;
    use futures_util::FutureExt;
    use std::pin::pin;

    #[tokio::test]
    async fn a_rollback_that_fails_before_it_is_journalled_is_filed_as_abandoned() {
        let instance = Instance::start().await;
        let whole_set = instance.put_empty_set().await.delivery_id;
        let mut rollback = pin!(instance.delivery.undo(set(), whole_set, &Discard::Nothing));
        assert!(rollback.as_mut().now_or_never().is_none(), "it is being filed");
        instance.journal_only().await;
        let failed = rollback.await;
        assert!(matches!(
            failed,
            Err(DeliveryRefusal::Failed(DeliveryError::Behind))
        ));
        let receipt = instance.newest_receipt().await;
        assert_eq!(
            (receipt.operation, receipt.state),
            (Operation::Rollback, ReceiptState::Abandoned)
        );
    }

    #[tokio::test]
    async fn nothing_is_lost_but_what_was_named() {
        let instance = Instance::start().await;
        let (delivery, whole_set) = (&instance.delivery, instance.put_empty_set().await.delivery_id);
        instance.register("01856867389").await;
        let shown = delivery.would_undo(set(), whole_set).await.unwrap();
        assert_eq!((shown.len(), shown[0]), (2, whole_set));
        instance.register("17912099997").await;
        let both = delivery.would_undo(set(), whole_set).await.unwrap();
        let refused = delivery.roll_back(&bank(), whole_set, Discard::Only(shown)).await;
        let later = both[1..].to_vec();
        assert!(matches!(
            refused,
            Err(DeliveryRefusal::Conflict(Conflict::LaterChanges(told))) if told == later
        ));
        let done = delivery.roll_back(&bank(), whole_set, Discard::Only(later)).await;
        assert_eq!(done.unwrap().unwrap().summary.discarded, both);
    }
}
