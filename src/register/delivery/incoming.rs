//! A V2 delivery while its lines come in, with a receipt whatever becomes of it.

use super::begun::Begun;
use super::intake::{Arrangement, Block, Intake};
use super::running::Place;
use super::{Conflict, Delivery, DeliveryError, DeliveryRefusal, Progress, Turn};
use crate::domain::relationship::SetId;
use crate::journal::{KeyUse, Operation, Receipt, ReceiptState, Summary};
use chrono::{NaiveDate, TimeDelta, Utc};
use std::sync::Arc;
use uuid::Uuid;

/// How a bank wants its delivery taken.
#[derive(Debug, Clone)]
pub struct Order {
    pub set: SetId,
    pub operation: Operation,
    /// SHA-256 of the `Idempotency-Key`.
    pub idempotency: Option<[u8; 32]>,
    /// Bad lines in spite of which it is published.
    pub max_rejects: u64,
    /// A whole set may shrink below the guard.
    pub confirm_shrink: bool,
    /// `Delivery-Sequence`.
    pub sequence: Option<u64>,
    /// Of the body as sent, if it is told beforehand. For operators to see only.
    pub body_bytes: Option<u64>,
}

/// What becomes of a delivery that asks to be taken.
pub enum Taking {
    New(Box<Incoming>),
    /// Its key was used before: the first receipt is the answer, if the body is the same.
    Repeat(Repeat),
}

/// A delivery that was taken before.
pub struct Repeat {
    set: SetId,
    first: KeyUse,
    _turn: Turn,
}

/// A delivery while its lines come in.
pub struct Incoming {
    pub(super) order: Order,
    pub(super) begun: Begun,
    /// The set's position when it began: KFR calls published from here on hold in a whole set too.
    pub(super) carries_after: u64,
    _place: Place,
    _turn: Turn,
    pub(super) intake: Intake,
}

impl Delivery {
    /// Begins to take a delivery.
    pub async fn begin(&self, order: Order, today: NaiveDate) -> Result<Taking, DeliveryRefusal> {
        let set = order.set;
        if let Some(first) = self.first_of(&order)? {
            let _turn = self.turns.take_batch(set.bank).await?;
            return Ok(Taking::Repeat(Repeat { set, first, _turn }));
        }
        // Before it waits for anything, and again when its turn has come.
        self.check_built()?;
        self.keep_lease(set).await?;
        self.space()?;
        let (delivery_id, received_at) = (Uuid::now_v7(), Utc::now());
        let progress = Arc::new(Progress::expecting(order.body_bytes));
        // Before any KFR call can meet a delivery under way.
        let carries_after = self.journal()?.position(set).max(self.reached(set));
        let place = self
            .running
            .enter(set, delivery_id, order.operation, Arc::clone(&progress));
        let place = place.map_err(Conflict::Running)?;
        let turn = self.turns.take().await?;
        let (journal, space) = (self.journal()?, self.space()?);
        let arrangement = match order.operation {
            Operation::WholeSet => Arrangement::ByIdentity,
            Operation::Changes | Operation::Rollback => Arrangement::ByCustomer,
        };
        let intake = Intake::new(
            Arc::clone(&journal),
            self.pseudonyms(&journal)?,
            arrangement,
            today,
            space,
            progress,
        );
        let begun = self
            .file_begun(set, delivery_id, order.operation, received_at)
            .await?;
        Ok(Taking::New(Box::new(Incoming {
            carries_after,
            order,
            begun,
            _place: place,
            _turn: turn,
            intake,
        })))
    }

    /// The delivery that the order's key is bound to.
    fn first_of(&self, order: &Order) -> Result<Option<KeyUse>, DeliveryError> {
        let Some(key) = &order.idempotency else {
            return Ok(None);
        };
        let since = Utc::now() - TimeDelta::days(self.bounds.idempotency_days);
        Ok(self.journal()?.key_use(order.set, order.operation, key, since))
    }

