//! The locks of sets among the tasks of this process.

use crate::domain::relationship::SetId;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// One lock a set.
#[derive(Default)]
pub(super) struct SetLocks(Mutex<HashMap<SetId, Arc<tokio::sync::Mutex<()>>>>);

impl SetLocks {
    pub(super) fn of(&self, set: SetId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(set).or_default())
    }
}
