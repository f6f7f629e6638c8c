//! What stands in for segments that were pruned from the beginning of a chain.
//!
//! ```text
//! stub    = magic (7) version (1) label (8) removal+ MAC (32)
//! removal = first sequence (8) last sequence (8) hash of the last entry (32) Unix time (8)
//! ```
//!
//! The oldest segment left continues from the last hash of the stub, so that what is left is still proved, and
//! nothing can be removed without the head key. The stub is written before a segment goes: what is left of an
//! interrupted pruning is ignored by readers, and removed by the next pruning. The writer of a chain never
//! touches a segment that may be pruned, so it need not be stopped.

use super::{
    Corrupt, Fault, Flaw, Head, HeadKey, OpenError, PruneError, ReadError,
    directory::{Lock, put_whole, segment_path, segments, sync_directory},
    format::{HASH_BYTES, Hash, LABEL, PURPOSE_BYTES, SEGMENT_HEADER_BYTES, Sealer, array},
};
use std::{fs::File, io, io::Read, path::Path};

const NAME: &str = "pruned";
const UNFINISHED_NAME: &str = "next-pruned";
const MAGIC: [u8; 7] = *b"KFPRUNE";
const VERSION: u8 = 1;
const START_BYTES: usize = MAGIC.len() + 1 + PURPOSE_BYTES;
const REMOVAL_BYTES: usize = 8 + 8 + HASH_BYTES + 8;

/// Entries that were pruned at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The first entry that went.
    pub first: u64,
    /// The last entry that went.
    pub last: u64,
    /// The hash of the last entry that went, from which what is left continues.
    pub hash: Hash,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// All removals, oldest first. Empty if nothing was pruned.
#[derive(Default)]
pub struct Stub(Vec<Removal>);

impl Stub {
    /// The segments of a chain that stand, by first sequence, and the stub before them. Listed in this order,
    /// so that a pruning in between is not taken for missing segments.
    pub fn and_segments(directory: &Path, sealer: &Sealer) -> Result<(Vec<u64>, Self), ReadError> {
        let mut segments = segments(directory)?;
        let stub = Self::read(directory, sealer)?;
        segments.retain(|first| *first > stub.head().sequence);
        Ok((segments, stub))
    }

    fn read(directory: &Path, sealer: &Sealer) -> Result<Self, ReadError> {
        let path = directory.join(NAME);
        let bytes = match std::fs::read(&path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            read => read.map_err(Fault::on("read the stub", &path))?,
        };
        let forged = Corrupt {
            segment: 1,
            sequence: 1,
            flaw: Flaw::Stub,
        };
        Ok(Self::parse(&bytes, sealer).ok_or(forged)?)
    }

    fn parse(bytes: &[u8], sealer: &Sealer) -> Option<Self> {
        let (signed, signature) = bytes.split_last_chunk::<HASH_BYTES>()?;
        let removals = signed.strip_prefix(&start()[..])?;
        if !sealer.key.has_signed(signed, signature) || !removals.len().is_multiple_of(REMOVAL_BYTES) {
            return None;
        }
        removals
            .chunks_exact(REMOVAL_BYTES)
            .map(Removal::parse)
            .collect::<Option<_>>()
            .map(Self)
    }

    fn encode(&self, sealer: &Sealer) -> Vec<u8> {
        let mut bytes = start().to_vec();
        self.0.iter().for_each(|removal| removal.push_to(&mut bytes));
        let signature = sealer.key.sign(&bytes);
        bytes.extend_from_slice(&signature);
        bytes
    }

    /// The last entry that was pruned.
    pub fn head(&self) -> Head {
        self.0.last().map_or(Head::EMPTY, |removal| Head {
            sequence: removal.last,
            hash: removal.hash,
        })
    }

    pub fn removals(&self) -> &[Removal] {
        &self.0
    }
}

fn start() -> [u8; START_BYTES] {
    let mut start = [0; START_BYTES];
    start[..MAGIC.len()].copy_from_slice(&MAGIC);
    start[MAGIC.len()] = VERSION;
    start[MAGIC.len() + 1..].copy_from_slice(&LABEL);
    start
}

impl Removal {
    fn parse(bytes: &[u8]) -> Option<Self> {
        Some(Self {
            first: u64::from_be_bytes(array(bytes, 0)?),
            last: u64::from_be_bytes(array(bytes, 8)?),
            hash: array(bytes, 16)?,
            at: u64::from_be_bytes(array(bytes, 16 + HASH_BYTES)?),
        })
    }

    fn push_to(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.first.to_be_bytes());
        bytes.extend_from_slice(&self.last.to_be_bytes());
        bytes.extend_from_slice(&self.hash);
        bytes.extend_from_slice(&self.at.to_be_bytes());
    }
}

/// Removes all segments up to the one that ends in the entry `through`, which another must follow, and leaves
/// the stub. `at` is kept in it, in seconds since 1970. The chain may be written meanwhile. `None` if nothing
/// but leftovers of an interrupted pruning was there to remove.
///
/// # Errors
/// See [`PruneError`]. If a file cannot be removed, the entries count as pruned, and the next pruning removes it.
pub fn prune(directory: &Path, key: &HeadKey, through: Head, at: u64) -> Result<Option<Removal>, PruneError> {
    let sealer = Sealer { key: key.clone() };
    let _lock = Lock::for_pruning(directory).map_err(|error| match error {
        OpenError::InUse(path) => PruneError::InUse(path),
        OpenError::Io(fault) => fault.into(),
        OpenError::Corrupt(corrupt) => corrupt.into(),
    })?;
    let mut stub = Stub::read(directory, &sealer)?;
    let before = stub.head();
    let removed = (through.sequence > before.sequence).then_some(Removal {
        first: before.sequence + 1,
        last: through.sequence,
        hash: through.hash,
        at,
    });
    if let Some(removal) = removed {
        require_next(directory, &sealer, &through)?;
        stub.0.push(removal);
        let content = stub.encode(&sealer);
        put_whole(&directory.join(UNFINISHED_NAME), &directory.join(NAME), &content)?;
    }
    remove_through(directory, stub.head().sequence)?;
    Ok(removed)
}

/// The header of the segment after `through` proves that `through` was the last entry before it.
fn require_next(directory: &Path, sealer: &Sealer, through: &Head) -> Result<(), PruneError> {
    let next = through.sequence + 1;
    if !segments(directory)?.contains(&next) {
        return Err(PruneError::NotAnEnd(through.sequence));
    }
    let path = segment_path(directory, next);
    let mut header = [0; SEGMENT_HEADER_BYTES];
    File::open(&path)
        .and_then(|mut file| file.read_exact(&mut header))
        .map_err(Fault::on("read the segment", &path))?;
    if sealer.parse_header(&header, next)? == *through {
        return Ok(());
    }
    Err(Corrupt {
        segment: next,
        sequence: next,
        flaw: Flaw::Spliced,
    }
    .into())
}

fn remove_through(directory: &Path, last: u64) -> Result<(), Fault> {
    let removable = segments(directory)?.into_iter().filter(|first| *first <= last);
    for first in removable {
        let path = segment_path(directory, first);
        std::fs::remove_file(&path).map_err(Fault::on("remove the segment", &path))?;
    }
    sync_directory(directory)
}
