//! Whose index it is, and what it has to hold before anything is answered from it.

use super::layout::{Marker, SetState};
use crate::domain::relationship::SetId;
use crate::pseudonym::PseudonymRing;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// Whose index an instance may answer from.
#[derive(Clone)]
pub struct Owner {
    /// `None`: this instance has no journal, and answers from any register's that was made with a key it has.
    pub register_id: Option<Uuid>,
    pub keys: PseudonymRing,
    pub floor: Floor,
}

impl Owner {
    pub fn owns(&self, marker: &Marker) -> bool {
        self.keys.has(marker.key) && self.register_id.is_none_or(|id| id == marker.register_id)
    }
}

/// The position of each set up to which deliveries were acknowledged: an index below it would answer as if
/// they had never been. At start that is everything in the journal; without a journal it is the highest that was seen
/// of a build.
#[derive(Debug, Clone, Default)]
pub struct Floor(Arc<Mutex<Positions>>);

#[derive(Debug, Default)]
struct Positions {
    of_sets: HashMap<SetId, u64>,
    /// Of the build that they were seen in; 0: of the journal.
    build: u64,
}

impl Floor {
    pub fn new(positions: impl IntoIterator<Item = (SetId, u64)>) -> Self {
        Self(Arc::new(Mutex::new(Positions {
            of_sets: positions.into_iter().collect(),
            build: 0,
        })))
    }

    /// From now on the index may not fall behind this position.
    pub fn raise(&self, set: SetId, position: u64) {
        let mut positions = self.positions();
        let known = positions.of_sets.entry(set).or_default();
        *known = position.max(*known);
    }

    /// The same for positions seen in the index, which an instance that answers has shown.
    pub fn raise_to(&self, sets: &HashMap<SetId, SetState>) {
        for (set, known) in sets {
            self.raise(*set, known.position);
        }
    }

    /// An index that was built anew may lack what could not be had; it says so set by set.
    pub fn begin_anew(&self, sets: impl IntoIterator<Item = (SetId, u64)>) {
        self.positions().of_sets = sets.into_iter().collect();
    }

    /// The sets that are below it.
    pub fn lacking(&self, sets: &HashMap<SetId, SetState>) -> Vec<SetId> {
        let positions = self.positions();
        let below = positions.of_sets.iter().filter(|(set, position)| {
            let known = sets.get(set).map_or(0, |known| known.position);
            known < **position
        });
        below.map(|(set, _)| *set).collect()
    }

    /// From now on the index may not fall behind these; those of another build, which were another journal's
    /// perhaps, are forgotten.
    pub fn raise_to_seen(&self, build: u64, sets: &HashMap<SetId, SetState>) {
        let mut positions = self.positions();
        if positions.build != build {
            positions.of_sets.clear();
            positions.build = build;
        }
        for (set, state) in sets {
            let position = positions.of_sets.entry(*set).or_default();
            *position = state.position.max(*position);
        }
    }

    pub fn is_held_by(&self, sets: &HashMap<SetId, SetState>, build: Option<u64>) -> bool {
        let positions = self.positions();
        let is_of_another = positions.build != 0 && Some(positions.build) != build;
        is_of_another
            || positions
                .of_sets
                .iter()
                .all(|(set, position)| sets.get(set).is_some_and(|known| known.position >= *position))
    }

    fn positions(&self) -> std::sync::MutexGuard<'_, Positions> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identifiers::OrganizationNumber;
    use crate::domain::relationship::Register;

    fn sets(position: u64) -> HashMap<SetId, SetState> {
        let set = SetId {
            bank: OrganizationNumber::parse("988077917").unwrap(),
            register: Register::Kar,
        };
        let state = SetState {
            key: [0; 8],
            generation: 1,
            position,
            journal: Uuid::nil(),
            fence: 0,
            sequence: 0,
            running: 0,
            gap: false,
            vouched: 0,
            last_delivery: chrono::DateTime::UNIX_EPOCH,
            retired: Vec::new(),
        };
        HashMap::from([(set, state)])
    }

    #[test]
    fn what_was_seen_of_a_build_is_the_least_it_may_hold() {
        let floor = Floor::default();
        floor.raise_to_seen(1, &sets(5));
        assert!(floor.is_held_by(&sets(5), Some(1)) && floor.is_held_by(&sets(6), Some(1)));
        assert!(!floor.is_held_by(&sets(4), Some(1)) && !floor.is_held_by(&HashMap::new(), Some(1)));
        assert!(
            floor.is_held_by(&sets(2), Some(2)),
            "another build is another truth"
        );
        floor.raise_to_seen(2, &sets(2));
        assert!(!floor.is_held_by(&sets(1), Some(2)));
    }
}
