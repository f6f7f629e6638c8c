//! The table, whatever keeps it.

use super::chain::{Hash, Head};
use super::fault::{RecordFault, TableError};
use super::heads::{ListEnd, Listed, Mark};
use super::index::{BatchId, DayRow, IndexRow, IndexStep, Key};
use super::keys::RecordKey;
use super::{postgres, sqlite};
use crate::store::{PostgresServer, StorePlace};
use std::fmt;
use std::ops::ControlFlow;
use std::path::PathBuf;
use uuid::Uuid;

/// Where a record of use is.
#[derive(Clone)]
pub enum RecordPlace {
    /// In a file that one process writes.
    Sqlite(PathBuf),
    /// In a database, where each process writes a chain of its own.
    Postgres(PostgresServer),
}

impl RecordPlace {
    /// Nothing is asked of it yet. To be called where a runtime is, on which its connections live.
    ///
    /// # Errors
    /// An address that cannot be understood.
    pub fn find(place: &StorePlace) -> Result<Self, TableError> {
        Ok(match place {
            StorePlace::Sqlite(path) => Self::Sqlite(path.clone()),
            StorePlace::Postgres(options) => Self::Postgres(PostgresServer::find(options)?),
        })
    }
}

impl fmt::Display for RecordPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(server) => server.shown().fmt(f),
        }
    }
}

/// What is written at once.
pub(super) struct Work<'a> {
    pub(super) chain: u32,
    /// Behind which the entries go.
    pub(super) before: Head,
    /// Each with its hash.
    pub(super) entries: &'a [(Vec<u8>, Hash)],
    /// Goes to the end of the list of heads.
    pub(super) mark: Option<(Mark, &'a RecordKey)>,
    pub(super) index: Option<&'a IndexStep>,
}

/// What was written.
pub(super) struct Committed {
    /// The new end of the list of heads, if a head was listed.
    pub(super) list: Option<ListEnd>,
    /// The index has what it was to have.
    pub(super) is_indexed: bool,
}

/// Writes entries, from one thread.
pub(super) enum Table {
    Sqlite(sqlite::Table),
    Postgres(postgres::Table),
}

impl Table {
    /// Opens it, made if need be, for a process of this name.
    pub(super) fn open(place: &RecordPlace, writer: Uuid) -> Result<Self, TableError> {
        match place {
            RecordPlace::Sqlite(path) => sqlite::Table::open(path).map(Self::Sqlite),
            RecordPlace::Postgres(server) => postgres::Table::open(server, writer).map(Self::Postgres),
        }
    }

    /// The chain to go on with, which nobody else writes; `None`: there is none.
    pub(super) fn claim(&mut self) -> Result<Option<u32>, TableError> {
        match self {
            Self::Sqlite(table) => table.last_chain(),
            Self::Postgres(table) => table.claim(),
        }
    }

    /// Begins a chain behind all others.
    pub(super) fn begin(&mut self, instance: Uuid, key: &RecordKey) -> Result<(Mark, ListEnd), TableError> {
        match self {
            Self::Sqlite(table) => table.begin(instance, key),
            Self::Postgres(table) => table.begin(instance, key),
        }
    }

    /// Makes up for what a failed write has left. Until that is done nothing is written.
    pub(super) fn recover(&mut self) -> Result<(), TableError> {
        match self {
            Self::Sqlite(table) => table.recover(),
            Self::Postgres(table) => table.recover(),
        }
    }

    /// Writes entries, behind the one before, and the head, durably, or neither; and what the index is to have. An error does
    /// not say that it is not done, nor that it will not be.
    pub(super) fn commit(&mut self, work: &Work) -> Result<Committed, TableError> {
        match self {
            Self::Sqlite(table) => table.commit(work),
            Self::Postgres(table) => table.commit(work),
        }
    }

    /// The last entry of a chain; `None`: there is none in the table.
    pub(super) fn last(&mut self, chain: u32) -> Result<Option<Head>, TableError> {
        match self {
            Self::Sqlite(table) => table.last(chain),
            Self::Postgres(table) => table.last(chain),
        }
    }

    /// Whether a chain without entries in the table may go on behind this head: it is its birth, or was pruned.
    pub(super) fn starts_at(&mut self, chain: u32, head: &Head) -> Result<bool, TableError> {
        match self {
            // Whatever was pruned meanwhile, this process's last entry is known to it.
            Self::Sqlite(_) => Ok(true),
            Self::Postgres(table) => table.starts_at(chain, head),
        }
    }

    /// Whether others write chains in it.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self, Self::Postgres(_))
    }

    /// Has nobody go on with a chain any more.
    pub(super) fn forget(&mut self, chain: u32) -> Result<(), TableError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(table) => table.forget(chain),
        }
    }

    /// Leaves the chain to others.
    pub(super) fn release(self) -> Result<(), TableError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(mut table) => table.release(),
        }
    }
}

/// How the reading of some entries ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunk {
    /// There are more, perhaps.
    Full,
    /// There are no more.
    Last,
    /// Whoever took them has enough.
    Enough,
}

/// What an entry's number, the entry and its hash are handed to; it says whether to go on.
pub(super) type TakeRow<'t> = dyn FnMut(u64, &[u8], &[u8]) -> Result<ControlFlow<()>, RecordFault> + 't;

