//! Rows of replaced generations, removed in the background.

use super::Keeper;
use crate::domain::relationship::SetId;
use crate::index::layout::Generation;
use crate::journal::Journal;
use crate::register::replay::{self, ReplayError};
use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How often replaced generations are looked for.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

impl Keeper {
    /// Removes the rows of replaced generations in the background, until shutdown.
    pub async fn sweep(self, shutdown: CancellationToken) {
        let mut retired_since: HashMap<(SetId, Generation), Instant> = HashMap::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(SWEEP_EVERY) => {}
                () = shutdown.cancelled() => return,
            }
            let state = self.index.state();
            let retired = state
                .sets
                .iter()
                .flat_map(|(set, known)| known.retired.iter().map(|g| (*set, *g)));
            let retired: HashSet<(SetId, Generation)> = retired.collect();
            retired_since.retain(|key, _| retired.contains(key));
            for (set, generation) in retired {
                let since = retired_since
                    .entry((set, generation))
                    .or_insert_with(Instant::now);
                if !self.may_go(set, *since) {
                    continue;
                }
                let swept = tokio::select! {
                    swept = self.remove_retired(set, generation) => swept,
                    () = shutdown.cancelled() => return,
                };
                if let Err(cause) = swept {
                    tracing::warn!(%cause, %set, generation, "rows of a replaced set could not be removed yet");
                }
            }
        }
    }

    async fn remove_retired(&self, set: SetId, generation: Generation) -> Result<(), ReplayError> {
        let Some(journal) = self.journal() else {
            return Ok(());
        };
        // Done by the instance that takes the bank's deliveries.
        let Some(_) = self.index.take(set.into()).await? else {
            return Ok(());
        };
        let removed = self.remove_rows(&journal, set, generation).await;
        self.index.give_up(set.into()).await?;
        removed
    }

    async fn remove_rows(
        &self,
        journal: &Journal,
        set: SetId,
        generation: Generation,
    ) -> Result<(), ReplayError> {
        replay::remove_generation(journal, &self.index, set, generation).await?;
        let _mending = self.index_use.mend()?;
        let _lock = self.locks.lock(set).await;
        let Some(mut known) = self.index.refresh().await?.sets.get(&set).cloned() else {
            return Ok(());
        };
        known.retired.retain(|retired| *retired != generation);
        Ok(self
            .index
            .write(set, known.generation, Vec::new(), Some(known))
            .await?)
    }
}
