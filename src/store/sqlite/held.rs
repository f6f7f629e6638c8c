//! A file that is kept from being served, so that it can be replaced or mended.

use super::connection::{hold, restoring};
use crate::store::StoreError;
use std::fs::File;
use std::path::{Path, PathBuf};

/// The place of a store that nobody serves, as long as this lives.
pub struct Held {
    path: PathBuf,
    _lock: File,
}

impl Held {
    /// Takes the place, whether there is a store or not.
    pub fn take(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            path: path.to_owned(),
            _lock: hold(path)?,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From here on the store is refused, also after a crash, until it is replaced as a whole.
    pub fn begin_replacing(&self) -> std::io::Result<()> {
        File::create(restoring(&self.path))?.sync_all()?;
        self.sync_directory()
    }

    /// All is in its place.
    pub fn end_replacing(&self) -> std::io::Result<()> {
        self.sync_directory()?;
        std::fs::remove_file(restoring(&self.path))?;
        self.sync_directory()
    }

    fn sync_directory(&self) -> std::io::Result<()> {
        let directory = self
            .path
            .parent()
            .filter(|directory| !directory.as_os_str().is_empty());
        File::open(directory.unwrap_or(Path::new(".")))?.sync_all()
    }
}
