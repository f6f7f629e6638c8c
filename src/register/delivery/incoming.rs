//! A V2 delivery while its lines come in, with a receipt whatever becomes of it.

use super::intake::{Arrangement, Block, Intake};
use super::running::Place;
use super::{Conflict, Delivery, DeliveryError, DeliveryRefusal, Progress, Turn};
use crate::domain::delivery::{DeliveryKind, DeliveryState};
use crate::domain::relationship::SetId;
use crate::store::{Begun, DeliveryEnd, KeyUse, Receipt, StoreError, Summary};
use chrono::{NaiveDate, TimeDelta, Utc};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

/// What the receipt of a delivery says whose caller has gone away.
const BROKEN_OFF: &str = "the connection was broken off before the end of the body; deliver it again";

/// Between two attempts to file an end while the store cannot be written.
const FILE_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// How a bank wants its delivery taken.
#[derive(Debug, Clone)]
pub struct Order {
    pub set: SetId,
    /// A whole set or changes.
    pub kind: DeliveryKind,
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
    pub(super) receiving: Receiving,
    _place: Place,
    _turn: Turn,
    pub(super) intake: Intake,
}

/// A delivery whose beginning is filed. Dropped before its end is filed, it leaves nothing but a receipt that says
/// that it was abandoned.
pub(super) struct Receiving {
    pub(super) id: Uuid,
    delivery: Delivery,
    /// What the receipt says if nothing more is filed; `None`: its end is filed.
    abandoned: Option<String>,
    /// Shutdown waits until its end is filed.
    _publication: TaskTrackerToken,
}

impl Delivery {
    /// Begins to take a delivery.
    pub async fn begin(&self, order: Order, today: NaiveDate) -> Result<Taking, DeliveryRefusal> {
        let (set, id) = (order.set, Uuid::now_v7());
        let progress = Arc::new(Progress::expecting(order.body_bytes));
        let place = self.running.enter(set, id, order.kind, Arc::clone(&progress));
        // Looked for once the place is taken: until it is given up, no other delivery binds the key.
        if let Some(first) = self.first_of(&order).await? {
            drop(place);
            let _turn = self.turns.take_batch(set.bank).await?;
            return Ok(Taking::Repeat(Repeat { set, first, _turn }));
        }
        self.space.check()?;
        let place = place.map_err(Conflict::Running)?;
        let turn = self.turns.take().await?;
        let arrangement = match order.kind {
            DeliveryKind::WholeSet => Arrangement::ByIdentity,
            DeliveryKind::Changes | DeliveryKind::Batch | DeliveryKind::Rollback | DeliveryKind::KfrCalls => {
                Arrangement::ByAgreement
            }
        };
        let receiving = self.file_begun(set, id, order.kind).await?;
        Ok(Taking::New(Box::new(Incoming {
            intake: self.intake(set, arrangement, today, progress)?,
            order,
            receiving,
            _place: place,
            _turn: turn,
        })))
    }

    /// The delivery that the order's key is bound to.
    async fn first_of(&self, order: &Order) -> Result<Option<KeyUse>, DeliveryError> {
        let Some(key) = order.idempotency else {
            return Ok(None);
        };
        let since = Utc::now() - TimeDelta::days(self.bounds.idempotency_days);
        Ok(self
            .in_time(self.store.key_use(order.set, order.kind, key, since))
            .await??)
    }

    /// The first receipt, if the body that came with its key again is the same.
    pub async fn repeat(&self, repeat: &Repeat, sha256: [u8; 32]) -> Result<Receipt, DeliveryRefusal> {
        if repeat.first.sha256 != sha256 {
            return Err(Conflict::KeyReused(repeat.first.delivery_id).into());
        }
        let (bank, id) = (repeat.set.bank, repeat.first.delivery_id);
        let receipt = self
            .find_receipt(bank, id)
            .await?
            .ok_or(DeliveryError::Panicked)?;
        match receipt.state {
            DeliveryState::Rejected => {
                let rejects = self.rejects(id).await?;
                Err(DeliveryRefusal::Rejected(Box::new(receipt), rejects))
            }
            _ => Ok(receipt),
        }
    }

