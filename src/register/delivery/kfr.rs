//! The KFR calls: customer-level registrations, as banks make them today.

use super::intake::{Arrangement, Block, HEADER_BYTES, Intake, Line, Lines};
use super::{BankCaller, Busy, Delivery, DeliveryError, Turn};
use crate::domain::identifiers::CustomerId;
use crate::domain::overview::HeldRelationship;
use crate::domain::relationship::{Register, Role, SetId};
use crate::journal::{self, BodyWriter, Counts, JournalError, Kind, SetChange, Summary};
use crate::pseudonym::Pseudonyms;
use crate::register::replay::{Effect, resolve};
use chrono::{DateTime, NaiveDate, Utc};
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

/// A batch while its items come in: all are taken, or none.
pub struct IncomingBatch {
    set: SetId,
    id: Uuid,
    /// The set's position when it began.
    since: u64,
    received_at: DateTime<Utc>,
    role: Role,
    intake: Intake,
    _turn: Turn,
}

impl IncomingBatch {
    /// A block to fill and [take](Block::take).
    pub fn block(&self) -> Block<'_> {
        self.intake.block()
    }

    /// What an item of the bank's asks for.
    pub fn register(&self, customer: CustomerId, from: NaiveDate) -> Line {
        Line::Register {
            customer,
            from,
            role: self.role,
        }
    }
}

impl Delivery {
    /// Registers a customer from today on, unless one is registered already.
    pub async fn add_customer(
        &self,
        bank: &BankCaller,
        customer: CustomerId,
        today: NaiveDate,
    ) -> Result<KfrEffect, DeliveryError> {
        let role = bank.kfr_role;
        self.change_one(bank, move |pseudonyms| SetChange::Register {
            customer: pseudonyms.customer(&customer),
            from: today,
            on: today,
            role,
        })
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
        self.change_one(bank, move |pseudonyms| SetChange::Deregister {
            customer: pseudonyms.customer(&customer),
            to,
            on: today,
        })
        .await
    }

    /// A turn for a batch of a bank's.
    pub async fn turn_for_batch(&self, bank: &BankCaller) -> Result<Turn, Busy> {
        self.turns.take_batch(bank.bank()).await
    }

    /// Begins to take a batch in its turn.
    pub async fn begin_batch(
        &self,
        bank: &BankCaller,
        today: NaiveDate,
        turn: Turn,
    ) -> Result<IncomingBatch, DeliveryError> {
        let set = kfr_set(bank);
        self.check_built()?;
        self.keep_lease(set).await?;
        let space = self.space()?;
        let journal = self.journal()?;
        let pseudonyms = self.pseudonyms(&journal)?;
        Ok(IncomingBatch {
            set,
            id: Uuid::now_v7(),
            since: self.reached(set),
            received_at: Utc::now(),
            role: bank.kfr_role,
            intake: Intake::new(
                journal,
                pseudonyms,
                Arrangement::ByCustomer,
                today,
                space,
                Arc::default(),
            ),
            _turn: turn,
        })
    }

    /// Publishes a batch whose last item has come, or gives the number of bad items and what is wrong with the
    /// first of them. `sha256` is that of the list.
    pub async fn publish_batch(
        &self,
        batch: IncomingBatch,
        sha256: [u8; 32],
    ) -> Result<Result<Counts, Summary>, DeliveryError> {
        let (delivery, set) = (self.clone(), batch.set);
        self.in_own_task(async move {
            let _index = delivery.index_use.deliver_set().await?;
            let (lines, body) = (
                delivery.end_input(&batch.intake)?,
                delivery.journal()?.begin_body(batch.id),
            );
            let (mut summary, body) = delivery.workers.run(move || write_batch(lines, body)).await??;
            if summary.counts.rejected > 0 || summary.counts.read == 0 {
                return Ok(Err(summary));
            }
            summary.sha256 = sha256;
            let counts = summary.counts;
            let body = delivery.workers.run(move || body.finish()).await??;
            let guard = delivery.locks.lock(set).await;
            delivery.check_level(set)?;
            let since = batch.since;
            let batch = journal::Delivery {
                id: batch.id,
                kind: Kind::Calls,
                received_at: batch.received_at,
                summary,
                body,
            };
            delivery.publish(set, since, batch, &guard).await?;
            Ok(Ok(counts))
        })
        .await
    }

    /// A bank's own KFR records of a customer.
    pub async fn own_customer(
        &self,
        bank: &BankCaller,
        customer: CustomerId,
    ) -> Result<Vec<HeldRelationship>, DeliveryError> {
        let key = self.keys.customer(&customer);
        let found =
            tokio::time::timeout(self.publish_timeout, self.index.find_in_set(kfr_set(bank), &key)).await;
        Ok(found.map_err(|_| DeliveryError::TimedOut)??)
    }

    async fn change_one(
        &self,
        bank: &BankCaller,
        change: impl FnOnce(&Pseudonyms) -> SetChange + Send + 'static,
    ) -> Result<KfrEffect, DeliveryError> {
        let (delivery, set) = (self.clone(), kfr_set(bank));
        self.in_own_task(async move { delivery.decide_and_publish(set, change).await })
            .await
    }

    /// Looks at what stands, and publishes only what changes it, or a whole set under way.
    async fn decide_and_publish(
        &self,
        set: SetId,
        change: impl FnOnce(&Pseudonyms) -> SetChange,
    ) -> Result<KfrEffect, DeliveryError> {
        let _index = self.index_use.deliver_calls().await?;
        self.keep_lease(set).await?;
        let change = change(&*self.pseudonyms(&*self.journal()?)?);
        let guard = self.locks.lock(set).await;
        self.check_level(set)?;
        let since = self.reached(set);
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
        self.publish(set, since, self.call(&change)?, &guard).await?;
        Ok(effect)
    }

    fn call(&self, change: &SetChange) -> Result<journal::Delivery, DeliveryError> {
        let id = Uuid::now_v7();
        let mut body = self.journal()?.begin_body(id);
        body.push(change)?;
        let is = |yes: bool| u64::from(yes);
        let counts = Counts {
            read: 1,
            stored: is(matches!(change, SetChange::Register { .. })),
            ended: is(matches!(change, SetChange::Deregister { .. })),
            customers: 1,
            ..Counts::default()
        };
        Ok(journal::Delivery {
            id,
            kind: Kind::Calls,
            received_at: Utc::now(),
            summary: Summary {
                counts,
                ..Summary::default()
            },
            body: body.finish()?,
        })
    }
}

/// Writes a batch customer by customer.
fn write_batch(lines: Lines, mut body: BodyWriter) -> Result<(Summary, BodyWriter), DeliveryError> {
    let (mut sorted, _, mut summary) = lines.sort().map_err(JournalError::Io)?;
    let mut last = [0; 16];
    while let Some(record) = sorted.next_record().map_err(JournalError::Io)? {
        let (header, change) = record
            .split_at_checked(HEADER_BYTES)
            .ok_or(JournalError::Corrupt("sorted item"))?;
        if header[..16] != last || summary.counts.stored == 0 {
            summary.counts.customers += 1;
            last.copy_from_slice(&header[..16]);
        }
        summary.counts.stored += 1;
        body.push_encoded(change)?;
    }
    Ok((summary, body))
}

fn kfr_set(bank: &BankCaller) -> SetId {
    SetId {
        bank: bank.bank(),
        register: Register::Kfr,
    }
}
