//! Who may write to an index that several instances share, and what they tell each other.
//!
//! A *lease* is held for one bank's sets, or for building the index anew. It has a *fence*: a number that only grows.
//! The state of a set is written only under the lease of its bank, in the step in which the lease is looked at. The
//! embedded index has one instance only, which holds every lease for good.

use super::{Index, IndexError};
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::relationship::SetId;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::time::Duration;
use uuid::Uuid;

/// Greater than that of every lease of the same before.
pub type Fence = u64;

/// What a lease is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Claim {
    /// Writing what a bank delivered.
    Bank(OrganizationNumber),
    /// Building the index anew.
    Build,
}

impl From<SetId> for Claim {
    fn from(set: SetId) -> Self {
        Self::Bank(set.bank)
    }
}

/// The register of an index, as its journals agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisterName {
    pub id: Uuid,
    pub rekeyings: u32,
}

/// What a journal tells the others of itself, so that all know what there is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posting {
    /// What the index stood on when this was told: all that was acknowledged before is in it.
    pub lineup: u64,
    pub parts: Vec<Part>,
}

/// A journal's part of a set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// As [`layout::encode_set`](super::layout::encode_set) has it.
    pub set: [u8; 4],
    /// First and last position and fence of publications without a gap between them, oldest first.
    pub runs: Vec<(u64, u64, Fence)>,
    /// The journal and position that were last seen of another journal's part.
    pub elsewhere: Option<(Uuid, u64)>,
}

/// How far the build of a shared index is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nobody builds, or what stood is still being removed.
    Closed,
    /// Every journal brings in its part.
    Open,
    /// What is missing is not waited for any longer.
    OverGaps,
}

impl Index {
    /// Says by whom leases are held here, and for how long without being renewed.
    pub fn hold_leases_as(&self, holder: Uuid, time: Duration) {
        if let Self::Redis(engine) = self {
            engine.leases.hold_as(holder, time);
        }
    }

    /// Takes a lease, or finds that it is held here; `None`: another instance holds it.
    pub async fn take(&self, claim: Claim) -> Result<Option<Fence>, IndexError> {
        match self {
            Self::Embedded(_) => Ok(Some(0)),
            Self::Redis(engine) => engine.take_lease(claim).await,
        }
    }

    /// Takes a lease and keeps it for as long as this instance lives; `None`: another instance holds it.
    pub async fn keep(&self, claim: Claim) -> Result<Option<Fence>, IndexError> {
        let Some(fence) = self.take(claim).await? else {
            return Ok(None);
        };
        Ok(match self {
            Self::Embedded(_) => Some(fence),
            // It may have been given up this moment.
            Self::Redis(engine) => match engine.leases.keep(claim) {
                Some(fence) => Some(fence),
                None => self.take(claim).await?.and_then(|_| engine.leases.keep(claim)),
            },
        })
    }

    /// The fence of a lease that is held here and not over, without asking the store.
    pub fn fence(&self, claim: Claim) -> Option<Fence> {
        match self {
            Self::Embedded(_) => Some(0),
            Self::Redis(engine) => engine.leases.fence(claim),
        }
    }

    /// Renews what is held, and forgets what is held no longer.
    pub async fn renew_leases(&self) -> Result<(), IndexError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(engine) => engine.renew_leases().await,
        }
    }

    /// Gives a lease up that is not kept, so that others need not wait for its end.
    pub async fn give_up(&self, claim: Claim) -> Result<(), IndexError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(engine) => engine.give_up(&[claim], false).await,
        }
    }

    /// Gives everything up.
    pub async fn give_up_all(&self) -> Result<(), IndexError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(engine) => engine.give_up(&engine.leases.held(), true).await,
        }
    }

    /// The register that the store has; of those who ask an empty one, the first names it.
    pub async fn register(&self, drawn: RegisterName) -> Result<RegisterName, IndexError> {
        match self {
            Self::Embedded(_) => Ok(drawn),
            Self::Redis(engine) => engine.register(drawn).await,
        }
    }

    /// Names the register anew: a journal that has publications knows it.
    pub async fn put_register(&self, register: RegisterName) -> Result<(), IndexError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(engine) => engine.put_register(register).await,
        }
    }

    /// Tells what a journal has.
    pub async fn post(&self, journal: Uuid, posting: &Posting) -> Result<(), IndexError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(engine) => engine.post(journal, posting).await,
        }
    }

    /// What the journals of the register have told.
    pub async fn postings(&self) -> Result<HashMap<Uuid, Posting>, IndexError> {
        match self {
            Self::Embedded(_) => Ok(HashMap::new()),
            Self::Redis(engine) => engine.postings().await,
        }
    }

    /// Lets those who live tell what they have once more.
    pub async fn forget_postings(&self) -> Result<(), IndexError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(engine) => engine.forget_postings().await,
        }
    }

    /// How far the build is.
    pub async fn phase(&self) -> Result<Phase, IndexError> {
        match self {
            Self::Embedded(_) => Ok(Phase::Closed),
            Self::Redis(engine) => engine.phase().await,
        }
    }

    /// Lets the build that was begun here go on to a phase.
    pub async fn enter(&self, phase: Phase) -> Result<(), IndexError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(engine) => engine.enter(phase).await,
        }
    }
}
