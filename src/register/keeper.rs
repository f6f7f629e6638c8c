//! Keeps the index level with the journal: at start, when a store comes back empty or behind, and by command.

mod vouching;

use super::delivery::SetLocks;
use super::index_use::{IndexUse, Pause};
use super::replay::{self, ReplayError};
use crate::domain::relationship::SetId;
use crate::index::layout::{Generation, IndexState, Marker, Side};
use crate::index::{Index, IndexError};
use crate::journal::{Journal, JournalInForce};
use crate::pseudonym::PseudonymRing;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
pub use vouching::Checkpointed;

/// How often the keeper looks at the index. Below the bound on the age of the state, so that lookups
/// find it fresh.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Pause after a failed look, so that a store that is down is not hammered.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(500);
/// Beyond the longest lookup, rows of a replaced generation stay this long: lookups that began before the
/// switch have ended then.
pub(super) const RETIRE_SLACK: Duration = Duration::from_secs(2);
/// How often a store that serves is asked whether it still keeps what it is given.
const FITNESS_EVERY: Duration = Duration::from_secs(10);
/// How often replaced generations are looked for.
const SWEEP_EVERY: Duration = Duration::from_millis(500);

/// Whether the keeper has found all well at its last look: what readiness tells. That no lookup is answered
/// from an index that lacks what was acknowledged is seen to by the index itself, state by state.
#[derive(Clone, Default)]
pub struct LevelGate(Arc<AtomicBool>);

impl LevelGate {
    pub fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    fn set(&self, open: bool) {
        self.0.store(open, Ordering::Release);
    }
}

/// Whose index it is, and what it should hold.
#[derive(Clone)]
pub struct Keeper {
    pub index: Index,
    pub journal: Option<JournalInForce>,
    pub keys: PseudonymRing,
    pub locks: SetLocks,
    pub index_use: IndexUse,
    pub gate: LevelGate,
    /// No lookup of any instance takes longer.
    pub longest_lookup: Duration,
    pub checkpointed: Checkpointed,
    /// When the store was last found fit.
    pub fit_at: Arc<Mutex<Option<Instant>>>,
}

/// How the index stands to the journal.
#[derive(Debug, PartialEq, Eq)]
enum Standing {
    Level,
    /// Empty, emptied, made with another build, or ahead of the journal: to be built anew.
    Rebuild,
    /// Its answers come from rows of another key than the journal's: a change of key was not ended.
    OtherKey,
    /// Somebody else's.
    Foreign,
}

