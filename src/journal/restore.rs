//! The journal back from one file: beside its place first, proved, then into it as a whole.

use super::backup::{BackedUp, BackupError, CONTENTS_BYTES, Contents, MAGIC, VERSION};
use super::inventory::Inventory;
use super::{bodies_in, body};
use crate::chain::{self, HASH_BYTES, HeadKey};
use crate::pseudonym::KeyFingerprint;
use sha2::{Digest, Sha256};
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

const BUFFER_BYTES: usize = 256 * 1024;
/// Largest window of a backup, as a power of two: 8 MiB, more than the compression level needs.
const MAX_WINDOW_LOG: u32 = 23;

/// Makes the journal in `directory`, which must be empty or new, from a backup. Nothing is there before all of
/// it is proved and durable. `told` gets bytes done and bytes in all. Blocks.
pub fn restore(
    mut input: impl Read,
    directory: &Path,
    head_key: &HeadKey,
    key: KeyFingerprint,
    told: &mut dyn FnMut(u64, u64),
) -> Result<BackedUp, BackupError> {
    require_empty(directory)?;
    let mut start = [0; MAGIC.len() + 1];
    input
        .read_exact(&mut start)
        .map_err(|_| BackupError::NotABackup)?;
    match start.strip_prefix(&MAGIC) {
        Some([VERSION]) => {}
        Some(version) => return Err(BackupError::UnknownVersion(version.first().copied().unwrap_or(0))),
        None => return Err(BackupError::NotABackup),
    }
    let mut input = zstd::Decoder::new(input).map_err(BackupError::Read)?;
    input.window_log_max(MAX_WINDOW_LOG).map_err(BackupError::Read)?;
    let beside = beside(directory)?;
    let mut unpacking = Unpacking::begin(input, head_key, told)?;
    unpacking.segments(beside.path())?;
    let inventory = Inventory::read(beside.path(), head_key, key)?;
    unpacking.bodies(beside.path(), &inventory)?;
    unpacking.end()?;
    put_in_place(beside, directory)?;
    Ok(BackedUp::of(&inventory))
}

fn require_empty(directory: &Path) -> Result<(), BackupError> {
    match std::fs::read_dir(directory) {
        Ok(mut items) => match items.next() {
            None => Ok(()),
            Some(_) => Err(BackupError::NotEmpty(directory.to_owned())),
        },
        Err(cause) if cause.kind() == ErrorKind::NotFound => Ok(()),
        Err(cause) => Err(BackupError::on(directory)(cause)),
    }
}

/// A directory on the same disk, readable by its owner only, that goes unless it is put in place.
fn beside(directory: &Path) -> Result<tempfile::TempDir, BackupError> {
    let parent = parent_of(directory);
    std::fs::create_dir_all(parent).map_err(BackupError::on(parent))?;
    let made = tempfile::Builder::new()
        .prefix(".restoring-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(parent)
        .map_err(BackupError::on(parent))?;
    let bodies = bodies_in(made.path());
    let made_bodies = DirBuilder::new().mode(0o700).create(&bodies);
    made_bodies.map_err(BackupError::on(&bodies))?;
    Ok(made)
}

fn parent_of(directory: &Path) -> &Path {
    let parent = directory.parent();
    parent
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// One atomic, durable step.
fn put_in_place(beside: tempfile::TempDir, directory: &Path) -> Result<(), BackupError> {
    for path in [&bodies_in(beside.path()), beside.path(), parent_of(directory)] {
        sync_directory(path)?;
    }
    std::fs::rename(beside.path(), directory).map_err(BackupError::on(directory))?;
    // It has another name now; there is nothing left to remove.
    let _ = beside.keep();
    sync_directory(parent_of(directory))
}

fn sync_directory(path: &Path) -> Result<(), BackupError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(BackupError::on(path))
}

struct Unpacking<'t, R> {
    input: R,
    contents: Contents,
    done: u64,
    told: &'t mut dyn FnMut(u64, u64),
}

impl<'t, R: Read> Unpacking<'t, R> {
    fn begin(
        mut input: R,
        head_key: &HeadKey,
        told: &'t mut dyn FnMut(u64, u64),
    ) -> Result<Self, BackupError> {
        let contents: [u8; CONTENTS_BYTES] = array(&mut input)?;
        let signature: [u8; HASH_BYTES] = array(&mut input)?;
        if !head_key.has_signed(&contents, &signature) {
            return Err(BackupError::OtherKey);
        }
        Ok(Self {
            input,
            contents: Contents::decode(&contents).ok_or(BackupError::Damaged("its contents"))?,
            done: 0,
            told,
        })
    }

    fn segments(&mut self, directory: &Path) -> Result<(), BackupError> {
        for _ in 0..self.contents.segments {
            let first = u64::from_be_bytes(array(&mut self.input)?);
            let bytes = u64::from_be_bytes(array(&mut self.input)?);
            self.file(&chain::segment_path(directory, first), bytes)?;
        }
        Ok(())
    }

    fn bodies(&mut self, directory: &Path, inventory: &Inventory) -> Result<(), BackupError> {
        if inventory.head != self.contents.head || inventory.bytes() != self.contents.bytes {
            return Err(BackupError::Damaged("its segments are not those that it names"));
        }
        for kept in &inventory.bodies {
            let path = body::body_path(&bodies_in(directory), kept.name);
            if self.file(&path, kept.bytes)? != kept.sha256 {
                return Err(BackupError::BodyChanged(kept.delivery));
            }
        }
        Ok(())
    }

    /// Writes a file durably from what comes next, and gives its SHA-256.
    fn file(&mut self, path: &Path, bytes: u64) -> Result<[u8; 32], BackupError> {
        if bytes > self.contents.bytes.saturating_sub(self.done) {
            return Err(BackupError::Damaged("a file is longer than what it names"));
        }
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(path);
        let mut file = file.map_err(BackupError::on(path))?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut left = bytes;
        while left > 0 {
            let piece = &mut buffer[..usize::try_from(left).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES)];
            self.input.read_exact(piece).map_err(unreadable)?;
            hash.update(&*piece);
            file.write_all(piece).map_err(BackupError::on(path))?;
            left -= piece.len() as u64;
            self.done += piece.len() as u64;
            (self.told)(self.done, self.contents.bytes);
        }
        file.sync_all().map_err(BackupError::on(path))?;
        Ok(hash.finalize().into())
    }

    /// Nothing follows, and the checksum at the end is right.
    fn end(mut self) -> Result<(), BackupError> {
        match self.input.read(&mut [0]).map_err(unreadable)? {
            0 => Ok(()),
            _ => Err(BackupError::Damaged("something follows its end")),
        }
    }
}

fn array<const N: usize>(input: &mut impl Read) -> Result<[u8; N], BackupError> {
    let mut bytes = [0; N];
    input.read_exact(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn unreadable(cause: io::Error) -> BackupError {
    match cause.kind() {
        ErrorKind::UnexpectedEof => BackupError::Cut,
        _ => BackupError::Read(cause),
    }
}
