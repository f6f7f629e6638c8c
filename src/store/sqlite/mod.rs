//! The store on one machine: a SQLite file that one process serves.

mod checkpoints;
mod clock;
pub(crate) mod connection;
mod deliveries;
mod erase;
mod gate;
mod held;
mod keys;
mod lock;
mod lookup;
mod memory;
mod merge;
mod publish;
mod receipts;
mod rekey;
mod rows;
mod scan;
pub(crate) mod schema;
mod sets;
mod snapshot;
mod steps;
mod sweep;
mod upkeep;
mod verify;
mod writer;

pub use held::Held;
pub use lock::SetLock;
pub use merge::{KeptCalls, Merge, Written};
pub use rekey::Rekeyed;
pub use scan::SortedRecords;
pub use verify::{Facts, Fault, Finding, SetCounts, Verification, facts, repair_counts, verify};

use self::checkpoints::Checkpoints;
use self::connection::Readers;
use self::gate::Gate;
use self::memory::Memory;
use self::snapshot::Snapshots;
use self::writer::Writer;
use super::keys::RowKeys;
use super::locks::SetLocks;
use super::{Publications, RowKey, Sets, StoreError, StoreOptions};
use crate::domain::relationship::SetId;
use crate::pseudonym::PseudonymRing;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::time::Duration;

/// The register in a SQLite file. Cheap to clone; one process serves a file.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    path: PathBuf,
    scratch: PathBuf,
    timeout: Duration,
    given: Arc<PseudonymRing>,
    keys: RowKeys,
    readers: Readers,
    /// What lookups read by.
    snapshots: Arc<Snapshots>,
    writer: Arc<Writer>,
    memory: Arc<Memory>,
    locks: SetLocks,
    checkpoints: Checkpoints,
    /// The day that all records are erased which ended before it.
    erased_before: AtomicI32,
    /// Held for as long as the file is served.
    _taken: File,
}

impl Store {
    /// Opens the file, made and brought up to this program's schema if need be, and takes it for this process. What
    /// was being received when the last one ended was abandoned.
    pub fn open(path: &Path, options: &StoreOptions, given: Arc<PseudonymRing>) -> Result<Self, StoreError> {
        let taken = connection::take(path)?;
        let mut connection = connection::open_writer(path, options.cache_kib)?;
        schema::migrate(&mut connection, schema::REGISTER)?;
        clock::begin(&connection)?;
        let keys = keys::claim(&connection, &given)?;
        deliveries::abandon_all(&connection)?;
        let remembered = if options.is_cached {
            options.remembered_changes
        } else {
            1
        };
        let publications = Publications::new(remembered);
        publish::recall(&connection, &publications, remembered)?;
        let memory = Arc::new(Memory::new(sets::load(&connection)?, publications));
        let gate = Arc::new(Gate::default());
        let snapshots = Snapshots::new(path, options, Arc::clone(&gate), Arc::clone(&memory));
        let snapshots = Arc::new(snapshots);
        let writer = Arc::new(Writer::start(connection, Arc::clone(&memory))?);
        let checkpoints = Checkpoints::start(
            path,
            Arc::clone(&gate),
            Arc::clone(&snapshots),
            Arc::clone(&writer),
        )?;
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            scratch: options.scratch.clone(),
            timeout: options.timeout,
            given,
            keys,
            readers: Readers::new(path, options.cache_kib, gate),
            writer,
            memory,
            locks: SetLocks::default(),
            checkpoints,
            snapshots,
            erased_before: AtomicI32::new(i32::MIN),
            _taken: taken,
        })))
    }

    /// Looks at a file without serving it: how its sets stand, if this program may serve it with these keys. `None`:
    /// there is none yet.
    pub fn look(path: &Path, given: &PseudonymRing) -> Result<Option<Sets>, StoreError> {
        connection::check_restored(path)?;
        if !path.exists() {
            return Ok(None);
        }
        let connection = connection::open_reader(path, 0)?;
        schema::check(&connection, schema::REGISTER)?;
        keys::look(&connection, given)?;
        Ok(Some(sets::load(&connection)?))
    }

    /// Brings a file's schema up to this program, made if need be.
    pub fn migrate(path: &Path) -> Result<(), StoreError> {
        let _taken = connection::take(path)?;
        schema::migrate(&mut connection::open_writer(path, 0)?, schema::REGISTER)
    }

    /// How the sets stand.
    pub fn sets(&self) -> Arc<Sets> {
        self.0.memory.sets()
    }

    /// The keys that the process was given: what is looked up is sealed under each.
    pub fn given(&self) -> &PseudonymRing {
        &self.0.given
    }

    /// What rows of a set are sealed with, or will be. Another by the time they are written, if a rekey comes between.
    pub fn key_of(&self, set: SetId) -> Result<RowKey, StoreError> {
        match self.sets().get(set) {
            Some(state) => self.0.keys.get(state.key),
            None => self.0.keys.any(),
        }
    }

    /// The publications of late: which entries of a cache still hold.
    pub fn publications(&self) -> &Publications {
        &self.0.memory.publications
    }

    /// Whether the last write went well.
    pub fn is_writable(&self) -> bool {
        self.0.writer.is_writable()
    }

    /// Tries whether the store can be written again.
    pub async fn probe(&self) -> Result<(), StoreError> {
        let write = |connection: &rusqlite::Connection| {
            connection.execute("UPDATE sets SET version = version WHERE id = -1", [])?;
            Ok(writer::Done::nothing_new(()))
        };
        self.0.writer.short(write).await
    }

    /// Brings all of the log into the file and empties it, so that nothing is left there of what was removed. Not for
    /// threads that answer.
    pub fn truncate_log(&self) -> Result<(), StoreError> {
        self.0.checkpoints.truncate_log()
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// How long the file is.
    pub(super) fn bytes(&self) -> Result<u64, StoreError> {
        let file = std::fs::metadata(&self.0.path);
        file.map(|file| file.len())
            .map_err(|cause| StoreError::Unavailable(cause.to_string()))
    }

    /// Reads on a thread that no lookup waits for.
    pub(super) async fn apart<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Self) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.clone();
        let read = tokio::task::spawn_blocking(move || read(&store));
        read.await.map_err(|_| StoreError::Closed)?
    }

    /// Ends what writes, after what waits for it. With the last connection the log goes into the file.
    pub fn close(&self) {
        self.0.checkpoints.close();
        self.0.snapshots.close();
        self.0.readers.close();
        self.0.writer.close();
    }
}
