//! Brings the log into the file, beside the one who writes.

use super::CACHE_KIB;
use crate::copying::is_being_copied;
use crate::record::fault::TableError;
use crate::store::sqlite_file;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// So much of the log is brought into the file at once. What is synced at once is what others wait for.
const CHECKPOINT_BYTES: u64 = 4 << 20;
/// A log of this length is begun anew, for which the writer waits a moment. Its file keeps the length, so that it is
/// overwritten rather than grown: a sync then is a matter of its own bytes, and does not wait for the file system's log.
pub(super) const RESTART_BYTES: u64 = 16 << 20;
/// Longest wait for those who write and read.
const WAIT: Duration = Duration::from_millis(100);

/// The record, and a connection to bring its log in by.
pub(in crate::record) struct Checkpoints {
    path: PathBuf,
    connection: Option<Connection>,
}

impl Checkpoints {
    pub(in crate::record) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            connection: None,
        }
    }

    /// Brings in the log if it is long.
    pub(in crate::record) fn look(&mut self) -> Result<(), TableError> {
        let done = self.bring_in();
        if done.is_err() {
            self.connection = None;
        }
        done
    }

    fn bring_in(&mut self) -> Result<(), TableError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => self.connection.insert(connect(&self.path)?),
        };
        let log = sqlite_file::checkpoint(connection, "NOOP")?;
        metrics::gauge!("kundeforhold_record_wal_bytes").set(log.ahead as f64);
        // While the file is copied the log cannot begin anew, and the writer would wait for it in vain.
        let begins_anew = log.bytes >= RESTART_BYTES && log.ahead > 0 && !is_being_copied(&self.path);
        if begins_anew || log.ahead >= CHECKPOINT_BYTES {
            sqlite_file::checkpoint(connection, "PASSIVE")?;
        }
        if begins_anew {
            sqlite_file::checkpoint(connection, "FULL")?;
        }
        Ok(())
    }
}

/// Where the file is gone, none is made in its place.
fn connect(path: &Path) -> Result<Connection, TableError> {
    if !path.exists() {
        return Err(TableError::absent(path));
    }
    let connection = sqlite_file::open_writer(path, CACHE_KIB)?;
    connection.pragma_update(None, "journal_size_limit", RESTART_BYTES.cast_signed())?;
    connection.busy_timeout(WAIT)?;
    Ok(connection)
}