    /// The first receipt, if the body that came with its key again is the same.
    pub async fn repeat(&self, repeat: &Repeat, sha256: [u8; 32]) -> Result<Receipt, DeliveryRefusal> {
        if repeat.first.sha256 != sha256 {
            return Err(Conflict::KeyReused(repeat.first.delivery_id).into());
        }
        let first = || self.receipt(repeat.set.bank, repeat.first.delivery_id);
        let receipt = first().await?;
        if receipt.state == ReceiptState::Rejected {
            return Err(DeliveryRefusal::Rejected(Box::new(receipt)));
        }
        // It may be journalled, and not in the index yet; until it is there, another instance may overtake it.
        let level = tokio::time::timeout(self.publish_timeout, self.locks.lock(repeat.set)).await;
        let _guard = level.map_err(|_| DeliveryError::TimedOut)?;
        self.check_level(repeat.set)?;
        let receipt = first().await?;
        match receipt.state {
            ReceiptState::Abandoned => Err(DeliveryError::TakenElsewhere.into()),
            _ => Ok(receipt),
        }
    }
}

impl Incoming {
    /// The set that is delivered to.
    pub fn set(&self) -> SetId {
        self.order.set
    }

    /// How much has come in.
    pub fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.intake.progress)
    }

    /// A block to fill and [take](Block::take).
    pub fn block(&self) -> Block<'_> {
        self.intake.block()
    }

    /// Files the receipt of a delivery with too many bad lines, and gives it.
    pub(super) async fn reject(self, summary: Summary) -> DeliveryRefusal {
        let (set, id, delivery) = (self.order.set, self.begun.id, &self.begun.delivery);
        super::count_rejects(set, &summary);
        let filed = async {
            let journal = delivery.journal()?;
            journal.end_delivery(set, id, true, summary).await?;
            delivery.receipt(set.bank, id).await
        };
        match filed.await {
            Ok(receipt) => DeliveryRefusal::Rejected(Box::new(receipt)),
            Err(refusal) => refusal,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Instance, set, today, whole_set};
    use super::*;
    use std::time::Duration;

    /// Longer than a delivery waits here.
    const LONG: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn what_another_instance_overtook_is_not_acknowledged_to_a_bank_that_sends_it_again() {
        let instance = Instance::start().await;
        let delivery = &instance.delivery;
        let order = Order {
            idempotency: Some([1; 32]),
            ..whole_set()
        };
        let Ok(Taking::New(incoming)) = delivery.begin(order.clone(), today()).await else {
            panic!("it is not taken");
        };
        delivery.publish_whole_set(*incoming, [0; 32]).await.unwrap();
        let Ok(Taking::Repeat(repeat)) = delivery.begin(order, today()).await else {
            panic!("it is taken again");
        };
        assert!(delivery.repeat(&repeat, [0; 32]).await.is_ok());
        // As if the first were still on its way into the index.
        let loading = delivery.locks.lock(set()).await;
        let overtaken = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let journal = delivery.journal().unwrap();
            journal.file_overtaken(set(), 0).await.unwrap();
            drop(loading);
        };
        let (repeated, ()) = tokio::join!(delivery.repeat(&repeat, [0; 32]), overtaken);
        assert!(matches!(
            repeated.err().unwrap(),
            DeliveryRefusal::Failed(DeliveryError::TakenElsewhere)
        ));
    }

    #[tokio::test]
    async fn a_delivery_whose_beginning_is_filed_too_late_is_refused_and_abandoned() {
        let mut instance = Instance::start().await;
        let index_use = instance.delivery.index_use.clone();
        let nothing_is_filed = index_use.pause(index_use.pause_sets().await).await.unwrap();
        instance.delivery.publish_timeout = Duration::from_millis(20);
        let begin = instance.delivery.begin(whole_set(), today());
        let refused = tokio::time::timeout(LONG, begin).await.unwrap().err().unwrap();
        assert!(matches!(
            refused,
            DeliveryRefusal::Failed(DeliveryError::TimedOut)
        ));
        assert!(instance.delivery.running.list().is_empty(), "its place is free");
        drop(nothing_is_filed);
        let receipt = instance.newest_receipt().await;
        assert_eq!(receipt.state, ReceiptState::Abandoned);
    }
}
