//! The KFR calls: customer-level registrations, as banks make them today.

use super::{BankCaller, Delivery, DeliveryError};
use crate::domain::identifiers::CustomerId;
use crate::domain::overview::HeldRelationship;
use crate::domain::relationship::{Register, SetId};
use crate::journal::{self, Counts, Kind, SetChange, Summary};
use crate::register::replay::{Effect, resolve};
use chrono::{NaiveDate, Utc};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// What a KFR call did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KfrEffect {
    Added,
    AlreadyRunning,
    Ended,
    NothingRuns,
}

/// One item of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddedCustomer {
    pub customer: CustomerId,
    /// First day; not after today.
    pub from: NaiveDate,
}

impl Delivery {
    /// Registers a customer from today on, unless one is registered already.
    pub async fn add_customer(
        &self,
        bank: &BankCaller,
        customer: CustomerId,
        today: NaiveDate,
    ) -> Result<KfrEffect, DeliveryError> {
        let customer = self.pseudonyms.customer(&customer);
        self.change_one(
            bank,
            SetChange::Register {
                customer,
                from: today,
                on: today,
                role: bank.kfr_role,
            },
        )
        .await
    }

    /// Ends all running registrations of a customer on a day; one that would end before it began is removed.
    pub async fn end_customer(
        &self,
        bank: &BankCaller,
        customer: CustomerId,
        to: NaiveDate,
        today: NaiveDate,
    ) -> Result<KfrEffect, DeliveryError> {
        let customer = self.pseudonyms.customer(&customer);
        self.change_one(
            bank,
            SetChange::Deregister {
                customer,
                to,
                on: today,
            },
        )
        .await
    }

    /// Adds customers, all or none.
    pub async fn add_customers(
        &self,
        bank: &BankCaller,
        customers: Vec<AddedCustomer>,
        today: NaiveDate,
    ) -> Result<(), DeliveryError> {
        let (delivery, set, role) = (self.clone(), kfr_set(bank), bank.kfr_role);
        let pseudonyms = Arc::clone(&self.pseudonyms);
        let seal = move || {
            let register = |added: AddedCustomer| SetChange::Register {
                customer: pseudonyms.customer(&added.customer),
                from: added.from,
                on: today,
                role,
            };
            customers.into_iter().map(register).collect()
        };
        self.in_own_task(async move {
            // A batch may be a million customers: off the threads that others wait for.
            let changes = tokio::task::spawn_blocking(seal).await;
            let changes = changes.map_err(|_| DeliveryError::Panicked)?;
            delivery.publish_calls(set, changes).await
        })
        .await
    }

    /// A bank's own KFR records of a customer.
    pub async fn own_customer(
        &self,
        bank: &BankCaller,
        customer: CustomerId,
    ) -> Result<Vec<HeldRelationship>, DeliveryError> {
        let key = self.pseudonyms.customer(&customer).customer_key();
        let found =
            tokio::time::timeout(self.publish_timeout, self.index.find_in_set(kfr_set(bank), &key)).await;
        Ok(found.map_err(|_| DeliveryError::TimedOut)??)
    }

    async fn change_one(&self, bank: &BankCaller, change: SetChange) -> Result<KfrEffect, DeliveryError> {
        let (delivery, set) = (self.clone(), kfr_set(bank));
        self.in_own_task(async move { delivery.decide_and_publish(set, change).await })
            .await
    }

    /// Looks at what stands, and publishes only what changes it, or a whole set under way.
    async fn decide_and_publish(&self, set: SetId, change: SetChange) -> Result<KfrEffect, DeliveryError> {
        let _index = self.index_use.deliver()?;
        let guard = self.locks.lock(set).await;
        self.check_level(set)?;
        let generation = self
            .index
            .state()
            .sets
            .get(&set)
            .map_or(0, |state| state.generation);
        let resolution = resolve(&self.index, set, generation, std::slice::from_ref(&change)).await?;
        // The rows were read without their marker; if it is gone now, they were not the truth.
        self.index.refresh().await?;
        self.check_level(set)?;
        let effect = match resolution.effects().first() {
            // A whole set that is being taken may lack it, and has to hold it.
            Some(Effect::AlreadyRunning) if self.running.replaces(set) => KfrEffect::AlreadyRunning,
            Some(Effect::AlreadyRunning) => return Ok(KfrEffect::AlreadyRunning),
            Some(Effect::NothingRuns) | None => return Ok(KfrEffect::NothingRuns),
            Some(Effect::Deregistered) => KfrEffect::Ended,
            // The others are effects of V2 changes.
            Some(
                Effect::Registered
                | Effect::Stored
                | Effect::Ended
                | Effect::EndsBeforeItBegan
                | Effect::NoSuchEnd
                | Effect::Removed
                | Effect::NotThere,
            ) => KfrEffect::Added,
        };
        self.publish(set, self.changes(vec![change])?, &guard).await?;
        Ok(effect)
    }

    async fn publish_calls(&self, set: SetId, changes: Vec<SetChange>) -> Result<(), DeliveryError> {
        let _index = self.index_use.deliver()?;
        let guard = self.locks.lock(set).await;
        self.check_level(set)?;
        self.publish(set, self.changes(changes)?, &guard).await?;
        Ok(())
    }

    fn changes(&self, changes: Vec<SetChange>) -> Result<journal::Delivery, DeliveryError> {
        let id = Uuid::now_v7();
        let mut body = self.journal()?.begin_body(id);
        let mut hash = Sha256::new();
        for change in &changes {
            body.push(change)?;
            hash.update(change.customer().as_bytes());
        }
        let customers: BTreeSet<_> = changes.iter().map(SetChange::customer).collect();
        let counts = Counts {
            read: changes.len() as u64,
            stored: changes
                .iter()
                .filter(|change| matches!(change, SetChange::Register { .. }))
                .count() as u64,
            ended: changes
                .iter()
                .filter(|change| matches!(change, SetChange::Deregister { .. }))
                .count() as u64,
            customers: customers.len() as u64,
            ..Counts::default()
        };
        let summary = Summary {
            counts,
            sha256: hash.finalize().into(),
            ..Summary::default()
        };
        Ok(journal::Delivery {
            id,
            kind: Kind::Calls,
            received_at: Utc::now(),
            summary,
            body: body.finish()?,
        })
    }
}

fn kfr_set(bank: &BankCaller) -> SetId {
    SetId {
        bank: bank.bank(),
        register: Register::Kfr,
    }
}
