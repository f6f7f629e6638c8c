//! The store, whatever keeps it.

mod lock;
mod rekey;
mod upkeep;

pub use lock::{KeptCalls, Merge, OfAgreement, SetLock, SortedRecords, Written};
pub use rekey::Rekeyed;

use super::{
    Basis, Begun, DeliveryEnd, Found, KeyUse, Publications, Receipt, RowKey, Sets, Standing, StoreError,
    StoreOptions, StorePlace, postgres, sqlite,
};
use crate::domain::delivery::{DeliveryKind, PublicationId, Reject};
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::overview::{HeldAccount, HeldRelationship};
use crate::domain::relationship::SetId;
use crate::pseudonym::{PseudonymRing, UnderEachKey};
use chrono::{DateTime, Utc};
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
            // Apart, so that what waits for a file, which never waits, stays small.
            Self::Postgres(store) => Box::pin(store.relationships(customer)).await,
        }
    }

    /// All records that carry an account.
    pub async fn accounts(&self, account: &UnderEachKey) -> Result<Found<HeldAccount>, StoreError> {
        match self {
            Self::Sqlite(store) => store.accounts(account),
            Self::Postgres(store) => Box::pin(store.accounts(account)).await,
        }
    }

    /// What an answer stands on if what was read at a publication is still what the store has for a customer or account, as
    /// far as this process knows.
    pub fn holding(&self, at: PublicationId, sought: &UnderEachKey) -> Option<Basis> {
        let sets = match self {
            Self::Sqlite(store) => store.holding(at, sought),
            Self::Postgres(store) => store.holding(at, sought),
        };
        sets.map(|sets| Basis {
            at,
            tags: sought.tags().collect(),
            sets,
        })
    }

    /// Whether each answer may be given that was made just now: whether no publication before this call changes it. Not for
    /// threads that answer.
    pub fn confirm(&self, bases: &[&Basis]) -> Result<Vec<bool>, StoreError> {
        match self {
            // The only process that publishes knew all along.
            Self::Sqlite(_) => Ok(vec![true; bases.len()]),
            Self::Postgres(store) => store.confirm(bases),
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

    /// Whether a set stands under a key that the process was not given: another has brought it there.
    pub fn lacks_key(&self) -> bool {
        match self {
            Self::Sqlite(_) => false,
            Self::Postgres(store) => store.lacks_key(),
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

    /// The file that it is in, if it is in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Sqlite(store) => Some(store.path()),
            Self::Postgres(_) => None,
        }
    }

    /// Its file, or where its database is; never a user or a password.
    pub fn place(&self) -> String {
        match self {
            Self::Sqlite(store) => store.path().display().to_string(),
            Self::Postgres(store) => store.shown().to_owned(),
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

    /// Ends what writes, after what waits for it. Not for threads that answer.
    pub fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close(),
            Self::Postgres(store) => store.close(),
        }
    }
}
