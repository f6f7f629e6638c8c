//! Files that hold a secret: who may read them, and what they hold.

use crate::text;
use rustix::process::geteuid;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use zeroize::Zeroizing;

/// What a group may not do with a secret, and others not at all.
const MORE_THAN_GROUP_READS: u32 = 0o037;
const GROUP_READS: u32 = 0o040;

/// Why a secret is not taken from its file.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    #[error("{path} cannot be read: {cause}")]
    Unreadable { path: String, cause: io::Error },
    #[error(
        "{path} is open to others (mode {mode:o}); `chmod 600 {path}` \
         (its group may read it where it belongs to root or to who runs this program)"
    )]
    OpenToOthers { path: String, mode: u32 },
}

/// The text in a file that others cannot read. Platforms mount secrets for the group of a process, as root's or its own.
pub fn read(path: &Path) -> Result<Zeroizing<String>, SecretFileError> {
    let shown = || path.display().to_string();
    let unreadable = |cause| SecretFileError::Unreadable { path: shown(), cause };
    let file = File::open(path).map_err(unreadable)?;
    let metadata = file.metadata().map_err(unreadable)?;
    if !is_private(&metadata) {
        return Err(SecretFileError::OpenToOthers {
            path: shown(),
            mode: metadata.mode() & 0o777,
        });
    }
    Ok(Zeroizing::new(text::read_all(file).map_err(unreadable)?))
}

fn is_private(metadata: &Metadata) -> bool {
    let mode = metadata.mode();
    let owner = metadata.uid();
    let is_trusted = owner == 0 || owner == geteuid().as_raw();
    mode & MORE_THAN_GROUP_READS == 0 && (mode & GROUP_READS == 0 || is_trusted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt, chown};

    fn read_with(mode: u32, owner: Option<u32>) -> Result<Zeroizing<String>, SecretFileError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        std::fs::write(&path, "secret\n").unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
        chown(&path, owner, None).unwrap();
        read(&path)
    }

    #[test]
    fn a_group_may_read_and_nobody_else_may_do_anything() {
        for mode in [0o400, 0o600, 0o440, 0o640] {
            assert_eq!(read_with(mode, None).unwrap().as_str(), "secret\n", "{mode:o}");
        }
        for mode in [0o444, 0o644, 0o604, 0o660, 0o602, 0o620, 0o650, 0o641] {
            assert!(
                matches!(read_with(mode, None), Err(SecretFileError::OpenToOthers { mode: told, .. }) if told == mode),
                "{mode:o}"
            );
        }
    }

    #[test]
    fn the_group_of_a_stranger_may_not_read() {
        // Only root gives files away.
        if !geteuid().is_root() {
            return;
        }
        assert!(read_with(0o600, Some(12_345)).is_ok());
        assert!(read_with(0o640, Some(12_345)).is_err());
    }
}
