//! The store, whatever keeps it.

use super::{
    Begun, DeliveryEnd, Found, Kept, KeyUse, Publication, Publications, Published, Receipt, RowWrite,
    SealedRecord, SetChange, SetState, Sets, Standing, StoreError, StoreOptions, StorePlace,
};
use super::{postgres, sqlite};
use crate::domain::delivery::{DeliveryKind, PublicationId, Reject};
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::overview::{HeldAccount, HeldRelationship};
use crate::domain::relationship::SetId;
use crate::pseudonym::{KeyFingerprint, Sealed, SealedAgreement, Tag};
use chrono::{DateTime, Utc};
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// The register in its database. Cheap to clone.
#[derive(Clone)]
pub enum Store {
    /// A file that this process serves alone.
    Sqlite(sqlite::Store),
    /// A database that any number of processes serve.
    Postgres(postgres::Store),
}

impl Store {
    /// Opens the store, made and brought up to this program's schema if need be.
    pub async fn open(options: &StoreOptions, key: KeyFingerprint) -> Result<Self, StoreError> {
        match &options.place {
            StorePlace::Sqlite(path) => sqlite::Store::open(path, options, key).map(Self::Sqlite),
            StorePlace::Postgres(place) => postgres::Store::open(place, options, key)
                .await
                .map(Self::Postgres),
        }
    }

    /// Looks at a store without serving it: how its sets stand, if this program and this key may serve it. `None`: there
    /// is none yet.
    pub async fn look(place: &StorePlace, key: KeyFingerprint) -> Result<Option<Sets>, StoreError> {
        match place {
            StorePlace::Sqlite(path) => sqlite::Store::look(path, key),
            StorePlace::Postgres(place) => postgres::Store::look(place, key).await,
        }
    }

    /// Brings a store's schema up to this program, made if need be.
    pub async fn migrate(place: &StorePlace) -> Result<(), StoreError> {
        match place {
            StorePlace::Sqlite(path) => sqlite::Store::migrate(path),
            StorePlace::Postgres(place) => postgres::Store::migrate(place).await,
        }
    }

    /// All records of a customer.
    pub async fn relationships(&self, customer: &Sealed) -> Result<Found<HeldRelationship>, StoreError> {
        match self {
            Self::Sqlite(store) => store.relationships(customer),
            Self::Postgres(store) => store.relationships(customer).await,
        }
    }

    /// All records that carry an account.
    pub async fn accounts(&self, account: &Sealed) -> Result<Found<HeldAccount>, StoreError> {
        match self {
            Self::Sqlite(store) => store.accounts(account),
            Self::Postgres(store) => store.accounts(account).await,
        }
    }

    /// How the sets stand, if what was read at a publication is still what the store has for a tag.
    pub async fn holding(&self, at: PublicationId, tag: Tag) -> Result<Option<Arc<Sets>>, StoreError> {
        match self {
            Self::Sqlite(store) => Ok(store.holding(at, tag)),
            Self::Postgres(store) => store.holding(at, tag).await,
        }
    }

    /// A customer's records, each with its set.
    pub async fn relationships_by_set(
        &self,
        customer: &Sealed,
    ) -> Result<Vec<(SetId, HeldRelationship)>, StoreError> {
        match self {
            Self::Sqlite(store) => {
                let customer = customer.clone();
                store
                    .apart(move |store| store.relationships_by_set(&customer))
                    .await
            }
            Self::Postgres(store) => store.relationships_by_set(customer).await,
        }
    }

    /// How the sets stand.
    pub fn sets(&self) -> Arc<Sets> {
        match self {
            Self::Sqlite(store) => store.sets(),
            Self::Postgres(store) => store.sets(),
        }
    }

    /// The publications of late: which entries of a cache still hold.
    pub fn publications(&self) -> &Publications {
        match self {
            Self::Sqlite(store) => store.publications(),
            Self::Postgres(store) => store.publications(),
        }
    }

    /// Waits so long for the lock of a set, and for the removal of what a broken-off merge has left in it.
    ///
    /// # Errors
    /// [`StoreError::SetBusy`] when the time is over; a removal under way goes on.
    pub async fn lock(&self, set: SetId, wait: Duration) -> Result<SetLock, StoreError> {
        match self {
            Self::Sqlite(store) => store.lock(set, wait).await.map(SetLock::Sqlite),
            Self::Postgres(store) => store
                .lock(set, wait)
                .await
                .map(|lock| SetLock::Postgres(Box::new(lock))),
        }
    }

