//! Keeps bodies from being removed while another process copies them.

use super::JournalError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

const NAME: &str = "bodies-lock";
/// Longest wait of a backup for a removal to end.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Held by several who read bodies, or by the one who removes some. Freed when it is dropped.
pub(super) struct BodiesLock {
    _file: Option<File>,
}

impl BodiesLock {
    /// Makes the lock, so that whoever reads finds it.
    pub(super) fn make(directory: &Path) -> Result<(), JournalError> {
        open_or_make(directory).map(drop)
    }

    /// For reading; waits for who removes. A directory without a lock is nobody's to remove anything from.
    pub(super) fn shared(directory: &Path) -> Result<Self, JournalError> {
        let file = match File::open(directory.join(NAME)) {
            Ok(file) => file,
            Err(cause) if cause.kind() == ErrorKind::NotFound => return Ok(Self { _file: None }),
            Err(cause) => return Err(JournalError::Io(cause)),
        };
        let asked = Instant::now();
        loop {
            match file.try_lock_shared() {
                Ok(()) => return Ok(Self { _file: Some(file) }),
                Err(TryLockError::WouldBlock) if asked.elapsed() < LONGEST_WAIT => {
                    std::thread::sleep(LOOK_EVERY);
                }
                Err(TryLockError::WouldBlock) => return Err(JournalError::Io(ErrorKind::TimedOut.into())),
                Err(TryLockError::Error(cause)) => return Err(JournalError::Io(cause)),
            }
        }
    }

    /// For removing; `None` while somebody reads.
    pub(super) fn alone(directory: &Path) -> Result<Option<Self>, JournalError> {
        let file = open_or_make(directory)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self { _file: Some(file) })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(cause)) => Err(JournalError::Io(cause)),
        }
    }
}

fn open_or_make(directory: &Path) -> Result<File, JournalError> {
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    options.open(directory.join(NAME)).map_err(JournalError::Io)
}
