//! A full disk is refused before it hurts.

use super::DeliveryError;
use std::io;
use std::path::PathBuf;

/// What has to stay free on the disk of the store, for the end of what is under way.
#[derive(Clone)]
pub struct Space {
    pub directory: PathBuf,
    pub min_free_bytes: u64,
}

impl Space {
    /// Refuses what would take more of a disk that is nearly full. Cheap: to be asked for each block.
    pub(super) fn check(&self) -> Result<(), DeliveryError> {
        let free_bytes = self.free_bytes()?;
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

    /// Whether so much more can be written.
    pub fn has_room_for(&self, bytes: u64) -> io::Result<bool> {
        Ok(self.free_bytes()? >= self.min_free_bytes.saturating_add(bytes))
    }

    /// What is left on the disk.
    pub fn free_bytes(&self) -> io::Result<u64> {
        let space = rustix::fs::statvfs(&self.directory)?;
        Ok(space.f_bavail.saturating_mul(space.f_frsize))
    }
}
