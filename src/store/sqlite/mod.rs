//! The store on one machine: a SQLite file that one process serves.

mod connection;
mod deliveries;
mod lock;
mod lookup;
mod memory;
mod merge;
mod publish;
mod receipts;
mod rows;
mod scan;
mod schema;
mod sets;
mod snapshot;
mod sweep;
mod upkeep;
mod writer;

pub use lock::SetLock;
pub use merge::{KeptCalls, Merge, Written};
pub use scan::SortedRecords;

use self::connection::Readers;
use self::lock::SetLocks;
use self::memory::Memory;
use self::snapshot::Snapshots;
use self::upkeep::Checkpoints;
use self::writer::Writer;
use super::{Publications, Sets, StoreError, StoreOptions};
use crate::pseudonym::KeyFingerprint;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// The register in a SQLite file. Cheap to clone; one process serves a file.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    path: PathBuf,
    scratch: PathBuf,
    timeout: Duration,
    readers: Readers,
    /// What lookups read by.
    snapshots: Arc<Snapshots>,
    writer: Writer,
    memory: Arc<Memory>,
    locks: SetLocks,
    checkpoints: Checkpoints,
    /// Held for as long as the file is served.
    _taken: File,
}

impl Store {
    /// Opens the file, made and brought up to this program's schema if need be, and takes it for this process. What
    /// was being received when the last one ended was abandoned.
    pub fn open(path: &Path, options: &StoreOptions, key: KeyFingerprint) -> Result<Self, StoreError> {
        let taken = connection::take(path)?;
        let mut connection = connection::open_writer(path, options.cache_kib)?;
        schema::migrate(&mut connection)?;
        sets::claim_key(&connection, key)?;
        deliveries::abandon_all(&connection)?;
        let remembered = if options.is_cached {
            options.remembered_changes
        } else {
            1
        };
        let publications = Publications::new(remembered);
        publish::recall(&connection, &publications, remembered)?;
        let memory = Arc::new(Memory::new(sets::load(&connection)?, publications));
        let snapshots = Snapshots::new(path, options.cache_kib, options.is_cached, Arc::clone(&memory));
        let snapshots = Arc::new(snapshots);
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            scratch: options.scratch.clone(),
            timeout: options.timeout,
            readers: Readers::new(path, options.cache_kib),
            writer: Writer::start(connection, Arc::clone(&memory))?,
            memory,
            locks: SetLocks::default(),
            checkpoints: Checkpoints::start(path, Arc::clone(&snapshots))?,
            snapshots,
            _taken: taken,
        })))
    }

    /// Looks at a file without serving it: how its sets stand, if this program and this key may serve it. `None`: there
    /// is none yet.
    pub fn look(path: &Path, key: KeyFingerprint) -> Result<Option<Sets>, StoreError> {
        if !path.exists() {
            return Ok(None);
        }
        let connection = connection::open_reader(path, 0)?;
        schema::check(&connection)?;
        sets::check_key(&connection, key)?;
        Ok(Some(sets::load(&connection)?))
    }

    /// Brings a file's schema up to this program, made if need be.
    pub fn migrate(path: &Path) -> Result<(), StoreError> {
        let _taken = connection::take(path)?;
        schema::migrate(&mut connection::open_writer(path, 0)?)
    }

    /// How the sets stand.
    pub fn sets(&self) -> Arc<Sets> {
        self.0.memory.sets()
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
