//! Where copies are put while they are needed.

use super::{CopyError, io_error};
use rustix::fs::{FlockOperation, flock, statvfs};
use std::fs::{DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

/// The folder for copies, within the one that is given.
const NAME: &str = "kundeforhold-copies";

/// A folder for the copies of one command at a time, empty at its beginning and at its end: what a command has left that
/// was killed goes with the next one.
pub struct Scratch {
    directory: PathBuf,
    keep_free_bytes: u64,
    /// Held as long as the folder is used.
    _lock: File,
}

impl Scratch {
    /// Takes the folder, made if need be. Copies leave so much of the disk free.
    pub fn take(within: &Path, keep_free_bytes: u64) -> Result<Self, CopyError> {
        let directory = within.join(NAME);
        let mut builder = DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&directory);
        made.map_err(io_error(&directory))?;
        let lock = File::open(&directory).map_err(io_error(&directory))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(CopyError::UnderWay(directory));
        }
        empty(&directory).map_err(io_error(&directory))?;
        Ok(Self {
            directory,
            keep_free_bytes,
            _lock: lock,
        })
    }

    /// The folder itself.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// What copies leave free of the disk.
    pub fn keep_free_bytes(&self) -> u64 {
        self.keep_free_bytes
    }

    /// The place of a copy.
    pub fn path_for(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Refuses what the disk has no room for.
    pub fn require(&self, bytes: u64) -> Result<(), CopyError> {
        require(&self.directory, bytes, self.keep_free_bytes)
    }
}

/// Refuses what the disk of a folder has no room for, besides what has to stay free.
pub(crate) fn require(directory: &Path, bytes: u64, keep_free_bytes: u64) -> Result<(), CopyError> {
    let space = statvfs(directory).map_err(|cause| io_error(directory)(cause.into()))?;
    let free_bytes = space.f_bavail.saturating_mul(space.f_frsize);
    let needed_bytes = bytes.saturating_add(keep_free_bytes);
    match free_bytes >= needed_bytes {
        true => Ok(()),
        false => Err(CopyError::NoRoom {
            directory: directory.to_owned(),
            needed_bytes,
            free_bytes,
        }),
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What cannot be removed now goes with the next command.
        let _ = empty(&self.directory);
    }
}

fn empty(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        std::fs::remove_file(entry?.path())?;
    }
    Ok(())
}