/// Reads beside whoever writes, on threads that may wait.
pub(super) enum Reader {
    Sqlite(sqlite::Reader),
    Postgres(postgres::Reader),
}

impl Reader {
    pub(super) fn open(place: &RecordPlace) -> Result<Self, TableError> {
        match place {
            RecordPlace::Sqlite(path) => sqlite::Reader::open(path).map(Self::Sqlite),
            RecordPlace::Postgres(server) => postgres::Reader::open(server).map(Self::Postgres),
        }
    }

    /// The list of heads, in order.
    pub(super) fn heads(&self) -> Result<Vec<Listed>, TableError> {
        match self {
            Self::Sqlite(reader) => reader.heads(),
            Self::Postgres(reader) => reader.heads(),
        }
    }

    /// The chains that have entries.
    pub(super) fn chains(&self) -> Result<Vec<u32>, TableError> {
        match self {
            Self::Sqlite(reader) => reader.chains(),
            Self::Postgres(reader) => reader.chains(),
        }
    }

    /// Hands on some of a chain's entries behind one: number, entry, hash.
    pub(super) fn some_entries(
        &self,
        chain: u32,
        after: u64,
        take: &mut TakeRow,
    ) -> Result<Chunk, RecordFault> {
        match self {
            Self::Sqlite(reader) => reader.some_entries(chain, after, take),
            Self::Postgres(reader) => reader.some_entries(chain, after, take),
        }
    }

    /// One entry and its hash.
    pub(super) fn entry(&self, chain: u32, sequence: u64) -> Result<Option<(Vec<u8>, Hash)>, TableError> {
        match self {
            Self::Sqlite(reader) => reader.entry(chain, sequence),
            Self::Postgres(reader) => reader.entry(chain, sequence),
        }
    }

    /// The last entry of a chain; `None`: there is none in the table.
    pub(super) fn last(&self, chain: u32) -> Result<Option<Head>, TableError> {
        match self {
            Self::Sqlite(reader) => reader.last(chain),
            Self::Postgres(reader) => reader.last(chain),
        }
    }

    /// How many batches of a chain are indexed.
    pub(super) fn indexed(&self, chain: u32) -> Result<u64, TableError> {
        match self {
            Self::Sqlite(reader) => reader.indexed(chain),
            Self::Postgres(reader) => reader.indexed(chain),
        }
    }

    /// Entries of a batch that have a key, in order.
    pub(super) fn found_by(&self, batch: BatchId, key: Key) -> Result<Vec<u64>, TableError> {
        match self {
            Self::Sqlite(reader) => reader.found_by(batch, key),
            Self::Postgres(reader) => reader.found_by(batch, key),
        }
    }

    /// All that a batch is found by, in order.
    pub(super) fn rows_of(&self, batch: BatchId) -> Result<Vec<IndexRow>, TableError> {
        match self {
            Self::Sqlite(reader) => reader.rows_of(batch),
            Self::Postgres(reader) => reader.rows_of(batch),
        }
    }

    /// Days and consumers, each with a batch that has entries of them.
    pub(super) fn days(&self) -> Result<Vec<(DayRow, BatchId)>, TableError> {
        match self {
            Self::Sqlite(reader) => reader.days(),
            Self::Postgres(reader) => reader.days(),
        }
    }
}

/// Prunes, perhaps beside those who write.
pub(super) enum Pruner {
    Sqlite(sqlite::Pruner),
    Postgres(postgres::Pruner),
}

impl Pruner {
    pub(super) fn open(place: &RecordPlace) -> Result<Self, TableError> {
        match place {
            RecordPlace::Sqlite(path) => sqlite::Pruner::open(path).map(Self::Sqlite),
            RecordPlace::Postgres(server) => postgres::Pruner::open(server).map(Self::Postgres),
        }
    }

    /// Puts what is pruned to the end of the list of heads, unless somebody else has pruned as much. Gives whether.
    pub(super) fn list(&mut self, mark: Mark, key: &RecordKey) -> Result<bool, TableError> {
        match self {
            Self::Sqlite(pruner) => pruner.list(mark, key),
            Self::Postgres(pruner) => pruner.list(mark, key),
        }
    }

    /// Removes a chain's entries up to one, and what is indexed of batches that are gone, in short transactions.
    pub(super) fn remove(&self, chain: u32, through: u64) -> Result<(), TableError> {
        match self {
            Self::Sqlite(pruner) => pruner.remove(chain, through),
            Self::Postgres(pruner) => pruner.remove(chain, through),
        }
    }
}

/// What a table needs to have done beside its writer.
pub(super) enum Care {
    /// Its log is brought into the file.
    Sqlite(sqlite::Checkpoints),
    /// The process shows that it still writes its chain.
    Postgres(postgres::Beat),
}

impl Care {
    pub(super) fn new(place: &RecordPlace, writer: Uuid) -> Self {
        match place {
            RecordPlace::Sqlite(path) => Self::Sqlite(sqlite::Checkpoints::new(path)),
            RecordPlace::Postgres(server) => Self::Postgres(postgres::Beat::new(server, writer)),
        }
    }

    /// Does what there is to do, while this chain is written.
    pub(super) fn look(&mut self, chain: u32) -> Result<(), TableError> {
        match self {
            Self::Sqlite(checkpoints) => checkpoints.look(),
            Self::Postgres(beat) => beat.look(chain),
        }
    }
}