    /// Files that a delivery begins, under the lock of its set: calls from here on are kept for a whole set.
    pub(super) async fn file_begun(
        &self,
        set: SetId,
        id: Uuid,
        kind: DeliveryKind,
    ) -> Result<Receiving, DeliveryRefusal> {
        let (delivery, received_at) = (self.clone(), Utc::now());
        let mut receiving = Receiving {
            id,
            delivery: self.clone(),
            abandoned: None,
            _publication: self.publications.token(),
        };
        self.in_own_task(async move {
            let lock = delivery.store.lock(set, delivery.bounds.call_wait).await?;
            let begun = Begun {
                delivery_id: id,
                set,
                kind,
                received_at,
            };
            Ok(match lock.begin(begun).await? {
                Ok(()) => {
                    receiving.abandoned = Some(BROKEN_OFF.to_owned());
                    Ok(receiving)
                }
                Err(running) => Err(Conflict::Running(running).into()),
            })
        })
        .await?
    }

    /// Takes lines that are to be put in order.
    pub(super) fn intake(
        &self,
        set: SetId,
        arrangement: Arrangement,
        today: NaiveDate,
        progress: Arc<Progress>,
    ) -> Result<Intake, StoreError> {
        let (key, space) = (self.store.key_of(set)?, self.space.clone());
        Ok(Intake::new(
            key,
            arrangement,
            today,
            self.kept_from(today),
            &self.scratch,
            space,
            progress,
        ))
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

    /// The bank is answered with this, once its receipt says so.
    pub async fn abandon(self, reason: &str) {
        self.receiving.give_up(reason.to_owned()).await;
    }
}

impl Receiving {
    /// The end is filed with the publication.
    pub(super) fn mark_published(mut self) {
        self.abandoned = None;
    }

    /// Files the end of a delivery with too many bad lines.
    pub(super) async fn reject(
        mut self,
        summary: Summary,
        rejects: Vec<crate::domain::delivery::Reject>,
        idempotency: Option<[u8; 32]>,
        max_rejects: u64,
    ) -> DeliveryRefusal {
        let reason = format!(
            "{} lines were rejected, and maxRejects is {max_rejects}",
            summary.counts.rejected
        );
        let end = DeliveryEnd::Rejected {
            reason,
            summary,
            rejects: rejects.clone(),
            idempotency,
        };
        match self.delivery.store.end_delivery(self.id, end).await {
            Ok(receipt) => {
                self.abandoned = None;
                DeliveryRefusal::Rejected(Box::new(receipt), rejects)
            }
            Err(cause) => cause.into(),
        }
    }

    /// Notes in the receipt what the bank is refused with, before it is answered: it may come again at once.
    pub(super) async fn refused(self, refusal: DeliveryRefusal) -> DeliveryRefusal {
        self.give_up(refusal.reason()).await;
        refusal
    }

    /// What cannot be filed now is tried again when this is dropped.
    async fn give_up(mut self, reason: String) {
        if self.abandoned.is_none() {
            return;
        }
        self.abandoned = Some(reason.clone());
        let (id, store) = (self.id, self.delivery.store.clone());
        let end = DeliveryEnd::Abandoned { reason };
        let end = async move { Ok(store.end_delivery(id, end).await?) };
        if self.delivery.in_own_task(end).await.is_ok() {
            self.abandoned = None;
        }
    }
}

impl Drop for Receiving {
    fn drop(&mut self) {
        let Some(reason) = self.abandoned.take() else {
            return;
        };
        let (id, delivery) = (self.id, self.delivery.clone());
        let (publications, runtime) = (delivery.publications.clone(), delivery.runtime.clone());
        let abandon = async move {
            let end = DeliveryEnd::Abandoned { reason };
            if let Err(cause) = delivery.store.end_delivery(id, end.clone()).await {
                tracing::warn!(%cause, "the receipt of an abandoned delivery cannot be filed yet");
                // Shutdown does not wait for this: the next start does the same.
                delivery.runtime.clone().spawn(file_later(delivery, id, end));
            }
        };
        publications.spawn_on(abandon, &runtime);
    }
}

/// Until it is filed, the set takes no other delivery.
async fn file_later(delivery: Delivery, id: Uuid, end: DeliveryEnd) {
    loop {
        tokio::time::sleep(FILE_AGAIN_AFTER).await;
        match delivery.store.end_delivery(id, end.clone()).await {
            Ok(_) | Err(StoreError::NotReceiving | StoreError::Closed) => return,
            Err(_) => {}
        }
    }
}
