//! The KFR calls: customer-level registrations, as banks make them today.

use super::intake::{Arrangement, Block, Intake, Line, Told};
use super::resolved::Resolved;
use super::{BankCaller, Busy, Delivery, DeliveryError, Turn};
use crate::domain::delivery::{Counts, DeliveryKind, Reject};
use crate::domain::identifiers::CustomerId;
use crate::domain::overview::HeldRelationship;
use crate::domain::relationship::{Register, Role, SetId};
use crate::pseudonym::{Pseudonyms, Sealed};
use crate::register::resolution::{CustomerRecords, Effect};
use crate::store::{Begun, DeliveryEnd, Filing, Publication, Receipt, SetChange, SetLock, Summary};
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
    /// It was to end on a day before it began. Nothing is changed.
    EndsBeforeItBegan,
}

/// A batch while its items come in: all are taken, or none.
pub struct IncomingBatch {
    set: SetId,
    id: Uuid,
    received_at: DateTime<Utc>,
    role: Role,
    intake: Intake,
    _turn: Turn,
}

/// A batch of which nothing was taken: how many items were bad, and what is wrong with the first of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedBatch {
    pub read: u64,
    pub rejected: u64,
    pub rejects: Vec<Reject>,
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

    fn begun(&self) -> Begun {
        Begun {
            delivery_id: self.id,
            set: self.set,
            kind: DeliveryKind::Batch,
            received_at: self.received_at,
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
        let change = move |pseudonyms: &Pseudonyms| SetChange::Register {
            customer: pseudonyms.customer(&customer),
            from: today,
            on: today,
            role,
        };
        self.call(bank, change, today).await
    }

    /// Ends all running registrations of a customer: on a day, or on the day before today, by which one that began
    /// only today is removed.
    pub async fn end_customer(
        &self,
        bank: &BankCaller,
        customer: CustomerId,
        to: Option<NaiveDate>,
        today: NaiveDate,
    ) -> Result<KfrEffect, DeliveryError> {
        let change = move |pseudonyms: &Pseudonyms| SetChange::Deregister {
            customer: pseudonyms.customer(&customer),
            to: to.or(today.pred_opt()).unwrap_or(today),
            on: today,
            is_explicit: to.is_some(),
        };
        self.call(bank, change, today).await
    }

    /// Under the lock it is settled what the set is sealed with.
    async fn call(
        &self,
        bank: &BankCaller,
        change: impl FnOnce(&Pseudonyms) -> SetChange + Send + 'static,
        today: NaiveDate,
    ) -> Result<KfrEffect, DeliveryError> {
        let (delivery, set) = (self.clone(), kfr_set(bank));
        self.in_own_task(async move {
            let lock = delivery.store.lock(set, delivery.bounds.call_wait).await?;
            let change = change(&lock.key()?.pseudonyms);
            delivery.decide_and_publish(lock, change, today).await
        })
        .await
    }

    /// Looks at what stands, and publishes what the call changes, if only how fresh the set is.
    async fn decide_and_publish(
        &self,
        lock: SetLock,
        change: SetChange,
        today: NaiveDate,
    ) -> Result<KfrEffect, DeliveryError> {
        let customer: &Sealed = change.customer();
        let stands = lock.records_of(customer, change.agreement()).await?;
        let mut records = CustomerRecords::new(customer.clone(), stands, self.kept_from(today));
        let (effect, counts) = match records.apply(&change) {
            Effect::AlreadyRunning => (KfrEffect::AlreadyRunning, Counts::default()),
            Effect::Deregistered => (
                KfrEffect::Ended,
                Counts {
                    ended: 1,
                    ..Counts::default()
                },
            ),
            Effect::NothingRuns => return Ok(KfrEffect::NothingRuns),
            Effect::EndsBeforeItBegan => return Ok(KfrEffect::EndsBeforeItBegan),
            // The others are effects of V2 changes.
            Effect::Registered
            | Effect::Stored
            | Effect::NotKept
            | Effect::Ended
            | Effect::NoSuchEnd
            | Effect::Removed
            | Effect::NotThere => (
                KfrEffect::Added,
                Counts {
                    stored: 1,
                    ..Counts::default()
                },
            ),
        };
        let mut standing = lock.state()?.standing;
        let (before, after) = records.tallies(today);
        standing.records = (standing.records + after.records).saturating_sub(before.records);
        standing.running = (standing.running + after.running).saturating_sub(before.running);
        let counts = Counts {
            read: 1,
            customers: 1,
            ..counts
        };
        let publication = Publication {
            writes: records.writes(),
            standing,
            filing: Filing::Call { day: today, counts },
            calls: vec![change],
        };
        lock.publish(publication).await?;
        Ok(effect)
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
        self.space.check()?;
        Ok(IncomingBatch {
            set: kfr_set(bank),
            id: Uuid::now_v7(),
            received_at: Utc::now(),
            role: bank.kfr_role,
            intake: self.intake(kfr_set(bank), Arrangement::ByAgreement, today, Arc::default())?,
            _turn: turn,
        })
    }

    /// Publishes a batch whose last item has come, or gives what is wrong with it. `sha256` is that of the list.
    pub async fn publish_batch(
        &self,
        batch: IncomingBatch,
        sha256: [u8; 32],
    ) -> Result<Result<Receipt, RefusedBatch>, DeliveryError> {
        let delivery = self.clone();
        self.in_own_task(async move { delivery.take_batch(batch, sha256).await })
            .await
    }

    async fn take_batch(
        &self,
        batch: IncomingBatch,
        sha256: [u8; 32],
    ) -> Result<Result<Receipt, RefusedBatch>, DeliveryError> {
        let lines = batch.intake.end()?;
        let lock = self.store.lock(batch.set, self.bounds.call_wait).await?;
        if lines.told.rejected > 0 || lines.told.read == 0 {
            drop(lock);
            return Ok(Err(self.refuse_batch(&batch, lines.told, sha256).await?));
        }
        let how = self.resolving(batch.intake.today, true);
        let resolved = self.workers.run(move || {
            let (sorted, told) = lines.sort()?;
            Ok::<_, DeliveryError>((Resolved::of(lock, sorted, &how)?, told))
        });
        let (resolved, told) = resolved.await??;
        let counts = Counts {
            read: told.read,
            ..resolved.counts
        };
        let summary = Summary {
            counts,
            sha256: Some(sha256),
            ..Summary::default()
        };
        let filing = Filing::Batch {
            begun: batch.begun(),
            summary,
        };
        Ok(Ok(self.put_in_force(resolved, filing, true).await?.receipt))
    }

    async fn refuse_batch(
        &self,
        batch: &IncomingBatch,
        told: Told,
        sha256: [u8; 32],
    ) -> Result<RefusedBatch, DeliveryError> {
        let Told {
            read,
            rejected,
            rejects,
            ..
        } = told;
        let counts = Counts {
            read,
            rejected,
            ..Counts::default()
        };
        let reason = match read {
            0 => "it held no customer".to_owned(),
            _ => {
                format!("{rejected} of {read} items were bad, and a batch is taken as a whole or not at all")
            }
        };
        let end = DeliveryEnd::Rejected {
            reason,
            summary: Summary {
                counts,
                sha256: Some(sha256),
                ..Summary::default()
            },
            rejects: rejects.clone(),
            idempotency: None,
        };
        self.store.file_refused_batch(batch.begun(), end).await?;
        Ok(RefusedBatch {
            read,
            rejected,
            rejects,
        })
    }

    /// A bank's own KFR records of a customer.
    pub async fn own_customer(
        &self,
        bank: &BankCaller,
        customer: CustomerId,
    ) -> Result<Vec<HeldRelationship>, DeliveryError> {
        let of_kfr = |(set, held): (SetId, HeldRelationship)| (set == kfr_set(bank)).then_some(held);
        Ok(self
            .own_records(bank, customer)
            .await?
            .into_iter()
            .filter_map(of_kfr)
            .collect())
    }
}

fn kfr_set(bank: &BankCaller) -> SetId {
    SetId {
        bank: bank.bank(),
        register: Register::Kfr,
    }
}
