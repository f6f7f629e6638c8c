//! What banks deliver: taken in line by line, put in force by one transaction, answered with a receipt.

mod bank;
mod changes;
mod history;
mod incoming;
mod intake;
mod kfr;
mod refusal;
mod resolved;
mod rollback;
mod running;
mod space;
mod turns;
mod whole_set;

pub use bank::{BankCaller, NotAdmitted};
pub use incoming::{Incoming, Order, Repeat, Taking};
pub use intake::{Block, Identity, Line};
pub use kfr::{IncomingBatch, KfrEffect, RefusedBatch};
pub use refusal::{Conflict, DeliveryError, DeliveryRefusal, Shrunk};
pub use rollback::Discard;
pub use running::{Progress, Running, RunningDeliveries};
pub use space::Space;
pub use turns::{Busy, Turn, TurnBounds, Turns};

use super::participants::ParticipantsInForce;
use crate::domain::relationship::SetId;
use crate::store::{Receipt, Store};
use crate::workers::Workers;
use chrono::NaiveDate;
use std::path::PathBuf;
use std::time::Duration;
use tokio_util::task::TaskTracker;

/// How a delivery ends: with the receipt of what was published, or the reason why not.
type Taken = Result<Receipt, DeliveryRefusal>;

/// Bounds of deliveries.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryBounds {
    /// A whole set with fewer records than this share of the present ones is refused. Percent.
    pub shrink_percent: u64,
    /// How long an idempotency key is bound.
    pub idempotency_days: i64,
    /// How long after its publication a whole set can be rolled back.
    pub rollback_days: i64,
    /// What ended longer ago is kept no longer.
    pub closed_years: u32,
    /// Longest wait for a set that is being put in force.
    pub call_wait: Duration,
    /// Longest wait of a caller for its publication.
    pub publish_timeout: Duration,
}

/// What taking deliveries stands on.
pub struct DeliveryParts {
    pub store: Store,
    pub participants: ParticipantsInForce,
    pub workers: Workers,
    pub turns: Turns,
    /// Where lines are sorted that do not fit into memory.
    pub scratch: PathBuf,
    pub space: Space,
    pub bounds: DeliveryBounds,
}

/// Takes deliveries.
#[derive(Clone)]
pub struct Delivery {
    store: Store,
    participants: ParticipantsInForce,
    workers: Workers,
    turns: Turns,
    scratch: PathBuf,
    space: Space,
    bounds: DeliveryBounds,
    running: RunningDeliveries,
    /// Publications go on when their caller has gone away; shutdown waits for them.
    publications: TaskTracker,
    /// Where publications run.
    runtime: tokio::runtime::Handle,
}

impl Delivery {
    /// To be made within the runtime that publications are to run in.
    pub fn new(parts: DeliveryParts) -> Self {
        Self {
            store: parts.store,
            participants: parts.participants,
            workers: parts.workers,
            turns: parts.turns,
            scratch: parts.scratch,
            space: parts.space,
            bounds: parts.bounds,
            running: RunningDeliveries::default(),
            publications: TaskTracker::new(),
            runtime: tokio::runtime::Handle::current(),
        }
    }

    /// Threads for what takes long.
    pub fn workers(&self) -> &Workers {
        &self.workers
    }

    /// Deliveries under way, by set.
    pub fn running(&self) -> Vec<(SetId, Running)> {
        self.running.list()
    }

    /// What shutdown waits for.
    pub fn publications(&self) -> &TaskTracker {
        &self.publications
    }

    /// The participants in force.
    pub fn participants(&self) -> &ParticipantsInForce {
        &self.participants
    }

    /// What ended before this day counts as gone.
    fn kept_from(&self, today: NaiveDate) -> NaiveDate {
        crate::domain::calendar::years_before(today, self.bounds.closed_years)
    }

    /// Publishes in a task of its own, so that a caller who goes away does not leave half a publication.
    async fn in_own_task<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, DeliveryError>> + Send + 'static,
    ) -> Result<T, DeliveryError> {
        // Not on the caller's own thread: that one ends at shutdown before publications have.
        let task = self.publications.spawn_on(work, &self.runtime);
        self.in_time(task).await?.map_err(|_| DeliveryError::Panicked)?
    }

    /// Waits for a read of the store as long as a caller may wait.
    async fn in_time<T>(&self, read: impl Future<Output = T>) -> Result<T, DeliveryError> {
        let read = tokio::time::timeout(self.bounds.publish_timeout, read);
        read.await.map_err(|_| DeliveryError::TimedOut)
    }
}

/// Counts the lines of a delivery that were not taken, whether it was published or not.
fn count_rejects(set: SetId, rejected: u64) {
    let (bank, register) = (set.bank.to_string(), set.register.name());
    metrics::counter!("kundeforhold_rejects_total", "bank" => bank, "register" => register)
        .increment(rejected);
}
