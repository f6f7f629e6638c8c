//! What banks deliver: into the journal, then by one switch into the index, then the receipt.

mod begun;
mod changes;
mod compaction;
#[cfg(test)]
mod fixture;
mod history;
mod incoming;
mod intake;
mod kfr;
mod lease;
mod refusal;
mod reseal;
mod retention;
mod rollback;
mod running;
mod space;
mod turns;
mod whole_set;

pub use incoming::{Incoming, Order, Repeat, Taking};
pub use intake::{Block, Identity, Line};
pub use kfr::{IncomingBatch, KfrEffect};
pub use refusal::{Conflict, DeliveryError, DeliveryRefusal};
pub use rollback::Discard;
pub use running::{Progress, Running, RunningDeliveries};
pub use turns::{Busy, Turn, TurnBounds, Turns};

use super::index_use::IndexUse;
use super::participants::{ParticipantsInForce, sets_with_records};
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::participants::Participant;
use crate::domain::relationship::{Register, SetId};
use crate::index::owner::Floor;
use crate::index::{Index, IndexError};
use crate::journal::{Journal, JournalError, JournalInForce, Receipt, Summary};
use crate::pseudonym::{PseudonymRing, Pseudonyms};
use crate::workers::Workers;
use chrono::NaiveDate;
use space::Space;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;
use uuid::Uuid;

/// A bank that may deliver to a set: its own, or its predecessor's. Only [`Delivery::admit`] makes it, and
/// [`Delivery::of_bank`] for operators.
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

/// How a delivery ends: with the receipt of what was published, or the reason why not.
type Taken = Result<Receipt, DeliveryRefusal>;

/// Bounds of deliveries.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryBounds {
    /// A whole set with fewer running records than this share of the present ones is refused. Percent.
    pub shrink_percent: u64,
    /// How long an idempotency key is bound.
    pub idempotency_days: i64,
    /// How long after its publication a whole set can be rolled back.
    pub rollback_days: i64,
    /// What ended longer ago is kept no longer.
    pub closed_years: u32,
    /// Deliveries are refused when the journal's disk has less left. Bytes.
    pub min_free_bytes: u64,
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
    pub running: RunningDeliveries,
    pub turns: Turns,
    pub workers: Workers,
    pub bounds: DeliveryBounds,
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

    /// A registered bank, as it delivers: for an operator, who acts for any.
    pub fn of_bank(&self, bank: OrganizationNumber) -> Option<BankCaller> {
        let participants = self.participants.load();
        let participant = participants.get(bank)?;
        Some(BankCaller {
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

    /// There is an index to write to. Whether it stands where the journal stands is seen to by the one who
    /// publishes: until then other deliveries may be on their way from one to the other.
    fn check_built(&self) -> Result<(), DeliveryError> {
        self.index.state().answerable().ok_or(IndexError::NotBuilt)?;
        Ok(())
    }

    /// The index can be written for a set: it is whole, and stands where the journal stands.
    fn check_level(&self, set: SetId) -> Result<(), DeliveryError> {
        let (state, journal) = (self.index.state(), self.journal()?);
        let marker = state.answerable().ok_or(IndexError::NotBuilt)?;
        let position = state.sets.get(&set).map_or(0, |state| state.position);
        // Beyond it stands what other journals have.
        if position >= journal.position(set) && marker.key == journal.key() {
            Ok(())
        } else {
            Err(DeliveryError::Behind)
        }
    }

    /// The room for a delivery, if there is any now.
    fn space(&self) -> Result<Space, DeliveryError> {
        let space = Space {
            journal: self.journal()?,
            min_free_bytes: self.bounds.min_free_bytes,
        };
        space.check()?;
        Ok(space)
    }

    /// A bank's receipt. It was filed, so it is there.
    async fn receipt(&self, bank: OrganizationNumber, delivery_id: Uuid) -> Taken {
        let read = move |of: &Self| Ok::<_, DeliveryError>(of.journal()?.receipt(bank, delivery_id)?);
        let receipt = self.read(read).await??;
        Ok(receipt.ok_or(JournalError::Corrupt("receipt"))?)
    }

    /// Publishes in a task of its own, so that a caller who goes away does not leave half a publication.
    async fn in_own_task<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, DeliveryError>> + Send + 'static,
    ) -> Result<T, DeliveryError> {
        // Not on the caller's own thread: that one ends at shutdown before publications have.
        let task = self.publications.spawn_on(work, &self.runtime);
        self.in_time(task).await?
    }

    /// Reads the journal's disk, which no thread may wait for that lookups wait for.
    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> Result<T, DeliveryError> {
        let delivery = self.clone();
        self.in_time(tokio::task::spawn_blocking(move || read(&delivery)))
            .await
    }

    async fn in_time<T>(&self, task: JoinHandle<T>) -> Result<T, DeliveryError> {
        match tokio::time::timeout(self.publish_timeout, task).await {
            Ok(done) => done.map_err(|_| DeliveryError::Panicked),
            Err(_) => Err(DeliveryError::TimedOut),
        }
    }
}

/// Counts the lines of a delivery that were not taken, whether it was published or not.
fn count_rejects(set: SetId, summary: &Summary) {
    let (bank, register) = (set.bank.to_string(), set.register.name());
    metrics::counter!("kundeforhold_rejects_total", "bank" => bank, "register" => register)
        .increment(summary.counts.rejected);
}
