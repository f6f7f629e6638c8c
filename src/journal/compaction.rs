//! Lets go of the bodies that nothing needs any longer. The entries of the chain stay.

use super::bodies::BodyFile;
use super::catalogue::{Catalogue, Listed};
use super::entry::{Entry, Kind};
use super::lock::BodiesLock;
use super::rewriting::KeptState;
use super::{Journal, JournalError, body};
use crate::domain::relationship::SetId;
use chrono::{DateTime, Utc};
use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Deliveries named in one entry.
const TOGETHER: usize = 1_000;

/// What letting go has freed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Freed {
    pub bodies: u64,
    pub bytes: u64,
}

/// Whether bodies could be let go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LettingGo {
    Done(Freed),
    /// Not now: somebody copies the bodies.
    BeingCopied,
}

impl Journal {
    /// Whether the body of a delivery may be missing, since nothing needs it any longer: it is not read, and a
    /// copy of the journal does without it.
    pub fn is_let_go(&self, delivery: Uuid) -> bool {
        self.catalogue().bodies.is_let_go(delivery)
    }

    /// Removes the files of a set's bodies that neither its present state needs, nor any state it can be rolled
    /// back to: whole sets published since `rollback_since` can be undone. That they may be missing is in the
    /// chain before they are. The caller is the only one to publish for the set meanwhile, none of its deliveries
    /// is under way, and the index has no rows of states that were replaced.
    pub async fn let_go(&self, set: SetId, rollback_since: DateTime<Utc>) -> Result<LettingGo, JournalError> {
        let unneeded = self.catalogue().unneeded(set, rollback_since);
        if unneeded.is_empty() {
            return Ok(LettingGo::Done(Freed::default()));
        }
        let Some(_nobody_copies) = BodiesLock::alone(&self.directory)? else {
            return Ok(LettingGo::BeingCopied);
        };
        let mut freed = Freed::default();
        for together in unneeded.chunks(TOGETHER) {
            let deliveries: Vec<Uuid> = together.iter().map(|file| file.delivery).collect();
            let names: Vec<Uuid> = together.iter().map(|file| file.name).collect();
            self.append(Entry::LetGo(deliveries)).await?;
            self.remove_files(&names)?;
            freed.bodies += together.len() as u64;
            freed.bytes += together.iter().map(|file| file.bytes).sum::<u64>();
        }
        Ok(LettingGo::Done(freed))
    }

    /// Removes the files of bodies that nothing needs any longer.
    pub(super) fn remove_files(&self, names: &[Uuid]) -> Result<(), JournalError> {
        for name in names {
            match std::fs::remove_file(body::body_path(&self.bodies, *name)) {
                Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(JournalError::Io(cause)),
                _ => {}
            }
        }
        let synced = File::open(&self.bodies).and_then(|bodies| bodies.sync_all());
        synced.map_err(JournalError::Io)
    }
}

impl Journal {
    /// Whether a set can be made again as it stood at a position: nothing of it was let go.
    pub fn has_all_of(&self, set: SetId, position: u64) -> bool {
        let catalogue = self.catalogue();
        let (parts, _) = catalogue.parts(set, position);
        !catalogue.bodies.let_go_of(set).any(|at| parts.contains(&at))
    }

    /// The positions that a set is made of at a position, in the order in which they make it: its whole set first,
    /// if it has one.
    pub fn made_of(&self, set: SetId, position: u64) -> Vec<u64> {
        let catalogue = self.catalogue();
        let (parts, whole) = catalogue.parts(set, position);
        let whole = whole.map(|whole| whole.position);
        let later = parts.into_iter().filter(|at| Some(*at) != whole);
        whole.into_iter().chain(later).collect()
    }
}

impl Catalogue {
    fn unneeded(&self, set: SetId, rollback_since: DateTime<Utc>) -> Vec<BodyFile> {
        let needed = self.needed(set, rollback_since);
        let kept = self.bodies.kept_of(set);
        kept.filter(|(position, _)| !needed.contains(position))
            .map(|(_, file)| *file)
            .collect()
    }

    /// The positions that these states of a set are made of.
    fn needed(&self, set: SetId, rollback_since: DateTime<Utc>) -> BTreeSet<u64> {
        let states = self.states(set, rollback_since).into_iter();
        states.flat_map(|position| self.parts(set, position).0).collect()
    }

    /// The present state of a set, and those that it can be rolled back to, one whole set after the other.
    fn states(&self, set: SetId, rollback_since: DateTime<Utc>) -> Vec<u64> {
        let (mut states, mut state) = (Vec::new(), Some(self.last_position(set)));
        while let Some(position) = state {
            states.push(position);
            let (_, whole) = self.parts(set, position);
            // Always behind, so that this ends.
            let undoable = whole.filter(|whole| whole.published_at >= rollback_since);
            state = undoable.map(|whole| whole.position - 1);
        }
        states
    }

    /// Those of them that stand on a whole set, and are in this journal wholly.
    pub(super) fn kept_states(&self, set: SetId, rollback_since: DateTime<Utc>) -> Vec<KeptState> {
        let states = self.states(set, rollback_since).into_iter();
        let kept = states.filter_map(|position| {
            let lineage = self.lineage(set, position);
            let whole_set = lineage.whole_set.filter(|_| !lineage.is_partial)?;
            Some(KeptState { position, whole_set })
        });
        kept.collect()
    }

    /// The positions that a set is made of at a position, KFR calls carried into its whole set among them; and
    /// that whole set.
    fn parts(&self, set: SetId, position: u64) -> (BTreeSet<u64>, Option<&Listed>) {
        let lineage = self.lineage(set, position);
        let whole = lineage.whole_set.and_then(|at| self.at(set, at));
        let mut parts: BTreeSet<u64> = lineage.changes.into_iter().chain(lineage.whole_set).collect();
        if let Some(whole) = whole
            && let Kind::WholeSet { carries_after } = whole.kind
        {
            let calls = self
                .listed(set)
                .iter()
                .filter(|listed| listed.kind == Kind::Calls);
            let calls = calls.map(|calls| calls.position);
            parts.extend(calls.filter(|at| carries_after < *at && *at < whole.position));
        }
        (parts, whole)
    }
}

/// Removes bodies whose delivery was never published, or was let go: a crash left them.
pub(super) fn remove_unneeded(bodies: &Path, catalogue: &Catalogue) -> Result<(), JournalError> {
    let kept: HashSet<PathBuf> = catalogue
        .bodies
        .kept()
        .map(|kept| body::body_path(bodies, kept.name))
        .collect();
    for file in std::fs::read_dir(bodies).map_err(JournalError::Io)? {
        let path = file.map_err(JournalError::Io)?.path();
        if !kept.contains(&path) {
            std::fs::remove_file(path).map_err(JournalError::Io)?;
        }
    }
    Ok(())
}
