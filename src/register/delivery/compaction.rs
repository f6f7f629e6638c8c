//! Lets go of what the journal needs no longer once the rollback time is over.

use super::{Delivery, DeliveryError};
use crate::domain::relationship::SetId;
use crate::journal::{Freed, LettingGo};
use chrono::{TimeDelta, Utc};

impl Delivery {
    /// Removes the bodies that neither the present state of a set nor any possible rollback needs; nothing for
    /// now while a delivery to the set is under way, rows of its former states are still to be removed, or the
    /// bodies are being copied.
    pub async fn compact(&self, set: SetId) -> Result<Freed, DeliveryError> {
        let _index = self.index_use.mend()?;
        let _only_publisher = self.locks.lock(set).await;
        let state = self.index.refresh().await?;
        self.check_level(set)?;
        let has_retired = state.sets.get(&set).is_none_or(|known| !known.retired.is_empty());
        // Of another pseudonym key.
        let has_others = state.others.contains_key(&set);
        let is_delivered_to = self.running.list().iter().any(|(running, _)| *running == set);
        if has_retired || has_others || is_delivered_to {
            return Ok(Freed::default());
        }
        let rollback_since = Utc::now() - TimeDelta::days(self.bounds.rollback_days);
        match self.journal()?.let_go(set, rollback_since).await? {
            LettingGo::Done(freed) => Ok(freed),
            LettingGo::BeingCopied => Ok(Freed::default()),
        }
    }
}
