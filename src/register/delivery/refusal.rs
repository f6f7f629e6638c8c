//! Why a delivery is not published.

use super::super::replay::ReplayError;
use super::turns::Busy;
use crate::index::IndexError;
use crate::journal::{JournalError, Receipt};
use crate::workers::Panicked;
use uuid::Uuid;

/// Why a delivery failed. It left no trace in answers, or is completed as a whole when the fault has passed.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("the index is not ready for deliveries: {0}")]
    Index(#[from] IndexError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the index could not follow the journal: {0}")]
    Replay(#[from] ReplayError),
    #[error("this instance only answers lookups; deliveries go to one with a journal")]
    NoJournal,
    #[error(
        "another instance takes this bank's deliveries at present; route all calls of a bank to one instance"
    )]
    TakenElsewhere,
    #[error("the index is being brought up to date with the journal")]
    Behind,
    #[error("the journal's disk has only {free_bytes} bytes left")]
    DiskFull { free_bytes: u64 },
    #[error("it took longer than the caller may wait")]
    TimedOut,
    #[error("publishing ended in a defect")]
    Panicked,
}

impl From<Panicked> for DeliveryError {
    fn from(_: Panicked) -> Self {
        Self::Panicked
    }
}

/// What a delivery is at odds with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Conflict {
    /// Another V2 delivery of the same bank and register is under way.
    Running(Uuid),
    /// The idempotency key came with another body before.
    KeyReused(Uuid),
    /// `Delivery-Sequence` has a gap or repeats.
    Sequence {
        expected: u64,
    },
    /// The whole set has far fewer running records than there are.
    Shrink {
        present: u64,
        running: u64,
    },
    /// Only the latest published whole set can be rolled back.
    NotLatest,
    /// What would stand again is in another journal.
    OtherJournal,
    RollbackTimeOver,
    /// What was published after the whole set would be lost with it.
    LaterChanges(Vec<Uuid>),
}

/// Why a delivery is not published; what stood stands.
#[derive(Debug)]
pub enum DeliveryRefusal {
    Conflict(Conflict),
    Busy(Busy),
    /// Too many lines are bad; the receipt says which.
    Rejected(Box<Receipt>),
    Failed(DeliveryError),
}

impl From<Conflict> for DeliveryRefusal {
    fn from(conflict: Conflict) -> Self {
        Self::Conflict(conflict)
    }
}

impl From<Busy> for DeliveryRefusal {
    fn from(busy: Busy) -> Self {
        Self::Busy(busy)
    }
}

impl<E: Into<DeliveryError>> From<E> for DeliveryRefusal {
    fn from(cause: E) -> Self {
        Self::Failed(cause.into())
    }
}
