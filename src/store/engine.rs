//! The store, whatever keeps it.

use super::{
    Begun, DeliveryEnd, Found, Kept, KeyUse, Publication, Publications, Published, Receipt, Rekey, RowKey,
    RowWrite, SealedRecord, SetChange, SetState, Sets, Standing, StoreError, StoreOptions, StorePlace, Tally,
};
use super::{postgres, sqlite};
use crate::clock::{Reading, TrustedClock};
use crate::domain::delivery::{DeliveryKind, PublicationId, Reject};
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::overview::{HeldAccount, HeldRelationship};
use crate::domain::relationship::SetId;
use crate::pseudonym::{PseudonymRing, Sealed, SealedAgreement, UnderEachKey};
use chrono::{DateTime, NaiveDate, Utc};
use std::path::Path;
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
    pub async fn open(options: &StoreOptions, given: Arc<PseudonymRing>) -> Result<Self, StoreError> {
        match &options.place {
            StorePlace::Sqlite(path) => sqlite::Store::open(path, options, given).map(Self::Sqlite),
            StorePlace::Postgres(place) => postgres::Store::open(place, options, given)
                .await
                .map(Self::Postgres),
        }
    }

    /// Looks at a store without serving it: how its sets stand, if this program may serve it with these keys. `None`:
    /// there is none yet.
    pub async fn look(place: &StorePlace, given: &PseudonymRing) -> Result<Option<Sets>, StoreError> {
        match place {
            StorePlace::Sqlite(path) => sqlite::Store::look(path, given),
            StorePlace::Postgres(place) => postgres::Store::look(place, given).await,
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
    pub async fn relationships(
        &self,
        customer: &UnderEachKey,
    ) -> Result<Found<HeldRelationship>, StoreError> {
        match self {
            Self::Sqlite(store) => store.relationships(customer),
            Self::Postgres(store) => store.relationships(customer).await,
        }
    }

    /// All records that carry an account.
    pub async fn accounts(&self, account: &UnderEachKey) -> Result<Found<HeldAccount>, StoreError> {
        match self {
            Self::Sqlite(store) => store.accounts(account),
            Self::Postgres(store) => store.accounts(account).await,
        }
    }

    /// How the sets stand, if what was read at a publication is still what the store has for a customer or account.
    pub async fn holding(
        &self,
        at: PublicationId,
        sought: &UnderEachKey,
    ) -> Result<Option<Arc<Sets>>, StoreError> {
        match self {
            Self::Sqlite(store) => Ok(store.holding(at, sought)),
            Self::Postgres(store) => store.holding(at, sought).await,
        }
    }

    /// A customer's records, each with its set.
    pub async fn relationships_by_set(
        &self,
        customer: &UnderEachKey,
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

    /// The keys that the process was given: what is looked up is sealed under each.
    pub fn given(&self) -> &PseudonymRing {
        match self {
            Self::Sqlite(store) => store.given(),
            Self::Postgres(store) => store.given(),
        }
    }

    /// What rows of a set are sealed with, or will be. Another by the time they are written, if a rekey comes between.
    pub fn key_of(&self, set: SetId) -> Result<RowKey, StoreError> {
        match self {
            Self::Sqlite(store) => store.key_of(set),
            Self::Postgres(store) => store.key_of(set),
        }
    }

    /// Several processes may serve it.
    pub fn is_shared(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(_) => true,
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

    /// Receipts of deliveries that took effect since then, single KFR calls left out. Those that were begun more than a
    /// day before are not looked for.
    pub async fn published_since(&self, since: DateTime<Utc>) -> Result<Vec<Receipt>, StoreError> {
        match self {
            Self::Sqlite(store) => store.apart(move |store| store.published_since(since)).await,
            Self::Postgres(store) => store.published_since(since).await,
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
    pub fn purge(&self, kept: &Kept, clock: &TrustedClock) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(store) => store.purge(kept, clock),
            Self::Postgres(store) => store.purge(kept, clock),
        }
    }

    /// Erases what ended more than so many years ago. Gives how many rows went. Once that is done for a day, nothing is
    /// left to be erased that day. Reads all rows; not for threads that answer.
    pub fn erase(&self, closed_years: u32, clock: &TrustedClock) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(store) => store.erase(closed_years, clock),
            Self::Postgres(store) => store.erase(closed_years, clock),
        }
    }

    /// Judges the machine's clock, and notes that it is right. Not for threads that answer.
    pub fn judge_clock(&self) -> Result<TrustedClock, StoreError> {
        match self {
            Self::Sqlite(store) => store.judge_clock(),
            Self::Postgres(store) => store.judge_clock(),
        }
    }

    /// Judges the machine's clock by what a store says; a service may run meanwhile.
    pub async fn look_at_clock(place: &StorePlace) -> Result<TrustedClock, StoreError> {
        match place {
            StorePlace::Sqlite(path) => sqlite::Store::look_at_clock(path),
            StorePlace::Postgres(place) => postgres::Store::look_at_clock(place).await,
        }
    }

    /// Notes that an operator finds the clock right as it is; a service may run meanwhile.
    pub async fn confirm_clock(place: &StorePlace) -> Result<Reading, StoreError> {
        match place {
            StorePlace::Sqlite(path) => sqlite::Store::confirm_clock(path),
            StorePlace::Postgres(place) => postgres::Store::confirm_clock(place).await,
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

    /// The file that it is in; none of a register in PostgreSQL.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(store) => Some(store.path()),
            Self::Postgres(_) => None,
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

/// A change of the pseudonym key.
impl Store {
    /// How far a rekey has come; a service may be at it meanwhile.
    pub async fn look_at_rekey(place: &StorePlace, given: &PseudonymRing) -> Result<Rekey, StoreError> {
        match place {
            StorePlace::Sqlite(path) => sqlite::Store::look_at_rekey(path, given),
            StorePlace::Postgres(place) => postgres::Store::look_at_rekey(place, given).await,
        }
    }

    /// Asks that all sets be brought under the next key, by whoever serves the store. Only if that one has it.
    pub async fn ask_for_rekey(place: &StorePlace, given: &PseudonymRing) -> Result<Rekey, StoreError> {
        match place {
            StorePlace::Sqlite(path) => sqlite::Store::ask_for_rekey(path, given),
            StorePlace::Postgres(place) => postgres::Store::ask_for_rekey(place, given).await,
        }
    }

    /// The sets that are still to be brought under the next key; `None`: no rekey was asked for.
    pub async fn sets_to_rekey(&self) -> Result<Option<Vec<SetId>>, StoreError> {
        match self {
            Self::Sqlite(store) => store.sets_to_rekey(),
            Self::Postgres(store) => store.sets_to_rekey().await,
        }
    }

    /// Prepares that a set be put under the next key. `None`: it stands under it already. Not for threads that answer.
    pub fn copy_under_next_key(&self, set: SetId) -> Result<Option<Rekeyed>, StoreError> {
        match self {
            Self::Sqlite(store) => Ok(store.copy_under_next_key(set)?.map(Rekeyed::Sqlite)),
            Self::Postgres(store) => Ok(store.rekeyed(set)?.map(Rekeyed::Postgres)),
        }
    }

    /// Removes the rows of a set that are not under its key. Not for threads that answer.
    pub fn clear_other_keys(&self, set: SetId) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => store.clear_other_keys(set),
            // They are sealed anew where they are.
            Self::Postgres(_) => Ok(()),
        }
    }

    /// The former key is no longer in use, if all sets are under the next one, and nothing is left of what it has made.
    pub async fn retire_former_key(&self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(store) => {
                store.apart(sqlite::Store::forget_publications).await?;
                store.retire_former_key().await?;
                store.apart(sqlite::Store::truncate_log).await
            }
            Self::Postgres(store) => store.retire_former_key().await,
        }
    }
}

/// A set that is prepared to be put under the next key.
pub enum Rekeyed {
    Sqlite(sqlite::Rekeyed),
    Postgres(postgres::Rekeyed),
}

impl Rekeyed {
    /// Puts it under the next key. Not for threads that answer.
    pub fn put_in_force(self, lock: SetLock) -> Result<(), StoreError> {
        match (self, lock) {
            (Self::Sqlite(copy), SetLock::Sqlite(lock)) => copy.put_in_force(lock),
            (Self::Postgres(rekeyed), SetLock::Postgres(lock)) => rekeyed.put_in_force(*lock),
            (Self::Sqlite(_), SetLock::Postgres(_)) | (Self::Postgres(_), SetLock::Sqlite(_)) => {
                Err(StoreError::Damaged("a lock of another store"))
            }
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

    /// What its rows are sealed with, for as long as the lock is held.
    pub fn key(&self) -> Result<RowKey, StoreError> {
        match self {
            Self::Sqlite(lock) => lock.key(),
            Self::Postgres(lock) => lock.key(),
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
            Self::Sqlite(lock) => lock.merge().map(|merge| Merge::Sqlite(Box::new(merge))),
            Self::Postgres(lock) => lock.merge().map(|merge| Merge::Postgres(Box::new(merge))),
        }
    }
}

/// A version of a set that is being written. Dropped before it is published, it leaves nothing that is ever seen.
/// Not for threads that answer.
pub enum Merge {
    Sqlite(Box<sqlite::Merge>),
    Postgres(Box<postgres::Merge>),
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

    /// Makes the records of a version that is kept stand again, and counts them: some may be erased by now.
    pub fn restore(&mut self, version: u64, today: NaiveDate) -> Result<Tally, StoreError> {
        match self {
            Self::Sqlite(merge) => {
                let (mut records, mut tally) = (merge.records_at(version), Tally::default());
                merge.replace(|| {
                    let next = records.next_record()?;
                    next.iter().for_each(|record| tally.add(record, today));
                    Ok::<_, StoreError>(next)
                })?;
                Ok(tally)
            }
            Self::Postgres(merge) => merge.restore(version, today),
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
            Self::Sqlite(merge) => merge.finish().map(|written| Written::Sqlite(Box::new(written))),
            Self::Postgres(merge) => merge.finish().map(|written| Written::Postgres(Box::new(written))),
        }
    }
}

/// A version that is written, and not in force yet.
pub enum Written {
    Sqlite(Box<sqlite::Written>),
    Postgres(Box<postgres::Written>),
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
