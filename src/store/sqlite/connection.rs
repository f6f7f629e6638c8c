//! Connections to the file, and how they are set.

use super::gate::Gate;
use crate::store::StoreError;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest wait for a lock of SQLite, which others hold for an instant only.
pub(crate) const BUSY: Duration = Duration::from_secs(5);
/// Statements that a connection keeps prepared.
const PREPARED: usize = 64;
/// Of SQLite, unless a file was made otherwise.
const PAGE_BYTES: u64 = 4096;
/// Connections that read and are kept open; more are opened where more read at once, and closed again.
const READERS_KEPT: usize = 16;
/// The log is cut to this when it begins anew. It is written over rather than made again, which would cost a sync more.
const LOG_BYTES_KEPT: u64 = 64 << 20;

/// Takes the file for this process, as long as what it returns lives, unless its end is missing.
pub(crate) fn take(path: &Path) -> Result<File, StoreError> {
    let lock = hold(path)?;
    check_restored(path)?;
    // SQLite gives what it puts beside the file the mode of the file.
    private(path).map_err(|cause| StoreError::Unavailable(format!("{}: {cause}", path.display())))?;
    check_length(path).map(|()| lock)
}

/// Keeps others from serving the file, whether there is one or not.
pub(super) fn hold(path: &Path) -> Result<File, StoreError> {
    let unavailable = |cause: std::io::Error| StoreError::Unavailable(format!("{}: {cause}", path.display()));
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(unavailable)?;
    }
    let lock = private(&with_ending(path, "-lock")).map_err(unavailable)?;
    match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(lock),
        Err(_) => Err(StoreError::InUse(path.to_owned())),
    }
}

/// Stands beside the file from before it is replaced until all is in its place.
pub(super) fn restoring(path: &Path) -> PathBuf {
    with_ending(path, "-restoring")
}

/// Refuses what a restore has begun to replace and not ended.
pub(super) fn check_restored(path: &Path) -> Result<(), StoreError> {
    match restoring(path).exists() {
        true => Err(StoreError::HalfRestored(path.to_owned())),
        false => Ok(()),
    }
}

/// A file that ends before its last page was cut off; what is missing would only be met when it is read.
fn check_length(path: &Path) -> Result<(), StoreError> {
    let unreadable = |cause: std::io::Error| StoreError::Unavailable(format!("{}: {cause}", path.display()));
    let mut header = [0; 32];
    let mut file = File::open(path).map_err(unreadable)?;
    if file.read_exact(&mut header).is_err() {
        // New, or nothing that SQLite takes for its own.
        return Ok(());
    }
    // What the log holds may not be in the file yet.
    let log = std::fs::metadata(with_ending(path, "-wal")).map_or(0, |log| log.len());
    let page_bytes = match u16::from_be_bytes([header[16], header[17]]) {
        1 => 65_536,
        bytes => u64::from(bytes),
    };
    let pages = u64::from(u32::from_be_bytes([
        header[28], header[29], header[30], header[31],
    ]));
    let length = file.metadata().map_err(unreadable)?.len();
    match log == 0 && length < pages * page_bytes {
        true => Err(StoreError::Damaged("an end")),
        false => Ok(()),
    }
}

fn private(path: &Path) -> std::io::Result<File> {
    let mut options = OpenOptions::new();
    options
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The one connection that writes. Acknowledged work is synced; checkpoints are another thread's.
pub(crate) fn open_writer(path: &Path, cache_kib: usize) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    prepare(&connection, cache_kib)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    connection.pragma_update(None, "journal_size_limit", LOG_BYTES_KEPT as i64)?;
    connection.pragma_update(None, "temp_store", "MEMORY")?;
    // What is removed is overwritten.
    connection.pragma_update(None, "secure_delete", "ON")?;
    Ok(connection)
}

/// The pages of the log, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Log {
    /// Since it last began anew.
    pub(crate) bytes: u64,
    /// Of them, what is not in the file yet.
    pub(crate) ahead: u64,
}

/// Brings the log into the file as far as `mode` goes, and says how long it is then.
pub(crate) fn checkpoint(connection: &Connection, mode: &str) -> Result<Log, StoreError> {
    let mut statement = connection.prepare_cached(&format!("PRAGMA wal_checkpoint({mode})"))?;
    let (pages, copied): (i64, i64) = statement.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))?;
    let bytes = |pages: i64| u64::try_from(pages).unwrap_or(0) * PAGE_BYTES;
    Ok(Log {
        bytes: bytes(pages),
        ahead: bytes(pages).saturating_sub(bytes(copied)),
    })
}

/// After a failed sync: brings all that the log holds into the file, synced. Waits so long for those who read the log.
pub(crate) fn bring_in_log(connection: &Connection, wait: Duration) -> Result<(), StoreError> {
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.busy_timeout(wait)?;
    let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
    connection.busy_timeout(BUSY)?;
    match busy? {
        0 => Ok(()),
        _ => Err(StoreError::Unavailable("the log is in use".to_owned())),
    }
}

pub(crate) fn open_reader(path: &Path, cache_kib: usize) -> Result<Connection, StoreError> {
    let connection = Connection::open_with_flags(
        path,
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX,
    )?;
    prepare(&connection, cache_kib)?;
    Ok(connection)
}

fn prepare(connection: &Connection, cache_kib: usize) -> Result<(), StoreError> {
    connection.busy_timeout(BUSY)?;
    // Otherwise a statement is planned anew each time it is used, since what is bound might make another plan better.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    // Negative: KiB rather than pages.
    connection.pragma_update(None, "cache_size", -(cache_kib as i64))?;
    Ok(())
}

/// Connections that read, each used by one thread at a time.
pub(super) struct Readers {
    path: PathBuf,
    cache_kib: usize,
    gate: Arc<Gate>,
    free: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn new(path: &Path, cache_kib: usize, gate: Arc<Gate>) -> Self {
        Self {
            path: path.to_owned(),
            cache_kib,
            gate,
            free: Mutex::default(),
        }
    }

    /// Closes those that are not in use.
    pub(super) fn close(&self) {
        self.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _passed = self.gate.pass();
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match free {
            Some(connection) => connection,
            None => open_reader(&self.path, self.cache_kib)?,
        };
        let done = read(&connection);
        // One that failed may be at fault itself.
        if done.is_ok() {
            let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
            if free.len() < READERS_KEPT {
                free.push(connection);
            }
        }
        done
    }
}
