//! The file itself: the manifest, then each part, as `tar` has it.

use super::manifest::{self, Manifest, PartEntry};
use super::{BackupError, PIECE_BYTES, hex};
use crate::copying::{Pace, Paced, io_error};
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// Writes a manifest, and files by the names that they get.
pub(super) fn write(
    file: &File,
    manifest: &Manifest,
    parts: &[(&str, &Path)],
    pace: &mut Pace,
) -> io::Result<()> {
    let out = BufWriter::with_capacity(PIECE_BYTES, Paced { file, pace });
    let mut tar = tar::Builder::new(out);
    let at = u64::try_from(manifest.made_at.timestamp()).unwrap_or(0);
    let text = serde_json::to_vec_pretty(manifest)?;
    append(&mut tar, manifest::NAME, text.len() as u64, at, text.as_slice())?;
    for (name, path) in parts {
        let part = File::open(path)?;
        let bytes = part.metadata()?.len();
        append(
            &mut tar,
            name,
            bytes,
            at,
            BufReader::with_capacity(PIECE_BYTES, part),
        )?;
    }
    tar.into_inner()?.flush()
}

fn append(
    tar: &mut tar::Builder<impl Write>,
    name: &str,
    bytes: u64,
    at: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o600);
    header.set_mtime(at);
    tar.append_data(&mut header, name, content)
}

/// A backup that is read from its beginning to its end.
pub(super) struct Archive {
    path: PathBuf,
    tar: tar::Archive<BufReader<File>>,
}

impl Archive {
    pub(super) fn open(path: &Path) -> Result<Self, BackupError> {
        let file = File::open(path).map_err(io_error(path))?;
        Ok(Self {
            path: path.to_owned(),
            tar: tar::Archive::new(BufReader::with_capacity(PIECE_BYTES, file)),
        })
    }

    /// Reads the manifest alone.
    pub(super) fn manifest(mut self) -> Result<Manifest, BackupError> {
        let path = self.path.clone();
        let mut entries = self.tar.entries().map_err(io_error(&path))?;
        read_manifest(entries.next(), &path)
    }

    /// Reads all of it. Each part is handed over, is to be read to its end, and must be what the manifest says.
    pub(super) fn read(
        mut self,
        mut take: impl FnMut(&PartEntry, &mut dyn Read) -> io::Result<()>,
    ) -> Result<Manifest, BackupError> {
        let path = self.path.clone();
        let mut entries = self.tar.entries().map_err(io_error(&path))?;
        let manifest = read_manifest(entries.next(), &path)?;
        for part in &manifest.parts {
            let entry = entries.next().ok_or_else(|| BackupError::Cut(path.clone()))?;
            let entry = entry.map_err(|cause| no_backup(&path, &cause.to_string()))?;
            let damaged = || BackupError::Damaged {
                path: path.clone(),
                part: part.name.clone(),
            };
            if !is_called(&entry, &part.name) || entry.size() != part.bytes {
                return Err(damaged());
            }
            let mut hashed = Hashed::new(entry);
            take(part, &mut hashed).map_err(|cause| match cause.kind() {
                io::ErrorKind::UnexpectedEof => BackupError::Cut(path.clone()),
                _ => io_error(&path)(cause).into(),
            })?;
            match hashed.length {
                length if length < part.bytes => return Err(BackupError::Cut(path.clone())),
                _ if hex(&hashed.hasher.finalize()) != part.sha256 => return Err(damaged()),
                _ => {}
            }
        }
        Ok(manifest)
    }
}

fn no_backup(path: &Path, what: &str) -> BackupError {
    BackupError::NoBackup {
        path: path.to_owned(),
        what: what.to_owned(),
    }
}

fn is_called<R: Read>(entry: &tar::Entry<'_, R>, name: &str) -> bool {
    entry.header().entry_type().is_file() && *entry.path_bytes() == *name.as_bytes()
}

fn read_manifest<R: Read>(
    entry: Option<io::Result<tar::Entry<'_, R>>>,
    path: &Path,
) -> Result<Manifest, BackupError> {
    let lacking = || no_backup(path, &format!("it does not begin with a {}", manifest::NAME));
    let entry = entry.and_then(Result::ok).ok_or_else(lacking)?;
    if !is_called(&entry, manifest::NAME) || entry.size() > manifest::MOST_BYTES {
        return Err(lacking());
    }
    let mut text = Vec::new();
    let read = entry.take(manifest::MOST_BYTES).read_to_end(&mut text);
    read.map_err(io_error(path))?;
    Manifest::parse(&text, path)
}

/// Counts and hashes what is read.
struct Hashed<R> {
    input: R,
    hasher: Sha256,
    length: u64,
}

impl<R> Hashed<R> {
    fn new(input: R) -> Self {
        Self {
            input,
            hasher: Sha256::new(),
            length: 0,
        }
    }
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.length += read as u64;
        Ok(read)
    }
}