    /// Files the end of a delivery that is being received, and gives its receipt.
    pub async fn end_delivery(&self, delivery: Uuid, end: DeliveryEnd) -> Result<Receipt, StoreError> {
        match self {
            Self::Sqlite(store) => store.end_delivery(delivery, end).await,
            Self::Postgres(store) => store.end_delivery(delivery, end).await,
        }
    }

    /// Files a batch that was refused, and gives its receipt. A batch has a row once it ends, since it keeps out no other
    /// delivery.
    pub async fn file_refused_batch(&self, begun: Begun, end: DeliveryEnd) -> Result<Receipt, StoreError> {
        match self {
            Self::Sqlite(store) => store.file_refused_batch(begun, end).await,
            Self::Postgres(store) => store.file_refused_batch(begun, end).await,
        }
    }

    /// Up to `limit` receipts of a bank, newest first, of deliveries before one.
    pub async fn receipts(
        &self,
        bank: OrganizationNumber,
        limit: usize,
        before: Option<Uuid>,
    ) -> Result<Vec<Receipt>, StoreError> {
        match self {
            Self::Sqlite(store) => {
                store
                    .apart(move |store| store.receipts(bank, limit, before))
                    .await
            }
            Self::Postgres(store) => store.receipts(bank, limit, before).await,
        }
    }

    /// A bank's receipt; `None`: it has no such delivery.
    pub async fn receipt(
        &self,
        bank: OrganizationNumber,
        delivery: Uuid,
    ) -> Result<Option<Receipt>, StoreError> {
        match self {
            Self::Sqlite(store) => store.apart(move |store| store.receipt(bank, delivery)).await,
            Self::Postgres(store) => store.receipt(bank, delivery).await,
        }
    }

    /// The first of a delivery's rejected lines.
    pub async fn rejects(&self, delivery: Uuid) -> Result<Vec<Reject>, StoreError> {
        match self {
            Self::Sqlite(store) => store.apart(move |store| store.rejects(delivery)).await,
            Self::Postgres(store) => store.rejects(delivery).await,
        }
    }

    /// The delivery that an idempotency key is bound to, of those received since then. One that was abandoned or
    /// rolled back binds none.
    pub async fn key_use(
        &self,
        set: SetId,
        kind: DeliveryKind,
        key: [u8; 32],
        since: DateTime<Utc>,
    ) -> Result<Option<KeyUse>, StoreError> {
        match self {
            Self::Sqlite(store) => {
                store
                    .apart(move |store| store.key_use(set, kind, &key, since))
                    .await
            }
            Self::Postgres(store) => store.key_use(set, kind, &key, since).await,
        }
    }

    /// When a whole set was published, its version, and how its set stood before.
    pub async fn whole_set(
        &self,
        delivery: Uuid,
    ) -> Result<Option<(DateTime<Utc>, u64, Standing)>, StoreError> {
        match self {
            Self::Sqlite(store) => store.apart(move |store| store.whole_set(delivery)).await,
            Self::Postgres(store) => store.whole_set(delivery).await,
        }
    }

    /// The deliveries that changed a set after a version, oldest first.
    pub async fn published_after(&self, set: SetId, version: u64) -> Result<Vec<Uuid>, StoreError> {
        match self {
            Self::Sqlite(store) => {
                store
                    .apart(move |store| store.published_after(set, version))
                    .await
            }
            Self::Postgres(store) => store.published_after(set, version).await,
        }
    }

    /// Records of a set after each of its last deliveries, oldest first.
    pub async fn trend(&self, set: SetId, points: usize) -> Result<Vec<(DateTime<Utc>, u64)>, StoreError> {
        match self {
            Self::Sqlite(store) => store.apart(move |store| store.trend(set, points)).await,
            Self::Postgres(store) => store.trend(set, points).await,
        }
    }

    /// Lines that a set's last V2 delivery or batch had rejected; `None`: none has ended.
    pub async fn last_rejected(&self, set: SetId) -> Result<Option<u64>, StoreError> {
        match self {
            Self::Sqlite(store) => store.apart(move |store| store.last_rejected(set)).await,
            Self::Postgres(store) => store.last_rejected(set).await,
        }
    }

