//! Why the store does not do what it is asked.

use crate::clock::ClockJumped;
use std::path::PathBuf;

/// Why the store does not do what it is asked. Names no identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A whole set is being put in force, or what a broken-off one left is being removed.
    #[error("the set is being written; it took longer than `delivery.call_wait_seconds`")]
    SetBusy,
    #[error("as many writes are waiting as there may be")]
    Overloaded,
    #[error("the store took longer than `store.timeout_milliseconds`")]
    TimedOut,
    #[error("the disk of the store is full")]
    Full,
    #[error("the store cannot be read or written: {0}")]
    Unavailable(String),
    #[error("the store has {0} that cannot be read")]
    Damaged(&'static str),
    #[error("the delivery is no longer being received")]
    NotReceiving,
    #[error("the store was made with another pseudonym key")]
    OtherKey,
    #[error(
        "the store has rows under a pseudonym key that was not given; until `kundeforhold rekey` is done, \
         pseudonym.key_file and pseudonym.next_key_file name the one that they stood under and the next one"
    )]
    LacksKey,
    #[error("{0} is in use by another process; one process serves a SQLite file")]
    InUse(PathBuf),
    #[error(
        "the store has schema {found}, and this program knows {known} at the most; start the release that migrated it"
    )]
    Newer { found: u32, known: u32 },
    #[error(
        "the store has schema {found}, and this program needs {known}: run `kundeforhold migrate`, or set store.migrate"
    )]
    Older { found: u32, known: u32 },
    #[error("{0}")]
    Settings(String),
    #[error("there is no store at {0}; `kundeforhold serve` makes one")]
    Absent(PathBuf),
    #[error("{0} is half restored; run `kundeforhold restore` again")]
    HalfRestored(PathBuf),
    #[error(transparent)]
    ClockJumped(#[from] ClockJumped),
    #[error("the store is closed")]
    Closed,
}

impl From<rusqlite::Error> for StoreError {
    fn from(cause: rusqlite::Error) -> Self {
        match cause.sqlite_error_code() {
            Some(rusqlite::ErrorCode::DiskFull) => Self::Full,
            Some(rusqlite::ErrorCode::DatabaseCorrupt | rusqlite::ErrorCode::NotADatabase) => {
                Self::Damaged("a page")
            }
            // What a failure says of SQL never holds a value: values are bound.
            _ => Self::Unavailable(cause.to_string()),
        }
    }
}
