//! The key that the register is to be given next, and the file it is in.

use super::RekeyError;
use crate::journal::JournalKey;
use crate::pseudonym::{KeyError, KeyFingerprint, MasterKey};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The next key, as it was found in its file.
#[derive(Clone)]
pub struct NextKey {
    file: PathBuf,
    key: JournalKey,
}

impl NextKey {
    /// `None`: there is no such file.
    pub fn read(file: &Path) -> Result<Option<Self>, KeyError> {
        if !file.exists() {
            return Ok(None);
        }
        Ok(Some(Self {
            file: file.to_owned(),
            key: JournalKey::new(&MasterKey::read(file)?),
        }))
    }

    pub fn key(&self) -> &JournalKey {
        &self.key
    }

    pub fn fingerprint(&self) -> KeyFingerprint {
        self.key.fingerprint()
    }

    /// Makes certain that the key is on disk, and stays there: without it, what is written with it is lost.
    pub(super) fn make_certain(&self) -> Result<(), RekeyError> {
        let stands = Self::read(&self.file)?.is_some_and(|found| found.fingerprint() == self.fingerprint());
        if !stands {
            return Err(RekeyError::NextKeyGone);
        }
        let directory = self.file.parent().filter(|path| !path.as_os_str().is_empty());
        let synced = File::open(&self.file).and_then(|file| file.sync_all());
        let synced = synced.and_then(|()| File::open(directory.unwrap_or(Path::new(".")))?.sync_all());
        synced.map_err(RekeyError::NextKeyNotDurable)
    }
}