    /// Removes what is kept no longer: receipts, rejects, publications, and rows of versions that nobody goes back to.
    /// Gives how many rows went. Reads all rows; not for threads that answer.
    pub fn purge(&self, kept: &Kept) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(store) => store.purge(kept),
            Self::Postgres(store) => store.purge(kept),
        }
    }

    /// Removes what broken-off merges have left, where nobody else is at it.
    pub async fn sweep(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.sweep().await,
            // What a transaction has not committed is not there.
            Self::Postgres(_) => Ok(()),
        }
    }

    /// Whether the last write went well.
    pub fn is_writable(&self) -> bool {
        match self {
            Self::Sqlite(store) => store.is_writable(),
            Self::Postgres(store) => store.is_writable(),
        }
    }

    /// Tries whether the store can be written again.
    pub async fn probe(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.probe().await,
            Self::Postgres(store) => store.probe().await,
        }
    }

    /// What it takes on its disk.
    pub async fn bytes(&self) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(store) => store.apart(sqlite::Store::bytes).await,
            Self::Postgres(store) => store.bytes().await,
        }
    }

    /// Ends what writes, after what waits for it. Not for threads that answer.
    pub fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close(),
            Self::Postgres(store) => store.close(),
        }
    }
}

/// The right to write a set, until it is dropped. No rows beyond the set's version stand.
pub enum SetLock {
    Sqlite(sqlite::SetLock),
    Postgres(Box<postgres::SetLock>),
}

impl SetLock {
    /// The set.
    pub fn set(&self) -> SetId {
        match self {
            Self::Sqlite(lock) => lock.set(),
            Self::Postgres(lock) => lock.set(),
        }
    }

    /// How the set stands. Nobody else changes it.
    pub fn state(&self) -> Result<SetState, StoreError> {
        match self {
            Self::Sqlite(lock) => lock.state(),
            Self::Postgres(lock) => Ok(lock.state().clone()),
        }
    }

    /// A customer's records of an agreement that are in force: those that a change can concern.
    pub async fn records_of(
        &self,
        customer: &Sealed,
        agreement: &SealedAgreement,
    ) -> Result<Vec<SealedRecord>, StoreError> {
        match self {
            Self::Sqlite(lock) => lock.records_of(customer, agreement),
            Self::Postgres(lock) => lock.records_of(customer, agreement).await,
        }
    }

    /// Whether calls have to hold in a whole set that is being received.
    pub async fn is_receiving_whole_set(&self) -> Result<bool, StoreError> {
        match self {
            Self::Sqlite(lock) => lock.is_receiving_whole_set(),
            Self::Postgres(lock) => lock.is_receiving_whole_set().await,
        }
    }

    /// Files that a delivery begins; `Err` names the one that is being received already. The lock is given up then: from
    /// here on calls find the delivery.
    pub async fn begin(self, begun: Begun) -> Result<Result<(), Uuid>, StoreError> {
        match self {
            Self::Sqlite(lock) => lock.begin(begun).await,
            Self::Postgres(lock) => lock.begin(begun).await,
        }
    }

    /// Puts changes in force. The lock is held until it is known whether they are.
    pub async fn publish(self, publication: Publication) -> Result<Published, StoreError> {
        match self {
            Self::Sqlite(lock) => lock.publish(publication).await,
            Self::Postgres(lock) => lock.publish(publication).await,
        }
    }

    /// Begins to write the next version. Not for threads that answer, nor is what it begins.
    pub fn merge(self) -> Result<Merge, StoreError> {
        match self {
            Self::Sqlite(lock) => lock.merge().map(Merge::Sqlite),
            Self::Postgres(lock) => lock.merge().map(Merge::Postgres),
        }
    }
}

/// A version of a set that is being written. Dropped before it is published, it leaves nothing that is ever seen.
/// Not for threads that answer.
pub enum Merge {
    Sqlite(sqlite::Merge),
    Postgres(postgres::Merge),
}

impl Merge {
    /// How the set stands.
    pub fn state(&self) -> &SetState {
        match self {
            Self::Sqlite(merge) => merge.state(),
            Self::Postgres(merge) => merge.state(),
        }
    }

