//! When something was done last, in a small file beside the register, so that the running service can tell.

use super::sync_directory_of;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What is done beside the service, by commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Backup,
    StoreVerify,
    RecordVerify,
}

/// How it went the last time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Last {
    pub at: DateTime<Utc>,
    pub seconds: f64,
    /// Of a backup.
    pub bytes: u64,
    /// What a verification has found to be wrong.
    pub faults: u64,
}

fn path(register: &Path, deed: Deed) -> PathBuf {
    let mut name = register.as_os_str().to_owned();
    name.push(match deed {
        Deed::Backup => "-last-backup.json",
        Deed::StoreVerify => "-last-store-verify.json",
        Deed::RecordVerify => "-last-record-verify.json",
    });
    name.into()
}

/// Keeps how it went. It names nobody, so all may read it.
pub fn note(register: &Path, deed: Deed, last: &Last) -> io::Result<()> {
    let path = path(register, deed);
    let mut file = tempfile::NamedTempFile::new_in(super::directory_of(register))?;
    file.as_file().set_permissions(PermissionsExt::from_mode(0o644))?;
    serde_json::to_writer(&mut file, last)?;
    file.flush()?;
    file.persist(&path)?;
    sync_directory_of(&path)
}

/// How it went; `None`: it was never done, or that cannot be read.
pub fn last(register: &Path, deed: Deed) -> Option<Last> {
    serde_json::from_slice(&std::fs::read(path(register, deed)).ok()?).ok()
}
