//! Publishing under the lease of a bank: one instance takes its deliveries at a time.

use super::{Delivery, DeliveryError, count_rejects};
use crate::domain::relationship::SetId;
use crate::index::IndexError;
use crate::index::lease::Fence;
use crate::journal::{self, Journal, Journalled, Kind, Place, Summary};
use crate::register::keeper::together::{exchange, file_overtaken};
use crate::register::replay::{self, ReplayError};
use chrono::Utc;
use tokio::sync::OwnedMutexGuard;
use uuid::Uuid;

impl Delivery {
    /// The lease for a set's bank, kept from the bank's first delivery on for as long as this instance lives.
    pub(super) async fn keep_lease(&self, set: SetId) -> Result<Fence, DeliveryError> {
        self.journal()?;
        let was_held = self.index.fence(set.into()).is_some();
        let kept = self.index.keep(set.into()).await?;
        let fence = kept.ok_or(DeliveryError::TakenElsewhere)?;
        if !was_held {
            // Another instance may have published up to now.
            self.index.refresh().await?;
        }
        Ok(fence)
    }

    /// The position of a set in the index, as last seen.
    pub(super) fn reached(&self, set: SetId) -> u64 {
        let state = self.index.state();
        state.sets.get(&set).map_or(0, |known| known.position)
    }

    /// Journal, then index, under the lease of the bank. No other instance may have published for the set since the
    /// delivery began, at position `since`. The set's lock is held by the caller of this function.
    pub(super) async fn publish(
        &self,
        set: SetId,
        since: u64,
        delivery: journal::Delivery,
        _only_publisher: &OwnedMutexGuard<()>,
    ) -> Result<Journalled, DeliveryError> {
        let fence = self.keep_lease(set).await?;
        self.index.refresh().await?;
        self.check_level(set)?;
        let journal = self.journal()?;
        if !journal.has_all_between(set, since, self.reached(set)) {
            return Err(DeliveryError::TakenElsewhere);
        }
        self.take_over(&journal, set, fence).await?;
        let journalled = self.publish_under(&journal, set, fence, delivery).await?;
        metrics::counter!("kundeforhold_deliveries_published_total", "bank" => set.bank.to_string())
            .increment(1);
        count_rejects(set, &journalled.publication().summary);
        Ok(journalled)
    }

    /// Before the first publication after another instance's: nothing changes, but a position is taken. Whatever that
    /// instance may have journalled and not shown is at this position too, and so never takes effect.
    async fn take_over(&self, journal: &Journal, set: SetId, fence: Fence) -> Result<(), DeliveryError> {
        let state = self.index.state();
        let known = state.sets.get(&set);
        if known.is_some_and(|known| known.journal == journal.id()) {
            return Ok(());
        }
        let others = exchange(&self.index, journal).await?;
        file_overtaken(journal, &others, set).await?;
        if known.is_none() && others.is_empty() {
            return Ok(());
        }
        let id = Uuid::now_v7();
        let nothing = journal::Delivery {
            id,
            kind: Kind::Calls,
            received_at: Utc::now(),
            summary: Summary::default(),
            body: journal.begin_body(id).finish()?,
        };
        self.publish_under(journal, set, fence, nothing).await?;
        tracing::info!(%set, fence, "this instance takes the bank's deliveries now");
        Ok(())
    }

    async fn publish_under(
        &self,
        journal: &Journal,
        set: SetId,
        fence: Fence,
        delivery: journal::Delivery,
    ) -> Result<Journalled, DeliveryError> {
        let before = self.reached(set);
        let place = Place {
            position: before + 1,
            fence,
        };
        let journalled = journal.publish_at(set, place, delivery).await?;
        let mut applied = replay::apply(journal, &self.index, set, &journalled).await;
        if is_overtaken(&applied) && self.is_still_free(set, before).await? {
            applied = replay::apply(journal, &self.index, set, &journalled).await;
        }
        if is_overtaken(&applied) {
            journal.file_overtaken(set, before).await?;
            return Err(DeliveryError::TakenElsewhere);
        }
        applied?;
        self.floor.raise(set, place.position);
        Ok(journalled)
    }

    /// Whether the lease was over and nobody else has taken it for publishing.
    async fn is_still_free(&self, set: SetId, before: u64) -> Result<bool, DeliveryError> {
        if self.index.keep(set.into()).await?.is_none() {
            return Ok(false);
        }
        let state = self.index.refresh().await?;
        Ok(state.answerable().is_some() && self.reached(set) == before)
    }
}

fn is_overtaken(applied: &Result<(), ReplayError>) -> bool {
    matches!(applied, Err(ReplayError::Index(IndexError::Overtaken)))
}
