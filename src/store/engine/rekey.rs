//! A change of the pseudonym key, whatever keeps the rows.

use super::{SetLock, Store};
use crate::domain::relationship::SetId;
use crate::pseudonym::PseudonymRing;
use crate::store::{Rekey, StoreError, StorePlace, postgres, sqlite};

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
