//! What readers go through, so that the log can begin anew: SQLite does that only while nobody reads by the log.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Nobody has passed, and nobody does until it is dropped.
pub(super) type Closed<'a> = RwLockWriteGuard<'a, ()>;

/// Closed for an instant now and then. Without it, readers who follow one another keep the log growing for ever.
#[derive(Default)]
pub(super) struct Gate(RwLock<()>);

impl Gate {
    /// Waits while the gate is closed. Whoever has passed reads for some milliseconds, and passes no second time
    /// meanwhile.
    pub(super) fn pass(&self) -> RwLockReadGuard<'_, ()> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for those who have passed. Others wait until what it returns is dropped.
    pub(super) fn close(&self) -> Closed<'_> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}
