//! What a backup consists of.

use super::{BackupError, hex};
use crate::copying::{self, io_error};
use crate::pseudonym::{KeyFingerprint, PseudonymRing};
use crate::record::{self, KeyRing, RecordPlace};
use crate::store;
use std::io;
use std::path::{Path, PathBuf};

/// A SQLite file that a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Register,
    Record,
}

/// A part, and where it is.
#[derive(Debug, Clone)]
pub struct Source {
    pub part: Part,
    pub path: PathBuf,
}

/// What the parts are read by.
#[derive(Clone, Copy)]
pub struct Keys<'a> {
    pub register: &'a PseudonymRing,
    pub record: &'a KeyRing,
}

/// What is told of a part that was proved.
pub(super) struct Facts {
    pub(super) schema: u32,
    pub(super) keys: Vec<String>,
}

impl Part {
    /// As it is called in a backup.
    pub fn name(self) -> &'static str {
        match self {
            Self::Register => "register.sqlite",
            Self::Record => "record.sqlite",
        }
    }

    /// Proves that a copy is sound, and that this program and these keys can work on it.
    pub(super) fn prove(self, copy: &Path, keys: &Keys<'_>) -> Result<Facts, BackupError> {
        copying::check(copy)?;
        let (schema, keys) = match self {
            Self::Register => prove_register(copy, keys.register)?,
            Self::Record => prove_record(copy, keys.record)?,
        };
        Ok(Facts {
            schema,
            keys: keys.iter().map(|key| hex(key)).collect(),
        })
    }
}

fn prove_register(copy: &Path, given: &PseudonymRing) -> Result<(u32, Vec<KeyFingerprint>), BackupError> {
    let facts = store::facts(copy, given).map_err(BackupError::Register)?;
    Ok((facts.schema, facts.keys))
}

/// Every entry, and the list of heads.
fn prove_record(copy: &Path, ring: &KeyRing) -> Result<(u32, Vec<KeyFingerprint>), BackupError> {
    let proved = record::verify(
        &RecordPlace::Sqlite(copy.to_owned()),
        ring,
        Vec::new(),
        &mut || {},
    );
    let facts = record::facts(copy);
    // Whoever reads it leaves an empty log beside it, which would not fit what is put there next.
    for ending in ["-wal", "-shm"] {
        let beside = copying::with_ending(copy, ending);
        match std::fs::remove_file(&beside) {
            Err(cause) if cause.kind() != io::ErrorKind::NotFound => {
                return Err(io_error(&beside)(cause).into());
            }
            Ok(()) | Err(_) => {}
        }
    }
    match proved.first_fault() {
        Some(fault) => Err(BackupError::Record(fault)),
        None => facts.map_err(|cause| BackupError::Record(cause.to_string())),
    }
}
