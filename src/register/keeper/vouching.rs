//! After a primary was replaced: what it lost is brought back before anything is answered. And before one is: what all
//! of the store is known to hold is noted beside the rows, so that little has to be brought back.

use super::{Keeper, RETIRE_SLACK};
use crate::domain::relationship::SetId;
use crate::index::layout::{Generation, IndexState, SetState, Side};
use crate::index::{Checkpoint, EMBEDDED_LINEUP, IndexError};
use crate::register::replay::{self, Proven, ReplayError};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How often checkpoints are written; what came after the last one is applied again after a failover.
const CHECKPOINT_EVERY: Duration = Duration::from_secs(1);

/// The checkpoints that this instance has written.
#[derive(Clone, Default)]
pub struct Checkpointed(Arc<Mutex<Written>>);

#[derive(Default)]
struct Written {
    at: Option<Instant>,
    /// On this lineup.
    lineup: u64,
    sets: HashMap<(SetId, Generation), Checkpoint>,
}

impl Checkpointed {
    fn written(&self) -> std::sync::MutexGuard<'_, Written> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a failover of this lineup finds this generation, and no former one.
    fn names(&self, lineup: u64, set: SetId, generation: Generation) -> bool {
        let written = self.written();
        written.lineup == lineup && written.sets.contains_key(&(set, generation))
    }
}

impl Keeper {
    /// Brings every set to where all of the store is known to hold it, on the primaries of now. Nobody delivers
    /// meanwhile, nor until every instance has noticed that the primaries are others.
    pub(super) async fn vouch(&self, state: &IndexState) -> Result<(), ReplayError> {
        self.gate.set(false);
        let Some(journal) = self.journal() else {
            // The instance that has the journal sees to it.
            return Ok(());
        };
        {
            let _nobody_delivers = self.index_use.build().await;
            let started = Instant::now();
            let proven = match Proven::ask(&self.index, state.marker.as_ref()).await {
                Err(IndexError::NotBuilt) => None,
                proven => Some(proven?),
            };
            if let Some(proven) = proven {
                for set in journal.sets() {
                    replay::vouch(&journal, &self.index, set, &proven).await?;
                }
                self.index.settle().await;
                let milliseconds = started.elapsed().as_millis();
                tracing::info!(
                    milliseconds,
                    "a primary of the index was replaced, and what it lost brought back"
                );
                return Ok(());
            }
        }
        // A part of it was emptied.
        self.rebuild().await
    }

    /// Notes how far the sets of the journal are complete, if it is time.
    pub(super) async fn note_checkpoints(&self, state: &IndexState) -> Result<(), ReplayError> {
        let (Some(marker), Some(journal)) = (state.answerable(), self.journal()) else {
            return Ok(());
        };
        let sets = journal.sets();
        let moved: Vec<(SetId, SetState)> = {
            let mut written = self.checkpointed.written();
            if written.at.is_some_and(|at| at.elapsed() < CHECKPOINT_EVERY) {
                return Ok(());
            }
            written.at = Some(Instant::now());
            let known = state.sets.iter().chain(&state.others);
            let has_moved = |(set, known): &(&SetId, &SetState)| {
                let last = written.sets.get(&(**set, known.generation));
                known.vouched == state.lineup
                    && sets.contains(set)
                    && (written.lineup != state.lineup || last != Some(&Checkpoint::of(known)))
            };
            let moved = known.filter(has_moved);
            moved.map(|(set, known)| (*set, known.clone())).collect()
        };
        match self.index.write_checkpoints(&marker, state.lineup, &moved).await {
            // A part of it was emptied, and the rest does not know.
            Err(IndexError::NotBuilt) => return self.rebuild().await,
            written => written?,
        }
        let mut written = self.checkpointed.written();
        if written.lineup != state.lineup {
            written.sets.clear();
            written.lineup = state.lineup;
        }
        for (set, known) in moved {
            let side = Side::of(known.generation);
            written
                .sets
                .retain(|(other, generation), _| *other != set || Side::of(*generation) != side);
            written
                .sets
                .insert((set, known.generation), Checkpoint::of(&known));
        }
        Ok(())
    }

    /// Rows of a former generation stay as long as a lookup may read them, and until a failover would not lead back to
    /// it.
    pub(super) fn may_go(&self, set: SetId, retired_at: Instant) -> bool {
        let (state, lineup) = (self.index.state(), self.index.lineup());
        let known = state.sets.get(&set);
        let checkpointed = lineup == EMBEDDED_LINEUP
            || known.is_some_and(|known| self.checkpointed.names(lineup, set, known.generation));
        checkpointed && retired_at.elapsed() >= self.longest_lookup + RETIRE_SLACK
    }
}