    /// A customer's records of an agreement, unless they were written already.
    pub fn records_of(
        &self,
        customer: &Sealed,
        agreement: &SealedAgreement,
    ) -> Result<Vec<SealedRecord>, StoreError> {
        match self {
            Self::Sqlite(merge) => merge.records_of(customer, agreement),
            Self::Postgres(merge) => merge.records_of(customer, agreement),
        }
    }

    /// The set's records at a version that is kept.
    pub fn records_at(&self, version: u64) -> SortedRecords {
        match self {
            Self::Sqlite(merge) => SortedRecords::Sqlite(merge.records_at(version)),
            Self::Postgres(merge) => SortedRecords::Postgres(merge.records_at(version)),
        }
    }

    /// The calls that were kept for a whole set.
    pub fn calls(&self) -> KeptCalls {
        match self {
            Self::Sqlite(merge) => KeptCalls::Sqlite(merge.calls()),
            Self::Postgres(merge) => KeptCalls::Postgres(merge.calls()),
        }
    }

    /// Writes what differs between the set as it stands and records in the order of rows, each identity once.
    pub fn replace<E: From<StoreError>>(
        &mut self,
        next: impl FnMut() -> Result<Option<SealedRecord>, E>,
    ) -> Result<(), E> {
        match self {
            Self::Sqlite(merge) => merge.replace(next),
            Self::Postgres(merge) => merge.replace(next),
        }
    }

    /// Makes the records of a version that is kept stand again.
    pub fn restore(&mut self, version: u64) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(merge) => {
                let mut records = merge.records_at(version);
                merge.replace(|| records.next_record())
            }
            Self::Postgres(merge) => merge.restore(version),
        }
    }

    /// Takes a row's change.
    pub fn write(&mut self, write: RowWrite) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(merge) => merge.write(write),
            Self::Postgres(merge) => merge.write(write),
        }
    }

    /// Keeps calls for the whole set that is being received, if there is one.
    pub fn keep_calls(&mut self, calls: Vec<SetChange>) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(merge) => merge.keep_calls(calls),
            Self::Postgres(merge) => merge.keep_calls(calls),
        }
    }

    /// Writes what is left.
    pub fn finish(self) -> Result<Written, StoreError> {
        match self {
            Self::Sqlite(merge) => merge.finish().map(Written::Sqlite),
            Self::Postgres(merge) => merge.finish().map(Written::Postgres),
        }
    }
}

/// A version that is written, and not in force yet.
pub enum Written {
    Sqlite(sqlite::Written),
    Postgres(postgres::Written),
}

impl Written {
    /// How the set stood.
    pub fn state(&self) -> &SetState {
        match self {
            Self::Sqlite(written) => written.state(),
            Self::Postgres(written) => written.state(),
        }
    }

    /// Puts the version in force: from here on every lookup reads it. The lock is held until it is known what became of
    /// it, whoever waits.
    pub async fn publish(self, publication: Publication) -> Result<Published, StoreError> {
        match self {
            Self::Sqlite(written) => written.publish(publication).await,
            Self::Postgres(written) => written.publish(publication).await,
        }
    }
}

/// The calls that were kept for a whole set, and are in force.
pub enum KeptCalls {
    Sqlite(sqlite::KeptCalls),
    Postgres(postgres::KeptCalls),
}

impl KeptCalls {
    /// Those of the next so many customers after one, in the order of rows and in that of the calls.
    pub fn of_customers_after(&self, after: &[u8], most: usize) -> Result<Vec<SetChange>, StoreError> {
        match self {
            Self::Sqlite(calls) => calls.of_customers_after(after, most),
            Self::Postgres(calls) => calls.of_customers_after(after, most),
        }
    }
}

/// A set's records at one version, in the order of customer, agreement and first day.
pub enum SortedRecords {
    Sqlite(sqlite::SortedRecords),
    Postgres(postgres::SortedRecords),
}

impl SortedRecords {
    /// The next record; `None` at the end.
    pub fn next_record(&mut self) -> Result<Option<SealedRecord>, StoreError> {
        match self {
            Self::Sqlite(records) => records.next_record(),
            Self::Postgres(records) => records.next_record(),
        }
    }
}
