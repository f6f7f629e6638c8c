//! Brings the log into the file, beside the one who writes.

use super::CACHE_KIB;
use crate::record::fault::TableError;
use crate::store::sqlite_file;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A log beyond this is brought into the file. What is synced at once is what others wait for. The log's file is kept
/// at this length when the log begins anew, so that it is overwritten rather than grown: a sync then is a matter of its
/// own bytes, and does not wait for the file system's own log.
pub(super) const CHECKPOINT_BYTES: u64 = 8 << 20;
/// Beyond this, the writer waits for what came meanwhile to be brought in too, so that the log can begin anew.
const FULL_BYTES: u64 = 10 << 20;
/// Longest wait for those who write and read.
const WAIT: Duration = Duration::from_millis(100);

/// The log, and a connection to bring it in by.
pub(in crate::record) struct Checkpoints {
    path: PathBuf,
    log: PathBuf,
    connection: Option<Connection>,
}

impl Checkpoints {
    pub(in crate::record) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            log: sqlite_file::with_ending(path, "-wal"),
            connection: None,
        }
    }

    /// Brings in the log if it is long.
    pub(in crate::record) fn look(&mut self) -> Result<(), TableError> {
        let bytes = std::fs::metadata(&self.log).map_or(0, |log| log.len());
        metrics::gauge!("kundeforhold_record_wal_bytes").set(bytes as f64);
        if bytes <= CHECKPOINT_BYTES {
            return Ok(());
        }
        let done = self.bring_in(bytes);
        if done.is_err() {
            self.connection = None;
        }
        done
    }

    fn bring_in(&mut self, bytes: u64) -> Result<(), TableError> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let connection = sqlite_file::open_writer(&self.path, CACHE_KIB)?;
                connection.busy_timeout(WAIT)?;
                self.connection.insert(connection)
            }
        };
        connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
        if bytes > FULL_BYTES {
            connection.query_row("PRAGMA wal_checkpoint(FULL)", [], |_| Ok(()))?;
        }
        Ok(())
    }
}
