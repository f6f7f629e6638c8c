//! A copy of a SQLite file, of one moment, made beside whoever serves the file.
//!
//! A read transaction holds the moment for as long as copying takes. Until it ends the write-ahead log cannot begin anew,
//! so meanwhile nobody may wait for that: who serves the file asks [`is_being_copied`].

mod pace;
mod scratch;

pub use pace::{Pace, Paced};
pub use scratch::Scratch;
pub(crate) use scratch::require;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};
use rustix::fs::FlockOperation;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Longest that copying may hold its moment: so long whoever writes much may have to wait.
pub const LONGEST_COPY: Duration = Duration::from_secs(900);
/// Longest wait for a lock of SQLite, which others hold for an instant only.
const BUSY: Duration = Duration::from_secs(5);
/// Whoever serves the file has noticed by then that it is being copied, and ended what a copy would hold up ...
const UNTIL_NOTICED: Duration = Duration::from_secs(1);
/// ... which is cutting the log short, if it is longer than this.
const SHORT_LOG_BYTES: u64 = 4 << 20;
/// Whoever asks whether a file is being copied holds the lock for an instant.
const LOCK_TRIES: u32 = 100;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);
/// Pages that are copied before the disk is waited for.
const PAGES_PER_STEP: i32 = 1_024;
/// Pages of the copy that are kept in memory, in KiB.
const CACHE_KIB: i64 = 4_096;
/// What a path in a URI need not be without.
const PATH: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'.')
    .remove(b'-')
    .remove(b'_');

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    #[error("another backup or check of {} is under way", .0.display())]
    UnderWay(PathBuf),
    #[error("{} was not copied within {} minutes", .0.display(), LONGEST_COPY.as_secs() / 60)]
    TooSlow(PathBuf),
    #[error("{}: {cause}", path.display())]
    Sqlite { path: PathBuf, cause: rusqlite::Error },
    #[error("{}: {cause}", path.display())]
    Io { path: PathBuf, cause: std::io::Error },
    #[error("{} is damaged: {told}", path.display())]
    Damaged { path: PathBuf, told: String },
    #[error("{} has {free_bytes} bytes left, and {needed_bytes} are needed and have to stay free", directory.display())]
    NoRoom {
        directory: PathBuf,
        needed_bytes: u64,
        free_bytes: u64,
    },
}

/// Makes an error of what a path was at fault for.
pub(crate) fn io_error(path: &Path) -> impl FnOnce(std::io::Error) -> CopyError {
    move |cause| CopyError::Io {
        path: path.to_owned(),
        cause,
    }
}

fn sqlite_error(path: &Path) -> impl FnOnce(rusqlite::Error) -> CopyError {
    move |cause| CopyError::Sqlite {
        path: path.to_owned(),
        cause,
    }
}

/// Whether somebody is copying the file just now.
pub fn is_being_copied(path: &Path) -> bool {
    File::open(lock_path(path))
        .is_ok_and(|lock| rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared).is_err())
}

pub(crate) fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn lock_path(path: &Path) -> PathBuf {
    with_ending(path, "-copying")
}

/// Tells whoever serves the file, until it is dropped.
fn begin(path: &Path) -> Result<File, CopyError> {
    let lock_path = lock_path(path);
    let mut options = File::options();
    let lock = options.write(true).create(true).truncate(false).open(&lock_path);
    let lock = lock.map_err(io_error(&lock_path))?;
    for _ in 0..LOCK_TRIES {
        if rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            if std::fs::metadata(with_ending(path, "-wal")).is_ok_and(|log| log.len() > SHORT_LOG_BYTES) {
                std::thread::sleep(UNTIL_NOTICED);
            }
            return Ok(lock);
        }
        std::thread::sleep(BETWEEN_TRIES);
    }
    Err(CopyError::UnderWay(path.to_owned()))
}

/// Copies a SQLite file as it is at this moment into scratch space, synced, and gives the path that it has there.
pub fn copy(source: &Path, scratch: &Scratch, name: &str, pace: &mut Pace) -> Result<PathBuf, CopyError> {
    let target = scratch.path_for(name);
    let (at_source, at_target) = (|| sqlite_error(source), || sqlite_error(&target));
    let _told = begin(source)?;
    let from = Connection::open_with_flags(source, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(at_source())?;
    from.busy_timeout(BUSY).map_err(at_source())?;
    // The transaction begins with the first read; all pieces are of its moment.
    from.execute_batch("BEGIN").map_err(at_source())?;
    let bytes = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
    let bytes: u64 = from.query_row(bytes, [], |row| row.get(0)).map_err(at_source())?;
    scratch.require(bytes)?;
    let mut to = new_copy(&target).map_err(at_target())?;
    let file = File::open(&target).map_err(io_error(&target))?;
    copy_pages(&from, &mut to, source, |written| {
        pace.wrote(written, &file).map_err(io_error(&target))
    })?;
    to.close().map_err(|(_, cause)| at_target()(cause))?;
    file.sync_all().map_err(io_error(&target))?;
    Ok(target)
}

/// An empty database that nobody else opens: what is half written is thrown away.
fn new_copy(path: &Path) -> rusqlite::Result<Connection> {
    let to = Connection::open(path)?;
    to.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
    to.pragma_update(None, "journal_mode", "OFF")?;
    to.pragma_update(None, "synchronous", "OFF")?;
    to.pragma_update(None, "cache_size", -CACHE_KIB)?;
    Ok(to)
}

fn copy_pages(
    from: &Connection,
    to: &mut Connection,
    source: &Path,
    mut wrote: impl FnMut(u64) -> Result<(), CopyError>,
) -> Result<(), CopyError> {
    let since = Instant::now();
    let page_bytes: u64 = from
        .query_row("PRAGMA page_size", [], |row| row.get(0))
        .map_err(sqlite_error(source))?;
    let backup = Backup::new(from, to).map_err(sqlite_error(source))?;
    loop {
        if since.elapsed() > LONGEST_COPY {
            return Err(CopyError::TooSlow(source.to_owned()));
        }
        match backup.step(PAGES_PER_STEP).map_err(sqlite_error(source))? {
            StepResult::Done => return Ok(()),
            StepResult::More => wrote(u64::from(PAGES_PER_STEP.unsigned_abs()) * page_bytes)?,
            // Others have a lock that they hold for an instant.
            _ => std::thread::sleep(BETWEEN_TRIES),
        }
    }
}

/// Opens a copy that nobody writes. Nothing is put beside it.
pub fn open_copy(path: &Path) -> rusqlite::Result<Connection> {
    let uri = format!(
        "file:{}?immutable=1",
        percent_encode(path.as_os_str().as_bytes(), PATH)
    );
    Connection::open_with_flags(uri, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI)
}

/// Proves that a copy's pages, rows and indexes are what SQLite makes.
pub fn check(copy: &Path) -> Result<(), CopyError> {
    let check = |connection: Connection| {
        connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get::<_, String>(0))
    };
    let told = open_copy(copy).and_then(check).map_err(sqlite_error(copy))?;
    match told.as_str() {
        "ok" => Ok(()),
        _ => Err(CopyError::Damaged {
            path: copy.to_owned(),
            told,
        }),
    }
}

#[cfg(test)]
mod tests;
