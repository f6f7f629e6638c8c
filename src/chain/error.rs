//! What can go wrong with a chain. No error carries a payload.

use std::{fmt, io, path::Path, sync::Arc};
use thiserror::Error;

/// An operation on a file or directory that failed.
#[derive(Clone, Debug, Error)]
#[error("cannot {action} {}", path.display())]
pub struct Fault {
    /// What was tried, as a verb phrase.
    pub action: &'static str,
    /// On which file or directory.
    pub path: Arc<Path>,
    /// Why it failed.
    pub source: Arc<io::Error>,
}

impl Fault {
    /// For `map_err`: the failure of `action` on `path`.
    pub(super) fn on(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self {
            action,
            path: path.into(),
            source: Arc::new(source),
        }
    }
}

/// The first place where a chain is not what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("segment {segment:020}, entry {sequence}: {flaw}")]
pub struct Corrupt {
    /// The segment, by the sequence number that its file is named by.
    pub segment: u64,
    /// The first entry that is not proved.
    pub sequence: u64,
    /// What is wrong there.
    pub flaw: Flaw,
}

/// How a chain differs from what was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The file does not begin as a segment does.
    NotASegment,
    /// The segment is of a format version that this program does not know.
    UnknownVersion(u8),
    /// The segment belongs to another kind of log.
    OtherLog,
    /// The header was not made with this head key, or was changed, or belongs to another segment.
    Header,
    /// The chain does not reach this segment: the one before it is missing or another.
    Missing,
    /// The segment does not continue from the hash of the entry before it.
    Spliced,
    /// The entry, or its place in the order, was changed.
    Changed,
    /// What says which segments were pruned was not made with this head key, or was changed.
    Stub,
    /// The segment lacks the keyed head that closes it, or has another, or goes on after it.
    Closing,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotASegment => f.write_str("the file does not begin as a segment"),
            Self::UnknownVersion(version) => write!(f, "unknown format version {version}"),
            Self::OtherLog => f.write_str("the segment belongs to another kind of log"),
            Self::Header => f.write_str(
                "the header is damaged, or was made with another pseudonym key than the one given",
            ),
            Self::Missing => f.write_str("the segment before is missing"),
            Self::Spliced => f.write_str("the segment does not continue from the entry before it"),
            Self::Changed => f.write_str("the entry is not the one that was written"),
            Self::Stub => f.write_str("the stub of what was pruned is not authenticated by this head key"),
            Self::Closing => f.write_str("the segment is not closed by its keyed head"),
        }
    }
}

/// Why a chain was not opened.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Another process, or another handle in this one, is writing this chain.
    #[error("{} is in use by another writer", .0.display())]
    InUse(Arc<Path>),
    /// The directory or a file in it could not be used.
    #[error(transparent)]
    Io(#[from] Fault),
    /// The chain on disk is not what was written, beyond a torn tail.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// Why an entry is not known to be durable.
#[derive(Clone, Debug, Error)]
pub enum AppendError {
    /// The payload exceeds [`Options::max_entry_bytes`](super::Options::max_entry_bytes).
    #[error("entry of {bytes} bytes exceeds the limit of {limit}")]
    TooLarge {
        /// Bytes of the payload.
        bytes: usize,
        /// The bound it exceeds.
        limit: u32,
    },
    /// The entry was not durable in time. It may become so later.
    #[error("not durable in time")]
    TimedOut,
    /// The entry was not written. The next attempt repairs what it can.
    #[error(transparent)]
    Io(#[from] Fault),
    /// The chain is closed.
    #[error("the log is closed")]
    Closed,
}

/// Why an entry could not be read.
#[derive(Debug, Error)]
pub enum ReadError {
    /// A file could not be read.
    #[error(transparent)]
    Io(#[from] Fault),
    /// What was read is not what was written.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// Why a chain was not pruned.
#[derive(Debug, Error)]
pub enum PruneError {
    /// Another process prunes this chain.
    #[error("{} is being pruned by another process", .0.display())]
    InUse(Arc<Path>),
    /// No segment begins after the entry up to which was to be pruned.
    #[error("entry {0} is not the last of a closed segment")]
    NotAnEnd(u64),
    /// A file could not be read, written or removed.
    #[error(transparent)]
    Io(#[from] Fault),
    /// The chain is not what was written.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

impl From<ReadError> for PruneError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(fault) => Self::Io(fault),
            ReadError::Corrupt(corrupt) => Self::Corrupt(corrupt),
        }
    }
}

impl From<ReadError> for OpenError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(fault) => Self::Io(fault),
            ReadError::Corrupt(corrupt) => Self::Corrupt(corrupt),
        }
    }
}