impl Keeper {
    /// Runs until shutdown.
    pub async fn run(self, shutdown: CancellationToken) {
        let mut told = None;
        loop {
            let looked = tokio::select! {
                looked = self.look() => looked,
                () = shutdown.cancelled() => return,
            };
            let problem = looked.as_ref().err().map(ToString::to_string);
            if problem != told {
                match &problem {
                    Some(cause) => tracing::error!(%cause, "the index is not level with the journal"),
                    None => tracing::info!("the index is level with the journal"),
                }
                told = problem;
            }
            let pause = if looked.is_ok() {
                LOOK_EVERY
            } else {
                PAUSE_AFTER_FAILURE
            };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Looks once, and mends what differs.
    pub async fn look(&self) -> Result<(), ReplayError> {
        if let Err(cause) = self.check_fitness().await {
            self.gate.set(false);
            return Err(cause.into());
        }
        let state = match self.index.refresh().await {
            Ok(state) => state,
            Err(cause) => {
                self.gate.set(false);
                return Err(cause.into());
            }
        };
        match self.standing(&state) {
            Standing::Foreign => {
                self.gate.set(false);
                return Err(not_ours().into());
            }
            Standing::Rebuild => self.rebuild().await?,
            Standing::OtherKey => {
                self.open_if_level(&state);
                if let Some(pause) = self.index_use.try_pause() {
                    self.follow_key(&pause).await?;
                }
            }
            Standing::Level if !state.is_vouched() => self.vouch(&state).await?,
            Standing::Level => {
                self.open_if_level(&state);
                self.catch_up(&state).await?;
                self.note_checkpoints(&self.index.state()).await?;
            }
        }
        self.open_if_level(&self.index.state());
        Ok(())
    }

    /// Before the gate opens, and from time to time: a store that may throw rows away is not answered from.
    async fn check_fitness(&self) -> Result<(), IndexError> {
        let due = |at: &Option<Instant>| at.is_none_or(|at| at.elapsed() > FITNESS_EVERY);
        let lately = || self.fit_at.lock().unwrap_or_else(PoisonError::into_inner);
        if self.gate.is_open() && !due(&lately()) {
            return Ok(());
        }
        self.index.check_fitness().await?;
        *lately() = Some(Instant::now());
        Ok(())
    }

    fn open_if_level(&self, state: &IndexState) {
        self.gate.set(state.answerable().is_some());
    }

    fn journal(&self) -> Option<Arc<Journal>> {
        self.journal.as_ref().map(JournalInForce::load)
    }

    fn standing(&self, state: &IndexState) -> Standing {
        let Some(marker) = state.marker else {
            return Standing::Rebuild;
        };
        let Some(journal) = self.journal() else {
            return if state.foreign {
                Standing::Foreign
            } else {
                Standing::Level
            };
        };
        if marker.register_id != journal.register_id() {
            return Standing::Foreign;
        }
        if marker.key != journal.key() {
            // Rows of two keys cannot stand on one side.
            let side = Side::after_rekeyings(journal.rekeyings());
            let is_in_the_way = state
                .sets
                .values()
                .any(|known| Side::of(known.generation) == side);
            return if is_in_the_way {
                Standing::Rebuild
            } else {
                Standing::OtherKey
            };
        }
        let ahead = state
            .sets
            .iter()
            .any(|(set, state)| state.position > journal.position(*set));
        if ahead { Standing::Rebuild } else { Standing::Level }
    }

    /// Lets the rows of the journal's key answer, after it has brought them level. The index follows the journal
    /// in this, whatever came between.
    pub(super) async fn follow_key(&self, _nobody_delivers: &Pause) -> Result<(), ReplayError> {
        let state = self.index.refresh().await?;
        let (Some(journal), Some(marker)) = (self.journal(), state.marker) else {
            return Err(IndexError::NotBuilt.into());
        };
        for set in journal.sets() {
            replay::catch_up(&journal, &self.index, set).await?;
        }
        let key = journal.key();
        self.index.answer_by(Marker { key, ..marker }).await?;
        // No instance may go on answering by the former rows once a delivery is told to be in the new ones.
        self.index.settle().await;
        Ok(())
    }

    async fn catch_up(&self, state: &IndexState) -> Result<(), ReplayError> {
        let Some(journal) = self.journal() else {
            return Ok(());
        };
        for set in journal.sets() {
            let behind = state.sets.get(&set).map_or(0, |known| known.position) < journal.position(set);
            // A set that is being delivered to is looked at again next time.
            if behind
                && let (Some(_lock), Ok(_delivering)) = (self.locks.try_lock(set), self.index_use.mend())
            {
                replay::catch_up(&journal, &self.index, set).await?;
            }
        }
        Ok(())
    }

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
        replay::remove_generation(&journal, &self.index, set, generation).await?;
        let _mending = self.index_use.mend()?;
        let _lock = self.locks.lock(set).await;
        let Some(mut known) = self.index.state().sets.get(&set).cloned() else {
            return Ok(());
        };
        known.retired.retain(|retired| *retired != generation);
        Ok(self
            .index
            .write(set, known.generation, Vec::new(), Some(known))
            .await?)
    }

    /// Throws the index away and builds it from the journal; lookups are refused meanwhile.
    pub async fn rebuild(&self) -> Result<(), ReplayError> {
        let Some(journal) = self.journal() else {
            return Err(IndexError::NotBuilt.into());
        };
        // Somebody else's is not thrown away; what cannot be read as anybody's may be damaged, and is mended.
        let state = self.index.refresh().await;
        if state.is_ok_and(|state| self.standing(&state) == Standing::Foreign) {
            return Err(not_ours().into());
        }
        self.gate.set(false);
        let _nobody_delivers = self.index_use.build().await;
        let started = Instant::now();
        self.index.clear().await?;
        for set in journal.sets() {
            replay::catch_up(&journal, &self.index, set).await?;
        }
        let build = uuid::Uuid::new_v4().as_u64_pair().0;
        self.index
            .complete(Marker {
                register_id: journal.register_id(),
                key: journal.key(),
                build,
            })
            .await?;
        tracing::info!(
            seconds = started.elapsed().as_secs_f64(),
            sets = journal.sets().len(),
            "the index was built from the journal"
        );
        Ok(())
    }

    /// Whether every set of the journal is answered as the journal has it.
    pub fn is_level(&self) -> bool {
        let state = self.index.state();
        let Some(marker) = state.marker else { return false };
        let Some(journal) = self.journal() else {
            return !state.foreign;
        };
        let level = |set| state.sets.get(&set).map_or(0, |known| known.position) == journal.position(set);
        marker.register_id == journal.register_id()
            && marker.key == journal.key()
            && journal.sets().into_iter().all(level)
    }
}

fn not_ours() -> IndexError {
    let say = "it belongs to another register or was made with another pseudonym key; give this service an index of its own";
    IndexError::Unfit(say.to_owned())
}
