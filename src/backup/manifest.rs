//! What a backup says of itself, in its first entry.

use super::BackupError;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::path::Path;

/// Version of what a backup holds. One of another version is refused, never guessed.
pub(super) const FORMAT_VERSION: u32 = 1;
/// The name of the entry.
pub(super) const NAME: &str = "manifest.json";
/// A longer one is none.
pub(super) const MOST_BYTES: u64 = 1 << 20;

/// What is in a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Manifest {
    pub format_version: u32,
    /// When it was begun: what came after that may not be in it.
    pub made_at: DateTime<Utc>,
    /// The version of the program that made it.
    pub program: String,
    /// In the order in which they stand.
    pub parts: Vec<PartEntry>,
}

/// A file in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PartEntry {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
    pub schema: u32,
    /// Fingerprints of the keys that it was made with; never a key.
    pub keys: Vec<String>,
}

/// As much as every version has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AnyVersion {
    format_version: u32,
}

impl Manifest {
    pub(super) fn parse(text: &[u8], path: &Path) -> Result<Self, BackupError> {
        let unknown = |cause: serde_json::Error| BackupError::NoBackup {
            path: path.to_owned(),
            what: format!("its {NAME}: {cause}"),
        };
        let AnyVersion {
            format_version: found,
        } = serde_json::from_slice(text).map_err(unknown)?;
        match found {
            FORMAT_VERSION => serde_json::from_slice(text).map_err(unknown),
            _ => Err(BackupError::Format { found }),
        }
    }
}
