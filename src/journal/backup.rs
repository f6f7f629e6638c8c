//! The journal in one file.
//!
//! ```text
//! backup   = magic (8) version (1) zstd(contents segment+ body*)
//! contents = magic (8) last sequence (8) its hash (32) segments (8) bytes of all (8) MAC of these (32)
//! segment  = first sequence (8) length (8) that many bytes of its file
//! body     = the file; which one, and how long, follows from the segments
//! ```
//!
//! Numbers are big-endian. The bodies come in the order of their deliveries. Read back, the segments prove themselves
//! under the head key, the contents say where they end, and the chain names length and hash of each body.

use super::inventory::Inventory;
use super::lock::BodiesLock;
use super::{JournalError, bodies_in, body};
use crate::chain::{self, HASH_BYTES, Hash, Head, HeadKey};
use crate::pseudonym::KeyFingerprint;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use uuid::Uuid;

pub(super) const MAGIC: [u8; 8] = *b"KFBACKUP";
pub(super) const VERSION: u8 = 1;
const CONTENTS_MAGIC: [u8; 8] = *b"KFINSIDE";
pub(super) const CONTENTS_BYTES: usize = 8 + 8 + HASH_BYTES + 8 + 8;
/// Pseudonyms hardly compress; more effort would only take longer.
const COMPRESSION_LEVEL: i32 = 1;
const BUFFER_BYTES: usize = 256 * 1024;

/// Why a journal was not backed up or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("there is no journal in {}", .0.display())]
    NoJournal(PathBuf),
    #[error("the body of delivery {0} is missing")]
    BodyMissing(Uuid),
    #[error("the body of delivery {0} is not what was published")]
    BodyChanged(Uuid),
    #[error("{}: {cause}", path.display())]
    File { path: PathBuf, cause: io::Error },
    #[error("the backup cannot be written: {0}")]
    Write(io::Error),
    #[error("this is not a backup of a journal")]
    NotABackup,
    #[error("the backup is of format version {0}, which this program does not know")]
    UnknownVersion(u8),
    #[error("the backup was made under another pseudonym key, or its beginning is damaged")]
    OtherKey,
    #[error("the backup ends before its end: it was cut")]
    Cut,
    #[error("the backup cannot be read, or is damaged: {0}")]
    Read(io::Error),
    #[error("the backup is damaged: {0}")]
    Damaged(&'static str),
    #[error("{} is not empty; a backup is restored to an empty or new directory only", .0.display())]
    NotEmpty(PathBuf),
}

impl BackupError {
    pub(super) fn on(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::File { path, cause }
    }
}

/// What a backup holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackedUp {
    /// Entries of the chain.
    pub entries: u64,
    /// Hash of the last one.
    pub head: Hash,
    pub bodies: u64,
    /// Of all files of the journal.
    pub bytes: u64,
}

impl BackedUp {
    pub(super) fn of(inventory: &Inventory) -> Self {
        Self {
            entries: inventory.head.sequence,
            head: inventory.head.hash,
            bodies: inventory.bodies.len() as u64,
            bytes: inventory.bytes(),
        }
    }
}

/// What the backup says of itself, under the head key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Contents {
    pub(super) head: Head,
    pub(super) segments: u64,
    /// Of all files.
    pub(super) bytes: u64,
}

impl Contents {
    fn encode(&self) -> [u8; CONTENTS_BYTES] {
        let mut bytes = [0; CONTENTS_BYTES];
        bytes[..8].copy_from_slice(&CONTENTS_MAGIC);
        bytes[8..16].copy_from_slice(&self.head.sequence.to_be_bytes());
        bytes[16..48].copy_from_slice(&self.head.hash);
        bytes[48..56].copy_from_slice(&self.segments.to_be_bytes());
        bytes[56..].copy_from_slice(&self.bytes.to_be_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8; CONTENTS_BYTES]) -> Option<Self> {
        let rest = bytes.strip_prefix(&CONTENTS_MAGIC)?;
        let (sequence, rest) = rest.split_first_chunk()?;
        let (hash, rest) = rest.split_first_chunk()?;
        let (segments, rest) = rest.split_first_chunk()?;
        Some(Self {
            head: Head {
                sequence: u64::from_be_bytes(*sequence),
                hash: *hash,
            },
            segments: u64::from_be_bytes(*segments),
            bytes: u64::from_be_bytes(*rest.first_chunk()?),
        })
    }
}

/// Writes the journal in `directory` to `out`, proved, as it stands at this moment; a service may write on
/// meanwhile. `told` gets bytes done and bytes in all. Blocks. Memory is bounded by one segment.
pub fn back_up(
    directory: &Path,
    head_key: &HeadKey,
    key: KeyFingerprint,
    mut out: impl Write,
    told: &mut dyn FnMut(u64, u64),
) -> Result<BackedUp, BackupError> {
    let _bodies_stay = BodiesLock::shared(directory)?;
    let inventory = Inventory::read(directory, head_key, key)?;
    let contents = Contents {
        head: inventory.head,
        segments: inventory.segments.len() as u64,
        bytes: inventory.bytes(),
    };
    out.write_all(&MAGIC).map_err(BackupError::Write)?;
    out.write_all(&[VERSION]).map_err(BackupError::Write)?;
    let mut out = zstd::Encoder::new(out, COMPRESSION_LEVEL).map_err(BackupError::Write)?;
    out.include_checksum(true).map_err(BackupError::Write)?;
    write_contents(&contents, head_key, &mut out).map_err(BackupError::Write)?;
    let mut copy = Copy {
        out,
        done: 0,
        total: contents.bytes,
        told,
    };
    for segment in &inventory.segments {
        let path = chain::segment_path(directory, segment.first);
        let head = [segment.first.to_be_bytes(), segment.bytes.to_be_bytes()].concat();
        copy.out.write_all(&head).map_err(BackupError::Write)?;
        copy.file(&path, segment.bytes)?;
    }
    for kept in &inventory.bodies {
        let path = body::body_path(&bodies_in(directory), kept.name);
        if !path.exists() {
            return Err(BackupError::BodyMissing(kept.delivery));
        }
        if copy.file(&path, kept.bytes)? != kept.sha256 {
            return Err(BackupError::BodyChanged(kept.delivery));
        }
    }
    let ended = copy.out.finish().and_then(|mut out| out.flush());
    ended.map_err(BackupError::Write)?;
    Ok(BackedUp::of(&inventory))
}

fn write_contents(contents: &Contents, head_key: &HeadKey, out: &mut impl Write) -> io::Result<()> {
    let contents = contents.encode();
    out.write_all(&contents)?;
    out.write_all(&head_key.sign(&contents))
}

struct Copy<'t, W> {
    out: W,
    done: u64,
    total: u64,
    told: &'t mut dyn FnMut(u64, u64),
}

impl<W: Write> Copy<'_, W> {
    /// Copies the first bytes of a file and gives their SHA-256.
    fn file(&mut self, path: &Path, bytes: u64) -> Result<[u8; 32], BackupError> {
        let mut file = File::open(path).map_err(BackupError::on(path))?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut left = bytes;
        while left > 0 {
            let piece = &mut buffer[..usize::try_from(left).unwrap_or(BUFFER_BYTES).min(BUFFER_BYTES)];
            file.read_exact(piece).map_err(BackupError::on(path))?;
            hash.update(&*piece);
            self.out.write_all(piece).map_err(BackupError::Write)?;
            left -= piece.len() as u64;
            self.done += piece.len() as u64;
            (self.told)(self.done, self.total);
        }
        Ok(hash.finalize().into())
    }
}
