//! Where the register's journals are: one directory for each pseudonym key, and a file that names the one in force.

use super::{BackedUp, BackupError, Journal, JournalError, Register, back_up, restore};
use crate::chain::{HeadKey, OpenError, ReadError};
use crate::pseudonym::{KeyFingerprint, MasterKey, Pseudonyms, Reseal};
use std::fs::{DirBuilder, File};
use std::io::{Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names the journal in force: a format version and the fingerprint of its key.
const CURRENT_NAME: &str = "current";
const FORMAT: &str = "1 ";

/// What a journal is written with.
#[derive(Clone)]
pub struct JournalKey {
    pub pseudonyms: Arc<Pseudonyms>,
    head_key: HeadKey,
}

impl JournalKey {
    pub fn new(key: &MasterKey) -> Self {
        Self {
            pseudonyms: Arc::new(Pseudonyms::new(key)),
            head_key: HeadKey::new(*key.derive("journal/head")),
        }
    }

    pub fn fingerprint(&self) -> KeyFingerprint {
        self.pseudonyms.fingerprint()
    }
}

/// The directory of the register's journals. Next to the one in force there is a copy under the next key while that
/// is being made; whatever else is there was one of the two once.
#[derive(Debug, Clone)]
pub struct JournalPlace(PathBuf);

impl JournalPlace {
    pub fn new(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    /// Opens the journal in force, which is of one of the keys, or begins the first one with the first of them: one
    /// of `register`.
    pub async fn open(&self, keys: &[JournalKey], register: Register) -> Result<Journal, JournalError> {
        self.make()?;
        let current = self.current()?;
        let first = keys.first().map(JournalKey::fingerprint);
        let wanted = current.or(first).ok_or(JournalError::OtherKey)?;
        let key = keys.iter().find(|key| key.fingerprint() == wanted);
        let key = key.ok_or(JournalError::OtherKey)?;
        if current.is_none() && self.has_others(&[wanted])? {
            return Err(JournalError::OtherKey);
        }
        let journal = Journal::open_or_join(&self.of(wanted), &key.head_key, wanted, register).await?;
        match current {
            None => self.put_in_force(wanted)?,
            // Another process changed the key between the two.
            Some(_) if self.current()? != current => return Err(JournalError::Replaced),
            Some(_) => {}
        }
        Ok(journal)
    }

    /// Opens the copy of the journal in force under the next key, or begins it. One that is damaged is removed, so
    /// that the next attempt begins it anew.
    pub async fn open_copy(
        &self,
        next: &JournalKey,
        reseal: &Reseal,
        original: &Journal,
    ) -> Result<Journal, JournalError> {
        let directory = self.of(next.fingerprint());
        let opened = Journal::open_copy(&directory, &next.head_key, reseal, original).await;
        if let Err(cause) = &opened
            && is_damage(cause)
            && self.current()? != Some(next.fingerprint())
        {
            tracing::warn!(%cause, "the copy under the next pseudonym key is damaged, and begun anew");
            std::fs::remove_dir_all(&directory).map_err(|cause| self.failed(cause))?;
        }
        opened
    }

    /// Writes the journal in force to `out`, proved; see [`back_up`].
    pub fn back_up(
        &self,
        keys: &[JournalKey],
        out: impl Write,
        told: &mut dyn FnMut(u64, u64),
    ) -> Result<BackedUp, BackupError> {
        let current = self.current()?;
        let current = current.ok_or_else(|| BackupError::NoJournal(self.0.clone()))?;
        let key = keys.iter().find(|key| key.fingerprint() == current);
        let key = key.ok_or(JournalError::OtherKey)?;
        back_up(&self.of(current), &key.head_key, current, out, told)
    }

    /// Makes the first journal here from a backup under a key, and puts it in force; see [`restore`].
    pub fn restore(
        &self,
        key: &JournalKey,
        input: impl Read,
        told: &mut dyn FnMut(u64, u64),
    ) -> Result<BackedUp, BackupError> {
        self.make()?;
        for item in std::fs::read_dir(&self.0).map_err(|cause| self.failed(cause))? {
            let name = item.map_err(|cause| self.failed(cause))?.file_name();
            // A new disk has this.
            if name != "lost+found" {
                return Err(BackupError::NotEmpty(self.0.clone()));
            }
        }
        let directory = self.of(key.fingerprint());
        let restored = restore(input, &directory, &key.head_key, key.fingerprint(), told)?;
        self.put_in_force(key.fingerprint())?;
        Ok(restored)
    }

    /// The directory of the journal of a key.
    pub fn of(&self, key: KeyFingerprint) -> PathBuf {
        self.0.join(hexadecimal(key))
    }

    /// The key of the journal in force; `None`: there is no journal yet.
    pub fn current(&self) -> Result<Option<KeyFingerprint>, JournalError> {
        match std::fs::read_to_string(self.0.join(CURRENT_NAME)) {
            Ok(text) => text
                .strip_prefix(FORMAT)
                .and_then(|hex| fingerprint(hex.trim_end()))
                .map(Some)
                .ok_or(JournalError::Corrupt("name of the journal in force")),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(cause) => Err(self.failed(cause)),
        }
    }

    /// Puts the journal of a key in force: one atomic, durable step.
    pub fn put_in_force(&self, key: KeyFingerprint) -> Result<(), JournalError> {
        let put = || {
            let mut file = tempfile::NamedTempFile::new_in(&self.0)?;
            writeln!(file, "{FORMAT}{}", hexadecimal(key))?;
            file.as_file().sync_all()?;
            file.persist(self.0.join(CURRENT_NAME))?;
            File::open(&self.0)?.sync_all()
        };
        put().map_err(|cause| self.failed(cause))
    }

    /// Makes the directory, readable by its owner only.
    fn make(&self) -> Result<(), JournalError> {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&self.0);
        made.map_err(|cause| self.failed(cause))
    }

    fn failed(&self, cause: std::io::Error) -> JournalError {
        let path = self.0.display().to_string();
        JournalError::Directory { path, cause }
    }

    /// Whether there are journals of other keys than these.
    fn has_others(&self, kept: &[KeyFingerprint]) -> Result<bool, JournalError> {
        Ok(!self.others(kept)?.is_empty())
    }

    /// Removes the journals of all other keys.
    pub fn remove_others(&self, kept: &[KeyFingerprint]) -> Result<(), JournalError> {
        for path in self.others(kept)? {
            std::fs::remove_dir_all(path).map_err(|cause| self.failed(cause))?;
        }
        Ok(())
    }

    fn others(&self, kept: &[KeyFingerprint]) -> Result<Vec<PathBuf>, JournalError> {
        let mut others = Vec::new();
        for item in std::fs::read_dir(&self.0).map_err(|cause| self.failed(cause))? {
            let item = item.map_err(|cause| self.failed(cause))?;
            let key = item.file_name().to_str().and_then(fingerprint);
            if key.is_some_and(|key| !kept.contains(&key)) {
                others.push(item.path());
            }
        }
        Ok(others)
    }
}

/// Whether what is stored is not what was to be stored, rather than out of reach for now.
fn is_damage(cause: &JournalError) -> bool {
    match cause {
        JournalError::Open(OpenError::Corrupt(_))
        | JournalError::Read(ReadError::Corrupt(_))
        | JournalError::Corrupt(_)
        | JournalError::OtherJournal
        | JournalError::OtherKey => true,
        JournalError::Open(OpenError::Io(_) | OpenError::InUse(_))
        | JournalError::Read(ReadError::Io(_))
        | JournalError::Append(_)
        | JournalError::Io(_)
        | JournalError::Directory { .. }
        | JournalError::LetGo(_)
        | JournalError::Pseudonym(_)
        | JournalError::Replaced
        | JournalError::Panicked => false,
    }
}

fn hexadecimal(key: KeyFingerprint) -> String {
    format!("{:016x}", u64::from_be_bytes(key))
}

fn fingerprint(hexadecimal: &str) -> Option<KeyFingerprint> {
    let is_plain = hexadecimal.len() == 16 && hexadecimal.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u64::from_str_radix(hexadecimal, 16).ok().filter(|_| is_plain)?;
    Some(number.to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_in_force_is_named_by_its_key() {
        let directory = tempfile::tempdir().unwrap();
        let place = JournalPlace::new(directory.path());
        assert_eq!(place.current().unwrap(), None);
        for key in [[0, 1, 2, 3, 4, 5, 6, 7], [0xff; 8]] {
            place.put_in_force(key).unwrap();
            assert_eq!(place.current().unwrap(), Some(key));
            std::fs::create_dir(place.of(key)).unwrap();
        }
        std::fs::create_dir(directory.path().join("lost+found")).unwrap();
        assert!(place.has_others(&[[0xff; 8]]).unwrap());
        place.remove_others(&[[0xff; 8]]).unwrap();
        assert!(!place.has_others(&[[0xff; 8]]).unwrap());
        assert!(place.of([0xff; 8]).exists() && directory.path().join("lost+found").exists());
        std::fs::write(directory.path().join(CURRENT_NAME), "2 0001020304050607\n").unwrap();
        assert!(matches!(place.current(), Err(JournalError::Corrupt(_))));
    }
}
