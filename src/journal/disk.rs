//! The room that the journal takes, and has.

use super::{Journal, JournalError};
use std::io;
use std::path::Path;

impl Journal {
    /// Bytes that the journal takes on its disk, and what deliveries have written there so far. Blocks.
    pub fn used_bytes(&self) -> Result<u64, JournalError> {
        let of_both = files_in(&self.directory).and_then(|own| Ok(own + files_in(&self.bodies)?));
        of_both.map_err(JournalError::Io)
    }

    /// Bytes that are free on its disk to this process.
    pub fn free_bytes(&self) -> Result<u64, JournalError> {
        let space = rustix::fs::statvfs(&self.directory).map_err(|cause| JournalError::Io(cause.into()))?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}

/// A file that goes meanwhile counts no longer.
fn files_in(directory: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for item in std::fs::read_dir(directory)? {
        let metadata = item.and_then(|item| item.metadata());
        bytes += metadata.map_or(0, |metadata| if metadata.is_file() { metadata.len() } else { 0 });
    }
    Ok(bytes)
}
