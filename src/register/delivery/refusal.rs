//! Why a delivery is not published.

use super::turns::Busy;
use crate::domain::delivery::Reject;
use crate::store::{Receipt, StoreError};
use crate::workers::Panicked;
use std::fmt;
use uuid::Uuid;

/// Why a delivery failed. It left no trace in answers.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the disk of the store has only {free_bytes} bytes left")]
    DiskFull { free_bytes: u64 },
    #[error("the lines could not be sorted: {0}")]
    Scratch(#[from] std::io::Error),
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
    /// The whole set has far fewer records than there are, of those that run or of all.
    Shrink {
        of: Shrunk,
        present: u64,
        delivered: u64,
    },
    /// Only the latest published whole set can be rolled back.
    NotLatest,
    /// Before the whole set, the set was not loaded.
    NothingBefore,
    RollbackTimeOver,
    /// What was published after the whole set would be lost with it.
    LaterChanges(Vec<Uuid>),
}

/// Which records a whole set has too few of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shrunk {
    Running,
    All,
}

/// Deliveries that a conflict names one by one.
const NAMED_DELIVERIES: usize = 100;

/// What to tell the bank: what is at odds, and what to do.
impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running(delivery) => write!(
                f,
                "Delivery {delivery} to the same register is under way; wait for its receipt."
            ),
            Self::KeyReused(delivery) => write!(
                f,
                "Delivery {delivery} came with this key and another body; take a new key."
            ),
            Self::Sequence { expected } => write!(f, "Delivery-Sequence {expected} is expected."),
            Self::Shrink {
                of,
                present,
                delivered,
            } => {
                let which = match of {
                    Shrunk::Running => "running records",
                    Shrunk::All => "records",
                };
                write!(
                    f,
                    "The set has {delivered} {which} where about {present} stand; if that is meant, send confirmShrink=true."
                )
            }
            Self::NotLatest => {
                f.write_str("The delivery is not the latest published whole set; only that one can be rolled back.")
            }
            Self::NothingBefore => f.write_str(
                "The delivery is the first that was loaded, so there is nothing to go back to; deliver a whole set.",
            ),
            Self::RollbackTimeOver => {
                f.write_str("The delivery was published too long ago to be rolled back; deliver a whole set.")
            }
            Self::LaterChanges(later) => {
                let named = later.iter().take(NAMED_DELIVERIES).map(ToString::to_string);
                write!(
                    f,
                    "{} deliveries published after it would be lost ({}); if that is meant, send discardLaterChanges=true.",
                    later.len(),
                    named.collect::<Vec<_>>().join(", ")
                )
            }
        }
    }
}

/// Why a delivery is not published; what stood stands.
#[derive(Debug)]
pub enum DeliveryRefusal {
    Conflict(Conflict),
    Busy(Busy),
    /// Too many lines are bad; the receipt says how many, and these are the first.
    Rejected(Box<Receipt>, Vec<Reject>),
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

impl DeliveryRefusal {
    /// What the receipt says.
    pub(super) fn reason(&self) -> String {
        match self {
            Self::Conflict(conflict) => conflict.to_string(),
            Self::Busy(_) => "too much was being taken; deliver it again".to_owned(),
            Self::Rejected(..) => "too many lines were rejected".to_owned(),
            // The cause is for the log.
            Self::Failed(_) => "the service could not publish it; deliver it again".to_owned(),
        }
    }
}
