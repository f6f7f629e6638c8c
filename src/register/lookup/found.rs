//! What is held of a customer or an account: from the cache where its entry still holds, else from the store.

use super::meters::StoreMeter;
use super::{Answering, Lookup, Refusal};
use crate::cache::{Cache, Cached};
use crate::domain::overview::{HeldAccount, HeldRelationship};
use crate::pseudonym::UnderEachKey;
use crate::store::{Found, StoreError};
use std::sync::Arc;
use std::time::Instant;
use tracing::Instrument;

impl Lookup {
    /// Whether the cache is asked at present; `None`: there is none.
    pub fn cache_is_reachable(&self) -> Option<bool> {
        self.cache.as_ref().map(Cache::is_reachable)
    }

    /// All records of a customer.
    pub(super) async fn held_by_customer(
        &self,
        answering: &mut Answering,
        customer: &UnderEachKey,
    ) -> Result<Found<HeldRelationship>, Refusal> {
        if let Some(cache) = self.cache.as_ref().filter(|_| answering.may_ask_cache)
            && let Some(cached) = cache.relationships(customer.present()).await
            && let Some(found) = self.still_holding(answering, cached, customer)
        {
            return Ok(found);
        }
        let relationships = self.store.relationships(customer);
        let found = self.ask(&self.meters.relationships, relationships).await?;
        if let (Some(cache), Some(at)) = (&self.cache, found.at) {
            cache.keep_relationships(customer.present(), at, &found.held);
        }
        Ok(found)
    }

    /// All records that carry an account.
    pub(super) async fn holding_account(
        &self,
        answering: &mut Answering,
        account: &UnderEachKey,
    ) -> Result<Found<HeldAccount>, Refusal> {
        if let Some(cache) = self.cache.as_ref().filter(|_| answering.may_ask_cache)
            && let Some(cached) = cache.accounts(account.present()).await
            && let Some(found) = self.still_holding(answering, cached, account)
        {
            return Ok(found);
        }
        let found = self
            .ask(&self.meters.account, self.store.accounts(account))
            .await?;
        if let (Some(cache), Some(at)) = (&self.cache, found.at) {
            cache.keep_accounts(account.present(), at, &found.held);
        }
        Ok(found)
    }

    /// What a cache has, if nothing that concerns it was published since, as far as is known here.
    fn still_holding<T>(
        &self,
        answering: &mut Answering,
        cached: Cached<T>,
        sought: &UnderEachKey,
    ) -> Option<Found<T>> {
        let basis = self.store.holding(cached.at, sought)?;
        let sets = Arc::clone(&basis.sets);
        answering.basis = Some(basis);
        Some(Found {
            held: cached.held,
            at: Some(cached.at),
            sets,
        })
    }

    /// SQLite reads at once, on this thread; a disk that hangs holds up the worker.
    async fn ask<T>(
        &self,
        meter: &StoreMeter,
        read: impl Future<Output = Result<Found<T>, StoreError>>,
    ) -> Result<Found<T>, Refusal> {
        let started = Instant::now();
        let found = read.instrument(tracing::debug_span!("store")).await;
        meter.time(started.elapsed());
        found.map_err(|cause| self.unanswered(meter, cause, started))
    }

    /// Counts and tells that the store did not answer, where it is, what it was asked and how long that took.
    fn unanswered(&self, meter: &StoreMeter, cause: StoreError, started: Instant) -> Refusal {
        meter.count_error();
        tracing::warn!(
            %cause,
            event = "store_error",
            store = self.store.place(),
            asked = meter.operation,
            milliseconds = started.elapsed().as_secs_f64() * 1e3,
            "the store did not answer a lookup"
        );
        cause.into()
    }
}
