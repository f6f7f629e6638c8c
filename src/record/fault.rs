//! What can be wrong with the record. Nothing here carries what an entry holds.

use crate::store::StoreError;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// Why the table does not do what it is asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    #[error("the disk is full")]
    Full,
    #[error("it cannot be read or written: {0}")]
    Unavailable(String),
    #[error("{0} cannot be read")]
    Damaged(&'static str),
    #[error("{0} is in use by another process; one process writes a record of use")]
    InUse(PathBuf),
    #[error(
        "it has schema {found}, and this program knows {known} at the most; start the release that migrated it"
    )]
    Newer { found: u32, known: u32 },
    #[error("there is none at {0}; `kundeforhold serve` makes it")]
    Absent(String),
    /// What is written to a file that was moved or removed is lost.
    #[error("{0} is not the file that is being written")]
    Moved(PathBuf),
    /// Somebody else has written, or taken away, what this process wrote last.
    #[error("it does not end in what was written last")]
    OtherEnd,
}

impl TableError {
    pub(super) fn absent(path: &Path) -> Self {
        Self::Absent(path.display().to_string())
    }
}

impl From<StoreError> for TableError {
    fn from(cause: StoreError) -> Self {
        match cause {
            StoreError::Full => Self::Full,
            StoreError::Damaged(what) => Self::Damaged(what),
            StoreError::InUse(path) => Self::InUse(path),
            StoreError::Newer { found, known } => Self::Newer { found, known },
            StoreError::Absent(path) => Self::absent(&path),
            StoreError::Unavailable(cause) => Self::Unavailable(cause),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

impl From<rusqlite::Error> for TableError {
    fn from(cause: rusqlite::Error) -> Self {
        StoreError::from(cause).into()
    }
}

/// Where the record cannot be proved or understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(
        "head {0} of the list of heads is missing or damaged, or was made with a key that is not in the ring \
         (`record.key_files`)"
    )]
    Head(u64),
    /// There are entries, but no birth of their chain.
    #[error("there are entries of a chain, number {0}, that is not in the list of heads")]
    Stray(u32),
    #[error("entry {sequence} of instance {instance}: {flaw}")]
    Entry {
        instance: Uuid,
        /// The first entry that is not proved.
        sequence: u64,
        flaw: Flaw,
    },
    /// The record ends before an entry that this process has written.
    #[error("the record ends at entry {last}, and entry {written} was written")]
    Cut { last: u64, written: u64 },
    /// The record itself may be whole.
    #[error(
        "the search index of instance {instance} is not that of entries {first} to {last}: searches that do not \
         prove all entries may miss some"
    )]
    Index { instance: Uuid, first: u64, last: u64 },
}

/// How an entry differs from what was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    #[error("it is missing")]
    Missing,
    #[error("it, or its place in the order, was changed")]
    Changed,
    #[error("it is not the one in the list of heads")]
    OtherHead,
    #[error("it is of a version that this program does not know")]
    UnknownVersion,
    #[error("it was made with a key that is not in the ring (`record.key_files`)")]
    UnknownKey,
}
