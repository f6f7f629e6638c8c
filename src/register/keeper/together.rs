//! One of several instances: what each journal has, told and taken note of.

use super::{Keeper, Seen};
use crate::domain::relationship::SetId;
use crate::index::IndexError;
use crate::index::layout::{IndexState, SetState, encode_set};
use crate::index::lease::{Part, Posting};
use crate::journal::{Elsewhere, Journal, Run, overtaken_from};
use crate::register::replay::{self, AtGap, ReplayError};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use std::collections::{HashMap, HashSet};
use std::sync::{MutexGuard, PoisonError};
use std::time::Instant;
use uuid::Uuid;

/// Another journal's position is noted again when it has grown by this.
const NOTED_EVERY: u64 = 1_000;

/// Banks whose sets are brought in at a time: while one is read, others are written.
const BANKS_AT_ONCE: usize = 3;

/// What the other journals of the register have told.
#[derive(Default)]
pub struct Others(HashMap<Uuid, Posting>);

impl Others {
    /// The positions of a set in other journals.
    pub fn runs(&self, set: SetId) -> Vec<Run> {
        let of_set = self.parts().filter(|part| part.set == encode_set(set));
        let runs = of_set.flat_map(|part| &part.runs);
        runs.map(|(first, last, fence)| Run {
            first: *first,
            last: *last,
            fence: *fence,
        })
        .collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With another journal, or without one.
    pub(super) fn with(&self, journal: &Journal) -> Self {
        let mut postings = self.0.clone();
        postings.insert(journal.id(), posting_of(journal, 0));
        Self(postings)
    }

    pub(super) fn without(&self, journal: &Journal) -> Self {
        let mut postings = self.0.clone();
        postings.remove(&journal.id());
        Self(postings)
    }

    /// The last position of a set that another journal has, 0 without one.
    pub(super) fn last(&self, set: SetId) -> u64 {
        let runs = self.runs(set).into_iter();
        runs.map(|run| run.last).max().unwrap_or(0)
    }

    pub(super) fn journals(&self) -> impl Iterator<Item = Uuid> {
        self.0.keys().copied()
    }

    /// Whether a journal has told what it has since the index stands on this lineup.
    pub(super) fn has_told(&self, journal: &Uuid, lineup: u64) -> bool {
        self.0
            .get(journal)
            .is_some_and(|posting| posting.lineup == lineup)
    }

    pub(super) fn parts(&self) -> impl Iterator<Item = &Part> {
        self.0.values().flat_map(|posting| &posting.parts)
    }
}

/// What the others have told, after this journal has told what it has.
pub async fn exchange(index: &crate::index::Index, journal: &Journal) -> Result<Others, IndexError> {
    // Before it is looked up what there is, so that nothing from before another lineup is missing.
    let lineup = index.lineup();
    let mut postings = index.postings().await?;
    let own = posting_of(journal, lineup);
    if postings.remove(&journal.id()).as_ref() != Some(&own) {
        index.post(journal.id(), &own).await?;
    }
    Ok(Others(postings))
}

fn posting_of(journal: &Journal, lineup: u64) -> Posting {
    let elsewhere = journal.elsewhere();
    let mut sets: HashSet<SetId> = journal.sets().into_iter().collect();
    sets.extend(elsewhere.keys());
    let mut sets: Vec<SetId> = sets.into_iter().collect();
    sets.sort_unstable();
    let part = |set: SetId| {
        let runs = journal.runs(set);
        let runs = runs.iter().map(|run| (run.first, run.last, run.fence));
        let elsewhere = elsewhere.get(&set);
        Part {
            set: encode_set(set),
            runs: runs.collect(),
            elsewhere: elsewhere.map(|known| (known.journal, known.position)),
        }
    };
    Posting {
        lineup,
        parts: sets.into_iter().map(part).collect(),
    }
}

/// Files what was journalled here of a set and never took effect, since another instance had taken over.
pub async fn file_overtaken(journal: &Journal, others: &Others, set: SetId) -> Result<(), ReplayError> {
    if let Some(first) = overtaken_from(&journal.runs(set), &others.runs(set)) {
        tracing::warn!(%set, position = first, "deliveries that another instance has overtaken never take effect");
        journal.file_overtaken(set, first - 1).await?;
    }
    Ok(())
}

impl Keeper {
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was shown once is not unseen: a store that falls behind it is not answered from. A store that was built
    /// anew begins anew.
    pub(super) fn note_seen(&self, state: &IndexState) {
        let Some(journal) = self.journal() else { return };
        let build = state.marker.map(|marker| marker.build);
        let mut seen = self.seen();
        if seen.build.is_some() && seen.build != build {
            seen.heard.clear();
            let sets = journal.sets().into_iter();
            self.floor
                .begin_anew(sets.filter_map(|set| Some((set, state.sets.get(&set)?.position))));
        }
        seen.build = build;
        seen.unproven_since = None;
        self.floor.raise_to(&state.sets);
    }

    /// Tells the others, takes note of them, and brings in what the index lacks of this journal.
    pub(super) async fn keep_together(&self, state: &IndexState) -> Result<(), ReplayError> {
        let Some(journal) = self.journal() else {
            return Ok(());
        };
        let others = exchange(&self.index, &journal).await?;
        self.seen().heard.extend(others.journals());
        note_elsewhere(&journal, state).await?;
        for set in journal.sets() {
            if let Some(_lock) = self.locks.try_lock(set) {
                file_overtaken(&journal, &others, set).await?;
            }
        }
        self.bring_in(&journal, &others, AtGap::Wait).await?;
        self.build_if_lacking().await
    }

