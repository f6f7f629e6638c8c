//! What the process knows of the register without asking the file: this process has made every publication itself.

use crate::domain::delivery::PublicationId;
use crate::domain::relationship::SetId;
use crate::store::{Changed, Publications, SetState, Sets};
use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The sets and the publications, as of the last commit.
pub(super) struct Memory {
    sets: ArcSwap<Sets>,
    changing: Mutex<()>,
    /// Transactions that were committed.
    commits: AtomicU64,
    pub(super) publications: Publications,
}

/// What a commit has changed.
pub(super) enum News {
    Set(SetId, SetState),
    Published(PublicationId, Changed),
}

impl Memory {
    pub(super) fn new(sets: Sets, publications: Publications) -> Self {
        Self {
            sets: ArcSwap::from_pointee(sets),
            changing: Mutex::default(),
            commits: AtomicU64::new(0),
            publications,
        }
    }

    pub(super) fn sets(&self) -> Arc<Sets> {
        self.sets.load_full()
    }

    /// How many transactions were committed: what was read before another one may lack it.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// Before anybody is told of it.
    pub(super) fn count_commit(&self) {
        self.commits.fetch_add(1, Ordering::Release);
    }

    pub(super) fn note(&self, news: News) {
        match news {
            News::Set(set, state) => self.change(|sets| sets.with(set, state)),
            News::Published(id, changed) => self.publications.note(id, &changed),
        }
    }

    /// Whoever takes the set next removes what a merge has left.
    pub(super) fn mark_merging(&self, set: SetId) {
        self.change(|sets| match sets.get(set) {
            Some(state) => sets.with(
                set,
                SetState {
                    merging: true,
                    ..state.clone()
                },
            ),
            None => sets.clone(),
        });
    }

    fn change(&self, change: impl FnOnce(&Sets) -> Sets) {
        let _one_at_a_time = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&self.sets.load());
        self.sets.store(Arc::new(changed));
    }
}
