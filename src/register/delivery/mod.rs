//! What banks deliver: into the journal, then by one switch into the index, then the receipt.

mod kfr;
mod whole_set;

pub use kfr::{AddedCustomer, KfrEffect};
pub use whole_set::{IncomingSet, RejectedLine, WholeSetRefusal};

use super::index_use::IndexUse;
use super::participants::{ParticipantsInForce, sets_with_records};
use super::replay::{self, ReplayError};
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::participants::Participant;
use crate::domain::relationship::{Register, SetId};
use crate::index::owner::Floor;
use crate::index::{Index, IndexError};
use crate::journal::{Counts, Journal, JournalError, JournalInForce, Journalled};
use crate::pseudonym::{PseudonymRing, Pseudonyms};
use chrono::{DateTime, NaiveDate, Utc};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// A bank that may deliver to a set: its own, or its predecessor's. Only [`Delivery::admit`] makes it.
#[derive(Debug, Clone)]
pub struct BankCaller {
    bank: OrganizationNumber,
    kfr_role: crate::domain::relationship::Role,
    registers: Vec<Register>,
}

impl BankCaller {
    /// The bank whose sets are delivered to.
    pub fn bank(&self) -> OrganizationNumber {
        self.bank
    }

    /// The bank's set in a register, if it takes part in it; by default its only register, else KAR.
    pub fn set(&self, register: Option<Register>) -> Option<SetId> {
        let register = match (register, self.registers.as_slice()) {
            (Some(register), registers) => registers.contains(&register).then_some(register)?,
            (None, [only]) => *only,
            (None, _) => Register::Kar,
        };
        Some(SetId {
            bank: self.bank,
            register,
        })
    }
}

/// Why a consumer may not deliver for a bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdmitted {
    /// Neither the bank itself nor its successor.
    OtherBank,
    /// Not registered, or paused by the operator.
    NotParticipating,
}

