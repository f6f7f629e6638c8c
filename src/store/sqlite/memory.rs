//! What the process knows of the register without asking the file: this process has made every publication itself.

use crate::domain::delivery::PublicationId;
use crate::domain::relationship::SetId;
use crate::store::{Changed, Publications, SetState, Sets};
use arc_swap::ArcSwap;
use std::sync::{Arc, Mutex, PoisonError};

/// The sets and the publications, as of the last commit.
pub(super) struct Memory {
    sets: ArcSwap<Sets>,
    changing: Mutex<()>,
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
            publications,
        }
    }

    pub(super) fn sets(&self) -> Arc<Sets> {
        self.sets.load_full()
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
