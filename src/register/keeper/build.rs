//! The index built anew: one instance begins and ends it, and all that live and have a journal bring in theirs.

use super::together::{Others, exchange};
use super::{Keeper, LOOK_EVERY, Seen, Standing, not_ours};
use crate::domain::relationship::SetId;
use crate::index::IndexError;
use crate::index::layout::{Marker, SetState, decode_set};
use crate::index::lease::{Claim, Phase, RegisterName};
use crate::journal::Journal;
use crate::register::replay::{self, AtGap, ReplayError};
use chrono::DateTime;
use std::collections::BTreeMap;
use std::time::Instant;

/// Positions that are left free behind a gap: more than what is missing can reach.
const LEFT_FREE: u64 = 10_000;

/// Positions of a set that are in no journal at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub set: SetId,
    pub first: u64,
    pub last: u64,
}

impl Keeper {
    /// Begins a build, or brings in this journal's part of one that another instance has begun.
    pub(super) async fn build_or_bring_in(&self) -> Result<(), ReplayError> {
        let Some(journal) = self.journal() else {
            return Err(IndexError::NotBuilt.into());
        };
        if self.index.take(Claim::Build).await?.is_some() {
            let rebuilt = self.rebuild().await;
            let given_up = self.index.give_up(Claim::Build).await;
            rebuilt?;
            return Ok(given_up?);
        }
        self.gate.set(false);
        let at_gap = match self.index.phase().await? {
            Phase::Closed => return Err(IndexError::NotBuilt.into()),
            Phase::Open => AtGap::Wait,
            Phase::OverGaps => AtGap::Pass,
        };
        let _nobody_delivers = self.index_use.build().await;
        self.index.renew_leases().await?;
        let others = exchange(&self.index, &journal).await?;
        self.bring_in(&journal, &others, at_gap).await?;
        // The one that began ends it.
        Err(IndexError::NotBuilt.into())
    }

    /// Throws the index away and builds it from the journals; lookups are refused meanwhile.
    pub async fn rebuild(&self) -> Result<Vec<Gap>, ReplayError> {
        let Some(journal) = self.journal() else {
            return Err(IndexError::NotBuilt.into());
        };
        // Somebody else's is not thrown away; what cannot be read as anybody's may be damaged, and is mended.
        let state = self.index.refresh().await;
        if state.is_ok_and(|state| self.standing(&state) == Standing::Foreign) {
            return Err(not_ours().into());
        }
        let taken = self.index.take(Claim::Build).await?;
        taken.ok_or(IndexError::Overtaken)?;
        self.gate.set(false);
        let built = self.build(&journal).await;
        self.index.give_up(Claim::Build).await?;
        built
    }

    async fn build(&self, journal: &Journal) -> Result<Vec<Gap>, ReplayError> {
        let _nobody_delivers = self.index_use.build().await;
        let started = Instant::now();
        // Those that went with a Redis that was emptied are known to be gone.
        self.index.renew_leases().await?;
        self.index.clear().await?;
        self.index.forget_postings().await?;
        let register = RegisterName {
            id: journal.register_id(),
            rekeyings: journal.rekeyings(),
        };
        self.index.put_register(register).await?;
        self.index.enter(Phase::Open).await?;
        let all = self.bring_in_all(journal).await?;
        let build = uuid::Uuid::new_v4().as_u64_pair().0;
        self.index
            .complete(Marker {
                register_id: journal.register_id(),
                key: journal.key(),
                build,
            })
            .await?;
        let sets = self.index.state().sets.clone();
        let own = journal.sets().into_iter();
        self.floor
            .begin_anew(own.filter_map(|set| Some((set, sets.get(&set)?.position))));
        *self.seen() = Seen {
            build: Some(build),
            ..Seen::default()
        };
        self.index.refresh().await?;
        tracing::info!(
            seconds = started.elapsed().as_secs_f64(),
            sets = sets.len(),
            "the index was built from the journal"
        );
        let with_gap = sets.into_iter().filter(|(_, known)| known.gap);
        Ok(with_gap
            .flat_map(|(set, known)| gaps_of(set, known.position, &all))
            .collect())
    }

