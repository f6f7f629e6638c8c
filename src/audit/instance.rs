//! Which instance of the service wrote an entry.

use std::fmt;
use std::io::Write;
use std::path::Path;
use tempfile::NamedTempFile;
use uuid::Uuid;

/// Keeps the id that was drawn for a folder.
const FILE_NAME: &str = "instance";
const MAX_LENGTH: usize = 64;

/// Why there is no id.
#[derive(Debug, thiserror::Error)]
pub enum InstanceError {
    #[error("an instance id has 1 to {MAX_LENGTH} letters, digits, dots, hyphens and underscores")]
    Shape,
    #[error("the instance id cannot be kept in {folder}: {cause}")]
    Io { folder: String, cause: std::io::Error },
}

/// Names an instance: `audit.instance`, or a random id that stays with the folder of its log.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct InstanceId(String);

impl InstanceId {
    pub fn parse(text: &str) -> Result<Self, InstanceError> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if text.is_empty() || text.len() > MAX_LENGTH || !text.bytes().all(allowed) {
            return Err(InstanceError::Shape);
        }
        Ok(Self(text.to_owned()))
    }

    /// The id kept in the folder; drawn if there is none yet.
    pub fn of_folder(folder: &Path) -> Result<Self, InstanceError> {
        let failed = |cause| InstanceError::Io {
            folder: folder.display().to_string(),
            cause,
        };
        let path = folder.join(FILE_NAME);
        match std::fs::read_to_string(&path) {
            Ok(text) => Self::parse(text.trim()),
            Err(cause) if cause.kind() == std::io::ErrorKind::NotFound => {
                let drawn = Self(Uuid::new_v4().to_string());
                let mut file = NamedTempFile::new_in(folder).map_err(failed)?;
                writeln!(file, "{drawn}").map_err(failed)?;
                file.as_file().sync_all().map_err(failed)?;
                file.persist(&path).map_err(|error| failed(error.error))?;
                Ok(drawn)
            }
            Err(cause) => Err(failed(cause)),
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for InstanceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
