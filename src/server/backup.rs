//! The journal that the settings name, to and from one file.

use crate::chain::HeadKey;
use crate::config::{ConfigError, Settings};
use crate::journal::{self, BackedUp, BackupError};
use crate::pseudonym::{KeyFingerprint, MasterKey, Pseudonyms};
use std::io::{Read, Write};
use std::path::Path;

/// Why there is no backup, or nothing restored.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("this instance has no journal (journal.directory)")]
    NoJournal,
    #[error(transparent)]
    Backup(#[from] BackupError),
}

/// Writes the journal to `out`; a service may run on it. `told` gets bytes done and bytes in all.
pub fn back_up(
    settings: &Settings,
    out: impl Write,
    told: &mut dyn FnMut(u64, u64),
) -> Result<BackedUp, Refused> {
    let (head_key, key) = keys(settings)?;
    Ok(journal::back_up(directory(settings)?, &head_key, key, out, told)?)
}

/// Makes the journal from a backup. Its directory has to be empty or new.
pub fn restore(
    settings: &Settings,
    input: impl Read,
    told: &mut dyn FnMut(u64, u64),
) -> Result<BackedUp, Refused> {
    let (head_key, key) = keys(settings)?;
    Ok(journal::restore(
        input,
        directory(settings)?,
        &head_key,
        key,
        told,
    )?)
}

fn directory(settings: &Settings) -> Result<&Path, Refused> {
    settings.journal_directory().ok_or(Refused::NoJournal)
}

fn keys(settings: &Settings) -> Result<(HeadKey, KeyFingerprint), ConfigError> {
    let key = settings.master_key()?;
    Ok((head_key(&key), Pseudonyms::new(&key).fingerprint()))
}

/// What authenticates the journal's chain.
pub(super) fn head_key(key: &MasterKey) -> HeadKey {
    HeadKey::new(*key.derive("journal/head"))
}
