//! The changes of one delivery: within its journal entry when few, in a file of their own when many.

use super::JournalError;
use super::change::SetChange;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{BufReader, BufWriter, Cursor, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// First bytes of a body, with the format's version.
const MAGIC: &[u8; 4] = b"KFB1";
const BUFFER_BYTES: usize = 256 * 1024;
/// By how much a chunk may be longer than asked for, to keep a customer's changes together.
const LONGEST_CHUNKS: usize = 5;

/// Where the changes of a published delivery are.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Body {
    Inline(Vec<u8>),
    /// A file named after the delivery until it is written again, with its length and SHA-256.
    File {
        bytes: u64,
        sha256: [u8; 32],
    },
}

/// Writes the changes of a delivery that is not published yet. Dropped unfinished, it leaves nothing.
pub struct BodyWriter {
    path: PathBuf,
    inline_bytes: usize,
    pending: Vec<u8>,
    file: Option<BodyFile>,
}

struct BodyFile {
    out: BufWriter<File>,
    hash: Sha256,
    bytes: u64,
}

pub(super) fn body_path(directory: &Path, name: Uuid) -> PathBuf {
    directory.join(format!("{name}.body"))
}

impl BodyWriter {
    pub(super) fn new(directory: &Path, delivery: Uuid, inline_bytes: usize) -> Self {
        Self {
            path: body_path(directory, delivery),
            inline_bytes,
            pending: MAGIC.to_vec(),
            file: None,
        }
    }

    /// One that is a file in any case.
    pub(super) fn in_file(directory: &Path, name: Uuid) -> Result<Self, JournalError> {
        let mut writer = Self::new(directory, name, 0);
        writer.spill()?;
        Ok(writer)
    }

    pub fn push(&mut self, change: &SetChange) -> Result<(), JournalError> {
        change.encode(&mut self.pending);
        self.spill_if_full()
    }

    /// Takes a change in its stored form.
    pub fn push_encoded(&mut self, change: &[u8]) -> Result<(), JournalError> {
        self.pending.extend_from_slice(change);
        self.spill_if_full()
    }

    fn spill_if_full(&mut self) -> Result<(), JournalError> {
        if self.pending.len() > self.inline_bytes {
            self.spill()
        } else {
            Ok(())
        }
    }

    fn spill(&mut self) -> Result<(), JournalError> {
        let file = match &mut self.file {
            Some(file) => file,
            None => {
                let mut options = File::options();
                let file = options.write(true).create_new(true).mode(0o600).open(&self.path);
                let file = file.map_err(JournalError::Io)?;
                let out = BufWriter::with_capacity(BUFFER_BYTES, file);
                self.file.insert(BodyFile {
                    out,
                    hash: Sha256::new(),
                    bytes: 0,
                })
            }
        };
        file.out.write_all(&self.pending).map_err(JournalError::Io)?;
        file.hash.update(&self.pending);
        file.bytes += self.pending.len() as u64;
        self.pending.clear();
        Ok(())
    }

    /// Makes the body durable.
    pub fn finish(mut self) -> Result<Body, JournalError> {
        if self.file.is_none() {
            return Ok(Body::Inline(std::mem::take(&mut self.pending)));
        }
        self.spill()?;
        let Some(mut file) = self.file.take() else {
            return Err(JournalError::Corrupt("body"));
        };
        let synced = file.out.flush().and_then(|()| file.out.get_ref().sync_all());
        let synced =
            synced.and_then(|()| File::open(self.path.parent().unwrap_or(Path::new(".")))?.sync_all());
        if let Err(cause) = synced {
            // Best effort: what stays behind is removed at the next start.
            let _ = std::fs::remove_file(&self.path);
            return Err(JournalError::Io(cause));
        }
        Ok(Body::File {
            bytes: file.bytes,
            sha256: file.hash.finalize().into(),
        })
    }
}

impl Drop for BodyWriter {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // Best effort: what stays behind is removed at the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Reads the changes of a body in order, and at the end proves that they were all and unchanged.
pub struct Changes {
    input: BufReader<Hashing>,
    expected: Option<(u64, [u8; 32])>,
    done: bool,
    /// Read already, and not given out yet.
    ahead: Option<SetChange>,
}

impl Changes {
    pub(super) fn open(body: &Body, path: &Path) -> Result<Self, JournalError> {
        let (source, expected): (Box<dyn Read + Send>, _) = match body {
            Body::Inline(bytes) => (Box::new(Cursor::new(bytes.clone())), None),
            Body::File { bytes, sha256 } => (
                Box::new(File::open(path).map_err(JournalError::Io)?),
                Some((*bytes, *sha256)),
            ),
        };
        let hashing = Hashing {
            source,
            hash: Sha256::new(),
            bytes: 0,
        };
        let mut input = BufReader::with_capacity(BUFFER_BYTES, hashing);
        let mut magic = [0; 4];
        input.read_exact(&mut magic).map_err(JournalError::Io)?;
        if &magic != MAGIC {
            return Err(JournalError::Corrupt("body of an unknown format"));
        }
        Ok(Self {
            input,
            expected,
            done: false,
            ahead: None,
        })
    }

    /// The next changes, about so many: those of a customer that stand together are parted only when they are
    /// more than [`LONGEST_CHUNKS`] times as many. None at the end.
    pub fn next_chunk(&mut self, about: usize) -> Result<Vec<SetChange>, JournalError> {
        let mut chunk: Vec<SetChange> = Vec::new();
        while let Some(change) = self.next() {
            let change = change?;
            let full = chunk.len() >= about && {
                let another = |last: &SetChange| last.customer() != change.customer();
                chunk.last().is_some_and(another) || chunk.len() >= about * LONGEST_CHUNKS
            };
            if full {
                self.ahead = Some(change);
                break;
            }
            chunk.push(change);
        }
        Ok(chunk)
    }

    fn check_end(&mut self) -> Result<(), JournalError> {
        let hashing = self.input.get_mut();
        let found = (hashing.bytes, std::mem::take(&mut hashing.hash).finalize().into());
        match self.expected {
            Some(expected) if expected != found => Err(JournalError::Corrupt("body")),
            _ => Ok(()),
        }
    }
}

impl Iterator for Changes {
    type Item = Result<SetChange, JournalError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(change) = self.ahead.take() {
            return Some(Ok(change));
        }
        if self.done {
            return None;
        }
        match SetChange::decode(&mut self.input) {
            Ok(Some(change)) => Some(Ok(change)),
            Ok(None) => {
                self.done = true;
                self.check_end().err().map(Err)
            }
            Err(cause) => {
                self.done = true;
                Some(Err(cause))
            }
        }
    }
}

struct Hashing {
    source: Box<dyn Read + Send>,
    hash: Sha256,
    bytes: u64,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.source.read(buffer)?;
        self.hash.update(&buffer[..read]);
        self.bytes += read as u64;
        Ok(read)
    }
}