/// Why a delivery failed. It left no trace in answers, or is completed as a whole when the fault has passed.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("the index is not ready for deliveries: {0}")]
    Index(#[from] IndexError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the index could not follow the journal: {0}")]
    Replay(#[from] ReplayError),
    #[error("this instance takes no deliveries")]
    NoJournal,
    #[error("the index is being brought up to date with the journal")]
    Behind,
    #[error("publishing took longer than the caller may wait")]
    TimedOut,
    #[error("publishing ended in a defect")]
    Panicked,
}

/// What a bank gets for a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub delivery_id: Uuid,
    pub register: Register,
    pub state: ReceiptState,
    pub received_at: DateTime<Utc>,
    pub published_at: Option<DateTime<Utc>>,
    pub counts: Counts,
    /// SHA-256 of the decoded body.
    pub sha256: [u8; 32],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptState {
    Published,
    Rejected,
}

impl Receipt {
    /// Only what the journal has can be acknowledged.
    fn published(set: SetId, journalled: &Journalled) -> Self {
        let publication = journalled.publication();
        Self {
            delivery_id: publication.delivery_id,
            register: set.register,
            state: ReceiptState::Published,
            received_at: publication.received_at,
            published_at: Some(publication.published_at),
            counts: publication.counts,
            sha256: publication.sha256,
        }
    }
}

/// One delivery at a time is published to a set; the guard is held from the first look at the set to the end.
#[derive(Clone, Default)]
pub struct SetLocks(Arc<Mutex<HashMap<SetId, Arc<tokio::sync::Mutex<()>>>>>);

impl SetLocks {
    fn of(&self, set: SetId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(locks.entry(set).or_default())
    }

    pub async fn lock(&self, set: SetId) -> OwnedMutexGuard<()> {
        self.of(set).lock_owned().await
    }

    pub fn try_lock(&self, set: SetId) -> Option<OwnedMutexGuard<()>> {
        self.of(set).try_lock_owned().ok()
    }
}

/// Takes deliveries.
#[derive(Clone)]
pub struct Delivery {
    pub index: Index,
    /// `None`: this instance only answers lookups.
    pub journal: Option<JournalInForce>,
    /// The journal says under which of them is written.
    pub keys: PseudonymRing,
    pub participants: ParticipantsInForce,
    pub locks: SetLocks,
    pub index_use: IndexUse,
    /// What the index may not fall behind.
    pub floor: Floor,
    /// Publications go on when their caller has gone away; shutdown waits for them.
    pub publications: TaskTracker,
    /// Where publications run.
    pub runtime: tokio::runtime::Handle,
    /// Longest wait of a caller for its publication.
    pub publish_timeout: Duration,
}

impl Delivery {
    /// Admits a consumer to a bank's sets: the bank itself or, once merged, its successor.
    pub fn admit(
        &self,
        consumer: OrganizationNumber,
        bank: OrganizationNumber,
        today: NaiveDate,
    ) -> Result<BankCaller, NotAdmitted> {
        let participants = self.participants.load();
        let open = |number| participants.get(number).filter(|participant| !participant.paused);
        let answers_for = |participant: &Participant| participant.organization == consumer;
        if consumer != bank && !participants.answering_for(bank, today).is_some_and(answers_for) {
            return Err(NotAdmitted::OtherBank);
        }
        let (Some(_), Some(participant)) = (open(consumer), open(bank)) else {
            return Err(NotAdmitted::NotParticipating);
        };
        Ok(BankCaller {
            bank,
            kfr_role: participant.kfr_role,
            registers: participant.registers.clone(),
        })
    }

    /// The sets that a participants list may not drop.
    pub fn sets_with_records(&self) -> BTreeSet<SetId> {
        let journal = self.journal.as_ref().map(JournalInForce::load);
        sets_with_records(journal.as_deref(), &self.index)
    }

    /// The journal in force: one and the same for as long as a delivery is being published.
    fn journal(&self) -> Result<Arc<Journal>, DeliveryError> {
        let journal = self.journal.as_ref().ok_or(DeliveryError::NoJournal)?;
        Ok(journal.load())
    }

    /// The pseudonyms that a journal is written with.
    fn pseudonyms(&self, journal: &Journal) -> Result<Arc<Pseudonyms>, DeliveryError> {
        let pseudonyms = self.keys.under(journal.key());
        Ok(pseudonyms.ok_or(JournalError::OtherKey)?)
    }

    /// The index can be written for a set: it is whole, and stands where the journal stands.
    fn check_level(&self, set: SetId) -> Result<(), DeliveryError> {
        let (state, journal) = (self.index.state(), self.journal()?);
        let marker = state.answerable().ok_or(IndexError::NotBuilt)?;
        let position = state.sets.get(&set).map_or(0, |state| state.position);
        if position == journal.position(set) && marker.key == journal.key() {
            Ok(())
        } else {
            Err(DeliveryError::Behind)
        }
    }

    /// Publishes in a task of its own, so that a caller who goes away does not leave half a publication.
    async fn in_own_task<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, DeliveryError>> + Send + 'static,
    ) -> Result<T, DeliveryError> {
        // Not on the caller's own thread: that one ends at shutdown before publications have.
        let task = self.publications.spawn_on(work, &self.runtime);
        match tokio::time::timeout(self.publish_timeout, task).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err(DeliveryError::Panicked),
            Err(_) => Err(DeliveryError::TimedOut),
        }
    }

    /// Journal, then index. The set's lock is held by the caller of this function.
    async fn publish(
        &self,
        set: SetId,
        delivery: crate::journal::Delivery,
        _only_publisher: &OwnedMutexGuard<()>,
    ) -> Result<Journalled, DeliveryError> {
        let journal = self.journal()?;
        let journalled = journal.publish(set, delivery).await?;
        replay::apply(&journal, &self.index, set, &journalled).await?;
        self.floor.raise(set, journalled.publication().position);
        metrics::counter!("kundeforhold_deliveries_published_total", "bank" => set.bank.to_string())
            .increment(1);
        Ok(journalled)
    }
}
