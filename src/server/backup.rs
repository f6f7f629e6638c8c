//! The journal that the settings name, to and from one file.

use crate::config::{ConfigError, Settings};
use crate::journal::{BackedUp, BackupError, JournalKey, JournalPlace};
use std::io::{Read, Write};

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

/// Writes the journal in force to `out`; a service may run on it. `told` gets bytes done and bytes in all.
pub fn back_up(
    settings: &Settings,
    out: impl Write,
    told: &mut dyn FnMut(u64, u64),
) -> Result<BackedUp, Refused> {
    let mut keys = vec![JournalKey::new(&settings.master_key()?)];
    keys.extend(settings.next_master_key()?.as_ref().map(JournalKey::new));
    Ok(place(settings)?.back_up(&keys, out, told)?)
}

/// Makes the journal from a backup under the key in use. Its directory has to be empty or new.
pub fn restore(
    settings: &Settings,
    input: impl Read,
    told: &mut dyn FnMut(u64, u64),
) -> Result<BackedUp, Refused> {
    let key = JournalKey::new(&settings.master_key()?);
    Ok(place(settings)?.restore(&key, input, told)?)
}

fn place(settings: &Settings) -> Result<JournalPlace, Refused> {
    let directory = settings.journal_directory().ok_or(Refused::NoJournal)?;
    Ok(JournalPlace::new(directory))
}
