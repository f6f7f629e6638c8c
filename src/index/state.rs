//! Where an index stands: what decides which rows answer.

use super::layout::{Generation, Marker, SetState};
use super::owner::Owner;
use crate::domain::relationship::SetId;
use crate::pseudonym::KeyFingerprint;
use std::collections::HashMap;

/// The table that decides which rows answer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IndexState {
    /// Absent while the index is empty or being rebuilt.
    pub marker: Option<Marker>,
    /// The index has the marker of another register or pseudonym key.
    pub foreign: bool,
    /// The index lacks something that was acknowledged.
    pub behind: bool,
    /// What the index stood on when this was read.
    pub lineup: u64,
    /// Of the marker's key; without a marker, of the key that the index is being built with.
    pub sets: HashMap<SetId, SetState>,
    /// Of another key: rows that are made ready to answer, or that answered before.
    pub others: HashMap<SetId, SetState>,
}

impl IndexState {
    /// The state of a store with this marker, before its sets are known.
    pub fn marked(marker: Option<Marker>) -> Self {
        Self {
            marker,
            ..Self::default()
        }
    }

    /// Where the index stands with a set under a pseudonym key.
    pub fn under(&self, key: KeyFingerprint, set: SetId) -> Option<&SetState> {
        let known = [self.sets.get(&set), self.others.get(&set)];
        known.into_iter().flatten().find(|state| state.key == key)
    }

    /// Notes a set's state.
    pub fn put(&mut self, set: SetId, state: SetState) {
        let answers = self.marker.is_none_or(|marker| marker.key == state.key);
        let sets = if answers { &mut self.sets } else { &mut self.others };
        sets.insert(set, state);
    }

    /// The same sets under another marker.
    pub fn marked_anew(self, marker: Marker) -> Self {
        let mut anew = Self::marked(Some(marker));
        anew.lineup = self.lineup;
        for (set, state) in self.others.into_iter().chain(self.sets) {
            anew.put(set, state);
        }
        anew
    }

    /// The state as its owner may answer by it. Every state is judged before any row is read by it.
    pub fn judged_by(self, owner: &Owner) -> Self {
        let foreign = self.marker.is_some_and(|marker| !owner.owns(&marker));
        let build = self.marker.map(|marker| marker.build);
        let behind = !self.is_vouched() || !owner.floor.is_held_by(&self.sets, build);
        if let (Some(build), None, false, false) = (build, owner.register_id, foreign, behind) {
            owner.floor.raise_to_seen(build, &self.sets);
        }
        Self {
            foreign,
            behind,
            ..self
        }
    }

    /// Whether every set that answers was found complete on what the index stands on now.
    pub fn is_vouched(&self) -> bool {
        self.sets.values().all(|state| state.vouched == self.lineup)
    }

    /// The marker of an index that may be answered from; `None`: nothing can be answered.
    pub fn answerable(&self) -> Option<Marker> {
        self.marker.filter(|_| !self.foreign && !self.behind)
    }

    pub fn answers(&self, set: SetId, generation: Generation) -> bool {
        self.sets
            .get(&set)
            .is_some_and(|state| state.generation == generation)
    }
}
