//! The store on one machine: a SQLite file that one process serves.

pub(crate) mod connection;
mod deliveries;
mod held;
mod lock;
mod lookup;
mod memory;
mod merge;
mod publish;
mod receipts;
mod rows;
mod scan;
pub(crate) mod schema;
mod sets;
mod snapshot;
mod sweep;
mod upkeep;
mod verify;
mod writer;

pub use deliveries::DeliveryEnd;
pub use held::Held;
pub use lock::SetLock;
pub use lookup::Found;
pub use merge::{KeptCalls, Merge, Written};
pub use publish::{Filing, Publication, Published};
pub use rows::RowWrite;
pub use scan::SortedRecords;
pub use upkeep::Kept;
pub use verify::{Facts, Fault, Finding, SetCounts, Verification, facts, repair_counts, verify};

use self::connection::Readers;
use self::lock::SetLocks;
use self::memory::Memory;
use self::snapshot::Snapshots;
use self::upkeep::Checkpoints;
use self::writer::Writer;
use super::{Publications, Sets, StoreError};
use crate::pseudonym::KeyFingerprint;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How the store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub path: PathBuf,
    /// Longest that a lookup may take to read.
    pub timeout: Duration,
    /// Page cache of each connection.
    pub cache_kib: usize,
    /// A cache stands in front, so what is read says which publication it was read at.
    pub is_cached: bool,
    /// Publications, and tags that they changed, that are remembered for the cache.
    pub remembered_changes: usize,
    /// Where merges sort what does not fit into memory.
    pub scratch: PathBuf,
}

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
    pub fn open(options: &StoreOptions, key: KeyFingerprint) -> Result<Self, StoreError> {
        let path = &options.path;
        let taken = connection::take(path)?;
        let mut connection = connection::open_writer(path, options.cache_kib)?;
        schema::migrate(&mut connection, schema::REGISTER)?;
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
            path: path.clone(),
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
        connection::check_restored(path)?;
        if !path.exists() {
            return Ok(None);
        }
        let connection = connection::open_reader(path, 0)?;
        schema::check(&connection, schema::REGISTER)?;
        sets::check_key(&connection, key)?;
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

    /// The file.
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// Ends what writes, after what waits for it. With the last connection the log goes into the file.
    pub fn close(&self) {
        self.0.checkpoints.close();
        self.0.snapshots.close();
        self.0.readers.close();
        self.0.writer.close();
    }
}
