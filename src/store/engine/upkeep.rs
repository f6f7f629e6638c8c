//! What a store needs beside work, whatever keeps it.

use super::Store;
use crate::clock::{Reading, TrustedClock};
use crate::domain::usage::{FormerDay, Seen};
use crate::store::{Kept, StoreError, StorePlace, postgres, sqlite};
use chrono::NaiveDate;

impl Store {
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

    /// Adds what this process has seen consumers ask about, and gives what others have of the day: all of it, or what they
    /// have added since a moment that an earlier call gave, with the moment to ask from next. On a file there are no others.
    pub async fn exchange_usage(
        &self,
        seen: &[Seen],
        today: NaiveDate,
        since: Option<i64>,
    ) -> Result<(Vec<Seen>, i64), StoreError> {
        match self {
            Self::Sqlite(_) => Ok((Vec::new(), 0)),
            Self::Postgres(store) => store.exchange_usage(seen, today, since).await,
        }
    }

    /// The counts of the days before one, over all processes that share the store.
    pub async fn former_usage(&self, today: NaiveDate) -> Result<Vec<FormerDay>, StoreError> {
        match self {
            Self::Sqlite(_) => Ok(Vec::new()),
            Self::Postgres(store) => store.former_usage(today).await,
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
}
