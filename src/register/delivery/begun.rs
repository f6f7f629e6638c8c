//! A delivery that has a receipt, until the receipt has an end.

use super::{Delivery, DeliveryError};
use crate::domain::relationship::SetId;
use crate::journal::{Operation, Summary};
use chrono::{DateTime, Utc};
use tokio_util::task::task_tracker::TaskTrackerToken;
use uuid::Uuid;

/// A delivery whose beginning is filed. Dropped before it is published or rejected, it leaves nothing but a receipt
/// that says that it was abandoned.
pub(super) struct Begun {
    pub(super) set: SetId,
    pub(super) id: Uuid,
    pub(super) received_at: DateTime<Utc>,
    pub(super) delivery: Delivery,
    /// Shutdown waits until its end is filed.
    _publication: TaskTrackerToken,
}

impl Delivery {
    /// Files that a delivery begins, within the time of a publication. What takes longer goes on in a task of its own,
    /// and is filed as abandoned after that.
    pub(super) async fn file_begun(
        &self,
        set: SetId,
        id: Uuid,
        operation: Operation,
        received_at: DateTime<Utc>,
    ) -> Result<Begun, DeliveryError> {
        let begun = Begun {
            set,
            id,
            received_at,
            delivery: self.clone(),
            _publication: self.publications.token(),
        };
        self.in_own_task(async move {
            let _filing = begun.delivery.index_use.file().await;
            let journal = begun.delivery.journal()?;
            journal.begin_delivery(set, id, operation, received_at).await?;
            Ok(begun)
        })
        .await
    }

    async fn file_abandoned(self, set: SetId, id: Uuid) {
        let _filing = self.index_use.file().await;
        let Ok(journal) = self.journal() else { return };
        if let Err(cause) = journal.end_delivery(set, id, false, Summary::default()).await {
            tracing::warn!(%cause, %set, "the receipt of an abandoned delivery could not be filed");
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let (set, id, delivery) = (self.set, self.id, self.delivery.clone());
        // What was published or rejected has its receipt.
        let journal = delivery.journal();
        if !journal.is_ok_and(|journal| journal.is_receiving(set.bank, id)) {
            return;
        }
        let (publications, runtime) = (delivery.publications.clone(), delivery.runtime.clone());
        publications.spawn_on(delivery.file_abandoned(set, id), &runtime);
    }
}
