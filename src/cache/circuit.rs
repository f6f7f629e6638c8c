//! When Redis is asked, and when it is left alone.
//!
//! Lookups use the connections that are published here and never make any. Whoever finds that one does not answer takes
//! all of them back, so that the next lookups go to the store at once. The task of [`Inner::supervise`] opens others and
//! publishes them as soon as they answer within the wait of a lookup.

use super::links::Links;
use super::{CacheError, Inner};
use std::mem;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

/// How often a Redis that is left alone is tried, and one that is asked is seen to.
const PROBE_EVERY: Duration = Duration::from_secs(1);
/// Where it fails again so soon after it came back, it is left alone for twice as long each time, …
const SETTLED_AFTER: Duration = Duration::from_secs(10);
/// … and for no longer than this.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// Nobody waits for a probe of a Redis that is in use.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

impl Inner {
    /// Leaves Redis alone because these connections failed. Only the first to find it has something to do.
    pub(super) fn leave_alone(&self, links: &Arc<Links>, cause: &str) {
        let mut is_away = self.is_away();
        let former = self.links.compare_and_swap(links, None);
        if former.as_ref().is_some_and(|former| Arc::ptr_eq(former, links)) {
            self.tell_away(&mut is_away, &links.address, cause);
            self.failed.notify_one();
        }
    }

    /// Nothing is asked from now on.
    pub(super) fn stop(&self) {
        let _is_away = self.is_away();
        self.links.store(None);
        self.meters.reachable.set(0.0);
    }

    /// Whoever holds it changes which connections are published, and what is told of it.
    fn is_away(&self) -> MutexGuard<'_, bool> {
        self.is_away.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_away(&self, is_away: &mut bool, address: &str, cause: &str) {
        self.meters.reachable.set(0.0);
        if !mem::replace(is_away, true) {
            tracing::warn!(
                address,
                cause,
                "Redis is left alone until it answers again; lookups go to the store"
            );
        }
    }

    /// Keeps connections open and watches them, for as long as it is polled.
    pub(super) async fn supervise(&self) {
        let mut pause = PROBE_EVERY;
        loop {
            let links = match self.open(self.connections).await {
                Ok(links) => Arc::new(links),
                Err(cause) => {
                    let (address, cause) = self.place_and_cause(&cause);
                    self.tell_away(&mut self.is_away(), &address, &cause);
                    tokio::time::sleep(pause).await;
                    continue;
                }
            };
            self.publish(&links);
            let lasted = self.watch(links).await;
            pause = match lasted > SETTLED_AFTER {
                true => PROBE_EVERY,
                false => {
                    tokio::time::sleep(pause).await;
                    (pause * 2).min(LONGEST_PAUSE)
                }
            };
        }
    }

    fn place_and_cause(&self, cause: &CacheError) -> (String, String) {
        match cause {
            CacheError::Unavailable { address, cause } => (address.clone(), cause.clone()),
            CacheError::Settings(cause) => (self.target.arrangement.to_string(), cause.clone()),
        }
    }

    fn publish(&self, links: &Arc<Links>) {
        let mut is_away = self.is_away();
        self.links.store(Some(Arc::clone(links)));
        self.meters.reachable.set(1.0);
        if mem::take(&mut *is_away) {
            tracing::info!(address = links.address, "Redis is back; lookups ask it again");
        }
    }

    /// Returns once Redis was left alone: how long these connections were good for.
    async fn watch(&self, mut links: Arc<Links>) -> Duration {
        loop {
            let failed = tokio::time::timeout(PROBE_EVERY, self.failed.notified()).await;
            if failed.is_ok() && self.links.load().is_none() {
                return links.opened_at.elapsed();
            }
            if links.is_replica.swap(false, Ordering::Relaxed)
                && let Some(others) = self.move_on(&links).await
            {
                links = others;
            }
            if let Err(cause) = links.probe(PROBE_TIMEOUT.max(self.timeout)).await {
                let (_, cause) = self.place_and_cause(&cause);
                self.leave_alone(&links, &cause);
            }
        }
    }

    /// Where Sentinels have made another the master, goes there; what the former one has is still read until then.
    async fn move_on(&self, links: &Links) -> Option<Arc<Links>> {
        if !self.target.has_sentinels() {
            return None;
        }
        let others = Arc::new(self.open(self.connections).await.ok()?);
        if others.address == links.address {
            return None;
        }
        self.publish(&others);
        Some(others)
    }
}
