//! What a backup consists of.

use super::{BackupError, hex};
use crate::copying;
use crate::pseudonym::KeyFingerprint;
use crate::store;
use std::path::{Path, PathBuf};

/// A SQLite file that a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Register,
}

/// A part, and where it is.
#[derive(Debug, Clone)]
pub struct Source {
    pub part: Part,
    pub path: PathBuf,
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
        }
    }

    /// Proves that a copy is sound, and that this program and this key can work on it.
    pub(super) fn prove(self, copy: &Path, key: KeyFingerprint) -> Result<Facts, BackupError> {
        copying::check(copy)?;
        let facts = match self {
            Self::Register => store::facts(copy, key),
        };
        let facts = facts.map_err(|cause| BackupError::Store {
            part: self.name(),
            cause,
        })?;
        Ok(Facts {
            schema: facts.schema,
            keys: facts.keys.iter().map(|key| hex(key)).collect(),
        })
    }
}
