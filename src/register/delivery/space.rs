//! A full disk is refused before it hurts.

use super::DeliveryError;
use crate::journal::Journal;
use std::io;
use std::sync::Arc;

/// What has to stay free on the journal's disk, for entries and the end of what is under way.
#[derive(Clone)]
pub struct Space {
    pub(super) journal: Arc<Journal>,
    pub(super) min_free_bytes: u64,
}

impl Space {
    /// Refuses what would take more of a disk that is nearly full. Cheap: to be asked for each block.
    pub(super) fn check(&self) -> Result<(), DeliveryError> {
        let free_bytes = self.journal.free_bytes()?;
        if free_bytes < self.min_free_bytes {
            return Err(DeliveryError::DiskFull { free_bytes });
        }
        Ok(())
    }

    /// The same as the failure of a write.
    pub(super) fn check_write(&self) -> io::Result<()> {
        self.check()
            .map_err(|cause| io::Error::new(io::ErrorKind::StorageFull, cause))
    }
}
