//! The journal that deliveries go to.

use super::Journal;
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The journal in force, shared. A change of the pseudonym key puts another in its place; whoever needs one and
/// the same takes it once.
#[derive(Clone)]
pub struct JournalInForce(Arc<ArcSwap<Journal>>);

impl JournalInForce {
    pub fn new(journal: Journal) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(journal)))
    }

    pub fn load(&self) -> Arc<Journal> {
        self.0.load_full()
    }

    /// Puts another journal in force and gives back the former one.
    pub fn replace(&self, journal: Arc<Journal>) -> Arc<Journal> {
        self.0.swap(journal)
    }
}
