//! Keeps the index level with the journal: at start, when a store comes back empty or behind, and by command.

mod build;
mod leases;
mod sweep;
pub(super) mod together;
mod vouching;

pub use build::Gap;

use super::delivery::SetLocks;
use super::index_use::{IndexUse, Pause};
use super::replay::{self, ReplayError};
use crate::domain::relationship::SetId;
use crate::index::layout::{IndexState, Marker, Side};
use crate::index::lease::Fence;
use crate::index::owner::Floor;
use crate::index::{Index, IndexError};
use crate::journal::{Journal, JournalInForce};
use crate::pseudonym::PseudonymRing;
use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;
pub use vouching::Checkpointed;

/// How often the keeper looks at the index. Below the bound on the age of the state, so that lookups
/// find it fresh.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Pause after a failed look, so that a store that is down is not hammered.
const PAUSE_AFTER_FAILURE: Duration = Duration::from_millis(200);
/// Beyond the longest lookup, rows of a replaced generation stay this long: lookups that began before the
/// switch have ended then.
pub(super) const RETIRE_SLACK: Duration = Duration::from_secs(2);
/// How often a store that serves is asked whether it still keeps what it is given.
const FITNESS_EVERY: Duration = Duration::from_secs(10);

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
    /// What the index may not fall behind.
    pub floor: Floor,
    /// How long what only another journal has is waited for.
    pub missing_journal_wait: Duration,
    /// Journals of other instances that are at hand for `index rebuild`.
    pub mounted: Vec<Arc<Journal>>,
    /// The build that was seen last, and since when the index lacks what nobody brings.
    pub seen: Arc<Mutex<Seen>>,
}

/// What the keeper remembers from look to look.
#[derive(Default)]
pub struct Seen {
    build: Option<u64>,
    lacking_since: Option<Instant>,
    /// The other journals that have told of themselves since that build.
    heard: HashSet<Uuid>,
    /// Since when a part of the index waits for another instance to vouch for it.
    unproven_since: Option<Instant>,
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
                never = self.index.watch() => match never {},
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
        match self.check_fitness().await {
            Ok(()) => {}
            // A part that cannot be reached keeps out the customers that it has, and no others.
            Err(IndexError::Unavailable(_) | IndexError::TimedOut) if self.gate.is_open() => {}
            Err(cause) => {
                self.gate.set(false);
                return Err(cause.into());
            }
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
            Standing::Rebuild => self.build_or_bring_in().await?,
            Standing::OtherKey => {
                self.open_if_level(&state);
                if let Some(pause) = self.index_use.try_pause() {
                    self.follow_key(&pause).await?;
                }
            }
            Standing::Level if !state.is_vouched() => self.vouch(&state).await?,
            Standing::Level => {
                self.open_if_level(&state);
                self.note_seen(&state);
                self.keep_together(&state).await?;
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

    /// The lease for a set's bank; refused if another instance holds it.
    async fn hold(&self, set: SetId) -> Result<Fence, IndexError> {
        self.index.take(set.into()).await?.ok_or(IndexError::Overtaken)
    }

    /// Writes under the lease for a set's bank, and gives it up again unless it is kept for deliveries.
    pub(super) async fn holding<T, E: From<IndexError>>(
        &self,
        set: SetId,
        writing: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        self.hold(set).await?;
        let written = writing.await;
        let given_up = self.index.give_up(set.into()).await;
        let written = written?;
        given_up?;
        Ok(written)
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
        // An older backup was put back, or the index took in what this journal has overtaken.
        let ahead = state.sets.iter().any(|(set, known)| {
            let mine = known.journal == journal.id() && known.position > journal.position(*set);
            let runs = journal.runs(*set);
            let mut later = runs.iter().filter(|run| run.fence > known.fence);
            mine || later.any(|run| (run.first..=run.last).contains(&known.position))
        });
        if ahead { Standing::Rebuild } else { Standing::Level }
    }

    /// Lets the rows of the journal's key answer, after it has brought them level. The index follows the journal
    /// in this, whatever came between.
    pub(super) async fn follow_key(&self, _nobody_delivers: &Pause) -> Result<(), ReplayError> {
        let state = self.index.refresh().await?;
        let (Some(journal), Some(marker)) = (self.journal(), state.marker) else {
            return Err(IndexError::NotBuilt.into());
        };
        let followed = self.lead_over(&journal, marker).await;
        let mut given_up = Ok(());
        for set in journal.sets() {
            given_up = given_up.and(self.index.give_up(set.into()).await);
        }
        followed?;
        Ok(given_up?)
    }

    /// Holds all banks' leases, so that no other instance delivers to the former rows meanwhile.
    async fn lead_over(&self, journal: &Journal, marker: Marker) -> Result<(), ReplayError> {
        for set in journal.sets() {
            self.hold(set).await?;
            replay::catch_up(journal, &self.index, set).await?;
        }
        let key = journal.key();
        self.index.answer_by(Marker { key, ..marker }).await?;
        // No instance may go on answering by the former rows once a delivery is told to be in the new ones.
        self.index.settle().await;
        Ok(())
    }

    /// Whether every set of the journal is answered as the journal has it.
    pub fn is_level(&self) -> bool {
        let state = self.index.state();
        let Some(marker) = state.marker else { return false };
        let Some(journal) = self.journal() else {
            return !state.foreign;
        };
        let level = |set| state.sets.get(&set).map_or(0, |known| known.position) >= journal.position(set);
        marker.register_id == journal.register_id()
            && marker.key == journal.key()
            && journal.sets().into_iter().all(level)
    }
}

fn not_ours() -> IndexError {
    let say = "it belongs to another register or was made with another pseudonym key; give this service an index of its own";
    IndexError::Unfit(say.to_owned())
}