    /// Brings in what the index lacks of this journal, some banks at a time, as far as no other instance is at it.
    pub(super) async fn bring_in(
        &self,
        journal: &Journal,
        others: &Others,
        at_gap: AtGap,
    ) -> Result<(), ReplayError> {
        let mut sets = journal.sets();
        sets.sort_unstable();
        // The lease is the bank's: its sets are brought in one after the other.
        let mut banks = sets.chunk_by(|one, next| one.bank == next.bank);
        let (mut bringing, mut brought) = (FuturesUnordered::new(), Ok(()));
        loop {
            // After one that failed no further one is begun, and what is under way is not dropped amid its writes.
            while brought.is_ok()
                && bringing.len() < BANKS_AT_ONCE
                && let Some(sets) = banks.next()
            {
                bringing.push(self.bring_in_bank(journal, others, sets, at_gap));
            }
            match bringing.next().await {
                Some(done) => brought = brought.and(done),
                None => return brought,
            }
        }
    }

    async fn bring_in_bank(
        &self,
        journal: &Journal,
        others: &Others,
        sets: &[SetId],
        at_gap: AtGap,
    ) -> Result<(), ReplayError> {
        for set in sets.iter().copied() {
            if !is_lacking(&self.index.state(), journal, set) {
                continue;
            }
            // A set that is being delivered to is looked at again next time.
            let Some(_lock) = self.locks.try_lock(set) else {
                continue;
            };
            if self.index.take(set.into()).await?.is_some() {
                let brought = self.bring_in_set(journal, others, set, at_gap).await;
                self.index.give_up(set.into()).await?;
                brought?;
            }
        }
        Ok(())
    }

    async fn bring_in_set(
        &self,
        journal: &Journal,
        others: &Others,
        set: SetId,
        at_gap: AtGap,
    ) -> Result<(), ReplayError> {
        let state = self.index.refresh().await?;
        file_overtaken(journal, others, set).await?;
        let next_of_others = others.runs(set).into_iter();
        let reached = state.sets.get(&set).map_or(0, |known| known.position);
        let next_of_others = next_of_others.filter(|run| run.last > reached);
        let own_next = journal.runs(set).into_iter().find(|run| run.last > reached);
        let is_next = own_next.is_some_and(|own| next_of_others.map(|run| run.first).min() > Some(own.first));
        let at_gap = if is_next || others.runs(set).iter().all(|run| run.last <= reached) {
            at_gap
        } else {
            AtGap::Wait
        };
        replay::catch_up_over(journal, &self.index, set, at_gap).await?;
        let state = self.index.state();
        if let Some(known) = state.under(journal.key(), set)
            && known.sequence < journal.last_sequence(set)
        {
            let known = SetState {
                sequence: journal.last_sequence(set),
                ..known.clone()
            };
            self.index
                .write(set, known.generation, Vec::new(), Some(known))
                .await?;
        }
        Ok(())
    }

    /// An index that lacks what nobody has brought for a while is built anew, and says what it lacks.
    async fn build_if_lacking(&self) -> Result<(), ReplayError> {
        let state = self.index.state();
        let lacking = self.floor.lacking(&state.sets);
        for set in &lacking {
            // Another instance is at it.
            if self.index.take((*set).into()).await?.is_none() {
                self.seen().lacking_since = None;
                return Ok(());
            }
            self.index.give_up((*set).into()).await?;
        }
        let since = {
            let mut seen = self.seen();
            seen.lacking_since = match (!lacking.is_empty(), seen.lacking_since) {
                (true, None) => Some(Instant::now()),
                (true, since) => since,
                (false, _) => None,
            };
            seen.lacking_since
        };
        if since.is_some_and(|since| since.elapsed() > self.missing_journal_wait) {
            self.seen().lacking_since = None;
            self.rebuild().await?;
        }
        Ok(())
    }
}

fn position_lacks(state: &IndexState, journal: &Journal, set: SetId) -> bool {
    let known = state.under(journal.key(), set);
    known.map_or(0, |known| known.position) < journal.position(set)
}

fn is_lacking(state: &IndexState, journal: &Journal, set: SetId) -> bool {
    let known = state.under(journal.key(), set);
    position_lacks(state, journal, set)
        || known.is_some_and(|known| {
            let overtaken = known.journal != journal.id() && known.position == journal.position(set);
            overtaken || known.sequence < journal.last_sequence(set)
        })
}

/// Notes durably which sets go on in other journals, so that they are missed should the index be lost.
async fn note_elsewhere(journal: &Journal, state: &IndexState) -> Result<(), ReplayError> {
    let noted = journal.elsewhere();
    for (set, known) in &state.sets {
        if known.journal == journal.id() || known.position <= journal.position(*set) {
            continue;
        }
        let is_noted = noted.get(set).is_some_and(|noted| {
            noted.journal == known.journal
                && noted.position > journal.position(*set)
                && noted.position + NOTED_EVERY > known.position
        });
        if !is_noted {
            let elsewhere = Elsewhere {
                journal: known.journal,
                position: known.position,
            };
            journal.file_elsewhere(*set, elsewhere).await?;
        }
    }
    Ok(())
}
