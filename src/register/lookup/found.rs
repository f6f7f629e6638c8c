//! What is held of a customer or an account: from the cache where its entry still holds, else from the store.

use super::meters::StoreMeter;
use super::{Lookup, Refusal};
use crate::cache::Cache;
use crate::domain::overview::{HeldAccount, HeldRelationship};
use crate::pseudonym::UnderEachKey;
use crate::store::{Found, Store, StoreError};
use std::time::Instant;

impl Lookup {
    /// Whether the cache is asked at present; `None`: there is none.
    pub fn cache_is_reachable(&self) -> Option<bool> {
        self.cache.as_ref().map(Cache::is_reachable)
    }

    /// All records of a customer.
    pub(super) async fn held_by_customer(
        &self,
        customer: &UnderEachKey,
    ) -> Result<Vec<HeldRelationship>, Refusal> {
        if let Some(cache) = &self.cache
            && let Some(cached) = cache.relationships(customer.present()).await
            && self.store.publications().holds(cached.at, customer.tags())
        {
            return Ok(cached.held);
        }
        let found = self.ask(&self.meters.relationships, |store| store.relationships(customer))?;
        if let (Some(cache), Some(at)) = (&self.cache, found.at) {
            cache.keep_relationships(customer.present(), at, &found.held);
        }
        Ok(found.held)
    }

    /// All records that carry an account.
    pub(super) async fn holding_account(&self, account: &UnderEachKey) -> Result<Vec<HeldAccount>, Refusal> {
        if let Some(cache) = &self.cache
            && let Some(cached) = cache.accounts(account.present()).await
            && self.store.publications().holds(cached.at, account.tags())
        {
            return Ok(cached.held);
        }
        let found = self.ask(&self.meters.account, |store| store.accounts(account))?;
        if let (Some(cache), Some(at)) = (&self.cache, found.at) {
            cache.keep_accounts(account.present(), at, &found.held);
        }
        Ok(found.held)
    }

    /// SQLite reads at once, on this thread; a disk that hangs holds up the worker.
    fn ask<T>(
        &self,
        meter: &StoreMeter,
        read: impl FnOnce(&Store) -> Result<Found<T>, StoreError>,
    ) -> Result<Found<T>, Refusal> {
        let _span = tracing::debug_span!("store").entered();
        let started = Instant::now();
        let found = read(&self.store);
        meter.count(started.elapsed(), found.is_ok());
        Ok(found?)
    }
}
