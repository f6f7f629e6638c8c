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
/// they had never been. At start that is everything in the journal.
#[derive(Debug, Clone, Default)]
pub struct Floor(Arc<Mutex<HashMap<SetId, u64>>>);

impl Floor {
    pub fn new(positions: impl IntoIterator<Item = (SetId, u64)>) -> Self {
        Self(Arc::new(Mutex::new(positions.into_iter().collect())))
    }

    /// From now on the index may not fall behind this position.
    pub fn raise(&self, set: SetId, position: u64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(set)
            .and_modify(|known| *known = position.max(*known))
            .or_insert(position);
    }

    /// The same for a position seen in the index, which an instance that answers has shown.
    pub fn raise_to(&self, sets: &HashMap<SetId, SetState>) {
        let mut positions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (set, known) in sets {
            let position = positions.entry(*set).or_default();
            *position = known.position.max(*position);
        }
    }

    /// An index that was built anew may lack what could not be had; it says so set by set.
    pub fn begin_anew(&self, sets: impl IntoIterator<Item = (SetId, u64)>) {
        let mut positions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *positions = sets.into_iter().collect();
    }

    /// The sets that are below it.
    pub fn lacking(&self, sets: &HashMap<SetId, SetState>) -> Vec<SetId> {
        let positions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let below = positions.iter().filter(|(set, position)| {
            let known = sets.get(set).map_or(0, |known| known.position);
            known < **position
        });
        below.map(|(set, _)| *set).collect()
    }

    pub fn is_held_by(&self, sets: &HashMap<SetId, SetState>) -> bool {
        let positions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        positions
            .iter()
            .all(|(set, position)| sets.get(set).is_some_and(|known| known.position >= *position))
    }
}
