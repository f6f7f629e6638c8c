//! Who may write to the index at a time.

use crate::index::IndexError;
use std::sync::Arc;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Deliveries and rebuilds exclude each other: a rebuild never meets half a delivery. A change of the pseudonym key
/// lets deliveries wait for a moment: those that may take long first, and calls last.
#[derive(Clone, Default)]
pub struct IndexUse {
    building: Arc<RwLock<()>>,
    sets: Arc<RwLock<()>>,
    calls: Arc<RwLock<()>>,
}

/// Held while a delivery is published: journal and index stay what they are.
pub struct Delivering {
    _turn: OwnedRwLockReadGuard<()>,
    _standing: Loading,
}

/// Held while rows are loaded that nothing is answered from yet: the index is not thrown away meanwhile.
pub struct Loading {
    _standing: OwnedRwLockReadGuard<()>,
}

/// Nothing that may take long is being published.
pub struct SetsPaused(OwnedRwLockWriteGuard<()>);

/// Nothing is being published.
pub struct Pause {
    _sets: OwnedRwLockWriteGuard<()>,
    _calls: OwnedRwLockWriteGuard<()>,
    _standing: Loading,
}

impl IndexUse {
    /// Enters the publication of what may take long, after a pause if there is one; refused while the index is being rebuilt.
    pub async fn deliver_set(&self) -> Result<Delivering, IndexError> {
        let turn = Arc::clone(&self.sets).read_owned().await;
        self.delivering(turn)
    }

    /// Enters the publication of KFR calls, after a pause if there is one; refused while the index is being rebuilt.
    pub async fn deliver_calls(&self) -> Result<Delivering, IndexError> {
        let turn = Arc::clone(&self.calls).read_owned().await;
        self.delivering(turn)
    }

    /// Files what is no publication, after a pause if there is one.
    pub async fn file(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.calls).read_owned().await
    }

    /// Enters work in the background; refused at once where there is a pause or the index is being rebuilt.
    pub fn mend(&self) -> Result<Delivering, IndexError> {
        let turn = Arc::clone(&self.calls).try_read_owned();
        self.delivering(turn.map_err(|_| IndexError::NotBuilt)?)
    }

    fn delivering(&self, turn: OwnedRwLockReadGuard<()>) -> Result<Delivering, IndexError> {
        Ok(Delivering {
            _turn: turn,
            _standing: self.load()?,
        })
    }

    /// Refused at once while the index is being rebuilt.
    pub fn load(&self) -> Result<Loading, IndexError> {
        let standing = Arc::clone(&self.building).try_read_owned();
        let standing = standing.map(|_standing| Loading { _standing });
        standing.map_err(|_| IndexError::NotBuilt)
    }

    /// Waits until nothing else writes to the index.
    pub async fn build(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.building).write_owned().await
    }

    /// Waits until nothing that may take long is being published. What comes after waits.
    pub async fn pause_sets(&self) -> SetsPaused {
        SetsPaused(Arc::clone(&self.sets).write_owned().await)
    }

    /// Waits until nothing else is being published or filed either. What comes after waits.
    pub async fn pause(&self, sets: SetsPaused) -> Result<Pause, IndexError> {
        Ok(Pause {
            _sets: sets.0,
            _calls: Arc::clone(&self.calls).write_owned().await,
            _standing: self.load()?,
        })
    }

    /// A pause, if nothing is being published right now.
    pub fn try_pause(&self) -> Option<Pause> {
        Some(Pause {
            _sets: Arc::clone(&self.sets).try_write_owned().ok()?,
            _calls: Arc::clone(&self.calls).try_write_owned().ok()?,
            _standing: self.load().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn a_pause_waits_for_what_is_being_published_and_holds_up_what_comes_after() {
        let index_use = IndexUse::default();
        let whole_set = index_use.deliver_set().await.unwrap();
        assert!(index_use.try_pause().is_none());
        assert!(index_use.pause_sets().now_or_never().is_none());
        drop(whole_set);
        let paused = index_use.pause_sets().await;
        assert!(index_use.deliver_set().now_or_never().is_none());
        let call = index_use.deliver_calls().await.unwrap();
        assert!(index_use.mend().is_ok());
        drop(call);
        let pause = index_use.pause(paused).await.unwrap();
        assert!(index_use.mend().is_err());
        let waiting = tokio::spawn({
            let index_use = index_use.clone();
            async move { index_use.deliver_calls().await.is_ok() }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(pause);
        assert!(waiting.await.unwrap());
    }

    #[tokio::test]
    async fn nothing_is_published_while_the_index_is_built_anew() {
        let index_use = IndexUse::default();
        let building = index_use.build().await;
        assert!(index_use.deliver_calls().await.is_err() && index_use.deliver_set().await.is_err());
        assert!(index_use.mend().is_err() && index_use.load().is_err() && index_use.try_pause().is_none());
        drop(building);
        let _delivering = index_use.deliver_calls().await.unwrap();
        assert!(index_use.build().now_or_never().is_none());
    }
}
