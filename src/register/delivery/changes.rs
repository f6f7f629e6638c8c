//! V2 changes: put, end, remove; in order, all or nothing.

use super::incoming::Incoming;
use super::resolved::{Resolved, Resolving};
use super::{Conflict, Delivery, DeliveryError, DeliveryRefusal, Taken, count_rejects};
use crate::domain::delivery::DeliveryKind;
use crate::store::{Filing, Receipt, SetLock, Summary};

impl Delivery {
    /// Publishes changes whose last line has come. `sha256` is that of the decoded body.
    pub async fn publish_changes(
        &self,
        incoming: Incoming,
        sha256: [u8; 32],
    ) -> Result<Receipt, DeliveryRefusal> {
        let delivery = self.clone();
        self.in_own_task(async move { Ok(delivery.take_changes(incoming, sha256).await) })
            .await?
    }

    async fn take_changes(&self, incoming: Incoming, sha256: [u8; 32]) -> Taken {
        let lock = self.store.lock(incoming.set(), self.bounds.publish_timeout).await;
        let resolved = match lock {
            Err(cause) => Err(cause.into()),
            Ok(lock) => self.resolve_changes(lock, &incoming).await,
        };
        match resolved {
            Err(refusal) => Err(incoming.receiving.refused(refusal).await),
            Ok((resolved, told)) => self.file_changes(incoming, resolved, told, sha256).await,
        }
    }

    async fn resolve_changes(
        &self,
        lock: SetLock,
        incoming: &Incoming,
    ) -> Result<(Resolved, super::intake::Told), DeliveryRefusal> {
        let expected = lock.state().map_err(DeliveryError::Store)?.sequence + 1;
        if incoming
            .order
            .sequence
            .is_some_and(|sequence| sequence != expected)
        {
            return Err(Conflict::Sequence { expected }.into());
        }
        let lines = incoming.intake.end()?;
        let how = self.resolving(incoming.intake.today, false);
        let resolved = self.workers.run(move || {
            let (sorted, told) = lines.sort()?;
            Ok::<_, DeliveryError>((Resolved::of(lock, sorted, &how)?, told))
        });
        Ok(resolved.await.map_err(DeliveryError::from)??)
    }

    pub(super) fn resolving(&self, today: chrono::NaiveDate, are_calls: bool) -> Resolving {
        Resolving {
            today,
            kept_from: self.kept_from(today),
            are_calls,
            scratch: self.scratch.clone(),
        }
    }

    async fn file_changes(
        &self,
        incoming: Incoming,
        mut resolved: Resolved,
        mut told: super::intake::Told,
        sha256: [u8; 32],
    ) -> Taken {
        let (set, order) = (incoming.order.set, &incoming.order);
        told.add_rejects(resolved.rejected, std::mem::take(&mut resolved.rejects));
        count_rejects(set, told.rejected);
        let mut counts = resolved.counts;
        (counts.read, counts.rejected) = (told.read, told.rejected);
        let summary = Summary {
            counts,
            sha256: Some(sha256),
            sequence: order.sequence,
            discarded: Vec::new(),
        };
        let (idempotency, max_rejects) = (order.idempotency, order.max_rejects);
        if told.rejected > max_rejects {
            // Numbers are consumed by what is published.
            let summary = Summary {
                sequence: None,
                ..summary
            };
            return Err(incoming
                .receiving
                .reject(summary, told.rejects, idempotency, max_rejects)
                .await);
        }
        let filing = Filing::Delivery {
            delivery_id: incoming.receiving.id,
            kind: DeliveryKind::Changes,
            summary,
            rejects: told.rejects,
            idempotency,
        };
        match self.put_in_force(resolved, filing, false).await {
            Ok(published) => {
                incoming.receiving.mark_published();
                Ok(published.receipt)
            }
            Err(cause) => Err(incoming.receiving.refused(cause.into()).await),
        }
    }
}
