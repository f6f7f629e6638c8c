//! How sets came to stand as they do, as far as this journal knows.

use super::{Journal, KeyUse, Lineage, Operation};
use crate::domain::relationship::SetId;
use chrono::{DateTime, Utc};
use std::sync::PoisonError;

impl Journal {
    /// The positions at which the set was made anew, oldest first.
    pub fn bases(&self, set: SetId) -> Vec<u64> {
        let catalogue = self.catalogue();
        let bases = catalogue
            .listed(set)
            .iter()
            .filter(|listed| listed.kind.is_base());
        bases.map(|listed| listed.position).collect()
    }

    /// How a set stood at a position.
    pub fn lineage(&self, set: SetId, position: u64) -> Lineage {
        self.catalogue().lineage(set, position)
    }

    /// About how many records of a set run at a position.
    pub fn running(&self, set: SetId, position: u64) -> u64 {
        self.catalogue().running(set, position)
    }

    /// The `Delivery-Sequence` that was published last, 0 without one.
    pub fn last_sequence(&self, set: SetId) -> u64 {
        self.catalogue().last_sequence(set)
    }

    /// About how many records of a set ran after each of its latest whole sets and changes, oldest first.
    pub fn trend(&self, set: SetId, most: usize) -> Vec<(DateTime<Utc>, u64)> {
        self.catalogue().trend(set, most)
    }

    /// Lines that a set's last delivery to end had rejected; `None`: none has ended.
    pub fn last_rejected(&self, set: SetId) -> Option<u64> {
        self.catalogue().last_rejected(set)
    }

    /// The delivery that a bank's idempotency key is bound to, if it was bound after `since`.
    pub fn key_use(
        &self,
        set: SetId,
        operation: Operation,
        key: &[u8; 32],
        since: DateTime<Utc>,
    ) -> Option<KeyUse> {
        let found = self.catalogue().key_use(set, operation, key);
        found.filter(|bound| bound.at >= since)
    }

    /// Forgets idempotency keys that were bound before a time.
    pub fn forget_keys(&self, before: DateTime<Utc>) {
        let mut catalogue = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
        catalogue.forget_keys(before);
    }
}
