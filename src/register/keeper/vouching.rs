//! After a primary was replaced: what it lost is brought back before anything is answered. And before one is: what all
//! of the store is known to hold is noted beside the rows, so that little has to be brought back.

use super::together::{Others, exchange, file_overtaken};
use super::{Keeper, RETIRE_SLACK};
use crate::domain::relationship::SetId;
use crate::index::layout::{Generation, IndexState, SetState, Side};
use crate::index::{Checkpoint, EMBEDDED_LINEUP, IndexError};
use crate::journal::Journal;
use crate::register::replay::{self, Proven, ReplayError, Vouched};
use std::collections::{BTreeSet, HashMap};
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
    /// Brings the sets that go on in this journal to where all of the store is known to hold them, on the primaries of
    /// now. Nobody delivers meanwhile, nor until every instance has noticed that the primaries are others.
    pub(super) async fn vouch(&self, state: &IndexState) -> Result<(), ReplayError> {
        self.gate.set(false);
        let Some(journal) = self.journal() else {
            // The instances that have journals see to it.
            return Ok(());
        };
        let found = {
            let _nobody_delivers = self.index_use.build().await;
            match Proven::ask(&self.index, state.marker.as_ref()).await {
                // A part of it was emptied.
                Err(IndexError::NotBuilt) => Found::Lost,
                proven => self.vouch_for_own(&journal, &proven?).await?,
            }
        };
        let waits_too_long = match found {
            Found::Vouched => return Ok(()),
            Found::Lost => true,
            Found::OthersAreToVouch => {
                let since = *self.seen().unproven_since.get_or_insert_with(Instant::now);
                since.elapsed() > self.missing_journal_wait
            }
        };
        match waits_too_long {
            true => self.build_or_bring_in().await,
            false => Ok(()),
        }
    }

    async fn vouch_for_own(&self, journal: &Journal, proven: &Proven) -> Result<Found, ReplayError> {
        let started = Instant::now();
        // Those that were lost with a primary are known to be gone.
        self.index.renew_leases().await?;
        let others = exchange(&self.index, journal).await?;
        let state = self.index.refresh().await?;
        if !self.have_all_told(journal, &others, proven.lineup) {
            return Ok(Found::OthersAreToVouch);
        }
        let (mut own, mut of_others) = (0, Vec::new());
        for set in unvouched(&state, journal, proven.lineup) {
            let _lock = self.locks.lock(set).await;
            file_overtaken(journal, &others, set).await?;
            match whose(&state, journal, &others, set) {
                Whose::Nobodys => return Ok(Found::Lost),
                Whose::Others => of_others.push(set),
                Whose::Own if self.index.take(set.into()).await?.is_none() => of_others.push(set),
                Whose::Own => {
                    let vouched = replay::vouch(journal, &self.index, set, proven).await;
                    self.index.give_up(set.into()).await?;
                    if vouched? == Vouched::NotWhole {
                        return Ok(Found::Lost);
                    }
                    own += 1;
                }
            }
        }
        if own > 0 {
            self.index.settle().await;
            let milliseconds = started.elapsed().as_millis();
            tracing::info!(
                milliseconds,
                sets = own,
                "a primary of the index was replaced, and what it lost brought back"
            );
        }
        if of_others.is_empty() {
            return Ok(Found::Vouched);
        }
        if self.is_being_brought(of_others.iter()).await? {
            self.seen().unproven_since = None;
        }
        Ok(Found::OthersAreToVouch)
    }

    /// Whether every journal that is known has told what it has since the primaries are those of now: what was
    /// acknowledged before is in one of them.
    fn have_all_told(&self, journal: &Journal, others: &Others, lineup: u64) -> bool {
        let mut seen = self.seen();
        seen.heard.extend(others.journals());
        let elsewhere = journal.elsewhere();
        let elsewhere = elsewhere
            .iter()
            .filter(|(set, known)| !known.journal.is_nil() && known.position > journal.position(**set))
            .map(|(_, known)| &known.journal);
        let mut known = seen.heard.iter().chain(elsewhere);
        known.all(|other| *other == journal.id() || others.has_told(other, lineup))
    }

    /// Notes how far the sets of the journal are complete, if it is time.
    pub(super) async fn note_checkpoints(&self, state: &IndexState) -> Result<(), ReplayError> {
        let (Some(marker), Some(journal)) = (state.answerable(), self.journal()) else {
            return Ok(());
        };
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
                    && known.journal == journal.id()
                    && (written.lineup != state.lineup || last != Some(&Checkpoint::of(known)))
            };
            let moved = known.filter(has_moved);
            moved.map(|(set, known)| (*set, known.clone())).collect()
        };
        let mut held = Vec::with_capacity(moved.len());
        let noted = match self.take_those(moved, &mut held).await {
            Ok(()) => self.index.write_checkpoints(&marker, state.lineup, &held).await,
            failed => failed,
        };
        for (set, _) in &held {
            self.index.give_up((*set).into()).await?;
        }
        match noted {
            // A part of it was emptied, and the rest does not know.
            Err(IndexError::NotBuilt) => return self.build_or_bring_in().await,
            written => written?,
        }
        let mut written = self.checkpointed.written();
        if written.lineup != state.lineup {
            written.sets.clear();
            written.lineup = state.lineup;
        }
        for (set, known) in held {
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

    /// Takes the leases of those whose banks no other instance delivers for: it would be told of a former generation.
    async fn take_those(
        &self,
        sets: Vec<(SetId, SetState)>,
        held: &mut Vec<(SetId, SetState)>,
    ) -> Result<(), IndexError> {
        for (set, known) in sets {
            if self.index.take(set.into()).await?.is_some() {
                held.push((set, known));
            }
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

/// What came of vouching.
enum Found {
    Vouched,
    OthersAreToVouch,
    /// No journal has all of a set, or of a part of the store nothing is left: it is built anew.
    Lost,
}

/// Whose journal has the last publication of a set.
enum Whose {
    Own,
    Others,
    /// None that is at hand.
    Nobodys,
}

fn whose(state: &IndexState, journal: &Journal, others: &Others, set: SetId) -> Whose {
    let (own, told) = (journal.position(set), others.last(set));
    let reached = state.under(journal.key(), set).map_or(0, |known| known.position);
    let noted = journal.elsewhere().get(&set).map_or(0, |known| known.position);
    if own.max(told) < reached.max(noted).max(1) {
        Whose::Nobodys
    } else if own < told {
        Whose::Others
    } else {
        Whose::Own
    }
}

/// The sets that are not known to be complete on a lineup.
fn unvouched(state: &IndexState, journal: &Journal, lineup: u64) -> Vec<SetId> {
    let mut sets: BTreeSet<SetId> = journal.sets().into_iter().collect();
    sets.extend(state.sets.keys());
    let vouched = |set: &SetId| {
        let known = state.under(journal.key(), *set);
        known.is_some_and(|known| known.vouched == lineup)
    };
    sets.retain(|set| !vouched(set));
    sets.into_iter().collect()
}