    /// Ends when every journal that is known has brought in its part, or what is missing is named.
    async fn bring_in_all(&self, journal: &Journal) -> Result<Others, ReplayError> {
        let (mut waiting_since, mut at_gap) = (Instant::now(), AtGap::Wait);
        loop {
            let mut all = exchange(&self.index, journal).await?.with(journal);
            for mounted in &self.mounted {
                all = all.with(mounted);
            }
            for brought in self.mounted.iter().map(AsRef::as_ref).chain([journal]) {
                self.bring_in(brought, &all.without(brought), at_gap).await?;
            }
            let others = all;
            self.index.refresh().await?;
            let missing = self.missing(journal, &others)?;
            if missing.is_empty() {
                return Ok(others);
            }
            self.index.fence(Claim::Build).ok_or(IndexError::Overtaken)?;
            if waiting_since.elapsed() > self.missing_journal_wait {
                if self.is_being_brought(missing.keys()).await? {
                    waiting_since = Instant::now();
                } else if at_gap == AtGap::Wait {
                    (waiting_since, at_gap) = (Instant::now(), AtGap::Pass);
                    self.index.enter(Phase::OverGaps).await?;
                } else {
                    self.name_gaps(journal, missing).await?;
                    return Ok(others);
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// The sets that the index lacks something of, and the last position that is known of each.
    fn missing(&self, journal: &Journal, others: &Others) -> Result<BTreeMap<SetId, u64>, IndexError> {
        let mut known: BTreeMap<SetId, u64> = BTreeMap::new();
        let mut note = |set, position: u64| {
            let known = known.entry(set).or_default();
            *known = position.max(*known);
        };
        for set in journal.sets() {
            note(set, journal.position(set));
        }
        for (set, elsewhere) in journal.elsewhere() {
            note(set, elsewhere.position);
        }
        for part in others.parts() {
            let set = decode_set(part.set)?;
            let last = part.runs.last().map_or(0, |(_, last, _)| *last);
            note(set, last);
            note(set, part.elsewhere.map_or(0, |(_, position)| position));
        }
        let state = self.index.state();
        known.retain(|set, position| {
            let reached = state.under(journal.key(), *set).map_or(0, |known| known.position);
            reached < *position
        });
        Ok(known)
    }

    /// Whether another instance is at one of the sets.
    pub(super) async fn is_being_brought(
        &self,
        sets: impl Iterator<Item = &SetId>,
    ) -> Result<bool, IndexError> {
        for set in sets {
            if self.index.take((*set).into()).await?.is_none() {
                return Ok(true);
            }
            self.index.give_up((*set).into()).await?;
        }
        Ok(false)
    }

    /// What nobody has is a gap: its set answers with what there is, and coverage says that this is not all.
    async fn name_gaps(&self, journal: &Journal, missing: BTreeMap<SetId, u64>) -> Result<(), ReplayError> {
        for (set, position) in missing {
            let after = self.holding(set, self.name_gap(journal, set, position)).await?;
            tracing::error!(
                %set, after, up_to = position,
                "a journal is missing: what the bank delivered at these positions is not answered; let it deliver a whole set"
            );
        }
        Ok(())
    }

    /// Gives the position that the set has reached without a gap.
    async fn name_gap(&self, journal: &Journal, set: SetId, position: u64) -> Result<u64, ReplayError> {
        let state = self.index.refresh().await?;
        let present = state.under(journal.key(), set).cloned();
        let reached = present.as_ref().map_or(0, |known| known.position);
        let present = match present {
            Some(present) => present,
            None => nothing_of(journal, self.index.lineup())?,
        };
        let known = SetState {
            position: position + LEFT_FREE,
            journal: uuid::Uuid::nil(),
            fence: 0,
            gap: true,
            ..present
        };
        self.index
            .write(set, known.generation, Vec::new(), Some(known))
            .await?;
        Ok(reached)
    }
}

/// What lies between the runs of all journals, and behind them.
fn gaps_of(set: SetId, position: u64, all: &Others) -> Vec<Gap> {
    let mut runs = all.runs(set);
    runs.sort_unstable_by_key(|run| run.first);
    let (mut gaps, mut next) = (Vec::new(), 1);
    for run in runs {
        if run.first > next {
            let (first, last) = (next, run.first - 1);
            gaps.push(Gap { set, first, last });
        }
        next = next.max(run.last + 1);
    }
    let last = position.saturating_sub(LEFT_FREE);
    if last >= next {
        gaps.push(Gap {
            set,
            first: next,
            last,
        });
    }
    gaps
}

fn nothing_of(journal: &Journal, vouched: u64) -> Result<SetState, ReplayError> {
    Ok(SetState {
        key: journal.key(),
        generation: replay::generation_at(journal, 0)?,
        position: 0,
        journal: uuid::Uuid::nil(),
        fence: 0,
        sequence: 0,
        running: 0,
        gap: true,
        vouched,
        last_delivery: DateTime::UNIX_EPOCH,
        retired: Vec::new(),
    })
}
