//! What was written and given up must not arrive later.
//!
//! A change whose reply never came may still be on its way, and would undo what is written after it. So nothing more is
//! written to a primary before it has closed the connections that such a change may be on: what they still hold is
//! thrown away.

use super::session::{Identity, Session};
use crate::index::IndexError;
use redis::aio::MultiplexedConnection;
use redis::{Pipeline, RedisResult};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// Of the connections that this instance writes to one run of one primary by.
#[derive(Default)]
pub(super) struct Fence {
    /// As Redis numbers its clients.
    writers: Mutex<Vec<u64>>,
    /// Connections that were made before the fence of this number began have been, or are being, closed.
    begun: AtomicU64,
    ended: AtomicU64,
    /// The fence that is needed.
    needed: AtomicU64,
    closing: tokio::sync::Mutex<()>,
}

/// For each run of each primary, however often its session is begun anew.
#[derive(Default)]
pub(super) struct Fences(Mutex<HashMap<u64, Arc<Fence>>>);

impl Fences {
    pub(super) fn of(&self, primary: &Identity) -> Arc<Fence> {
        let mut fences = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(fences.entry(primary.hash()).or_default())
    }
}

/// A change under way. Dropped, what became of it is not known; where a fence began since, its connection is closed
/// already.
pub(super) struct Unanswered<'a> {
    fence: &'a Fence,
    needed: u64,
}

impl Unanswered<'_> {
    pub(super) fn answered(mut self) {
        self.needed = 0;
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        self.fence.needed.fetch_max(self.needed, Ordering::SeqCst);
    }
}

impl Fence {
    /// Notes a connection before anything is written by it.
    pub(super) async fn enter(&self, connection: &mut MultiplexedConnection) -> RedisResult<()> {
        let mut ask = redis::cmd("CLIENT");
        let id = ask.arg("ID").query_async(connection).await?;
        self.writers().push(id);
        Ok(())
    }

    /// To be asked once a connection was entered, before a change is sent by it.
    pub(super) fn unanswered(&self) -> Unanswered<'_> {
        let begun = self.begun.load(Ordering::SeqCst);
        Unanswered {
            fence: self,
            needed: begun + 1,
        }
    }

    /// Closes the connections in doubt, if there are any; nothing is to be written before.
    pub(super) async fn close(&self, session: &Session) -> Result<(), IndexError> {
        if !self.is_needed() {
            return Ok(());
        }
        let _one_at_a_time = self.closing.lock().await;
        if !self.is_needed() {
            return Ok(());
        }
        let number = self.needed.load(Ordering::SeqCst);
        self.begun.store(number, Ordering::SeqCst);
        let doubtful = self.writers().clone();
        let mut kill = Pipeline::with_capacity(doubtful.len());
        for id in &doubtful {
            kill.cmd("CLIENT").arg("KILL").arg("ID").arg(*id);
        }
        let _closed: Vec<u64> = session.ask(&kill).await?;
        self.writers().retain(|id| !doubtful.contains(id));
        self.ended.store(number, Ordering::SeqCst);
        tracing::warn!(
            "what became of a change is not known, and its connection was closed at the other end"
        );
        Ok(())
    }

    fn is_needed(&self) -> bool {
        self.needed.load(Ordering::SeqCst) > self.ended.load(Ordering::SeqCst)
    }

    fn writers(&self) -> std::sync::MutexGuard<'_, Vec<u64>> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
