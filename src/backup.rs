//! Register and record of use to and from one file: a `tar` of SQLite files, with a manifest in front.

mod archive;
mod last;
mod manifest;
mod parts;
mod restore;

pub use last::{Deed, Last, last, note};
pub use manifest::{Manifest, PartEntry};
pub use parts::{Keys, Part, Source};
pub use restore::{Restore, Restored, SetAside, prove, restore};

use crate::copying::{self, CopyError, Pace, Scratch, io_error};
use crate::store::StoreError;
use archive::Archive;
use chrono::Utc;
use manifest::FORMAT_VERSION;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Bytes that are read or written at once.
const PIECE_BYTES: usize = 1 << 20;

/// Why there is no backup, or nothing is restored from one.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    #[error(transparent)]
    Copy(#[from] CopyError),
    #[error("register.sqlite: {0}")]
    Register(StoreError),
    #[error("record.sqlite: {0}")]
    Record(String),
    #[error("{} stands already; --replace puts another in its place", .0.display())]
    Stands(PathBuf),
    #[error("{} stands already; `--only` leaves it as it is, and `--replace` sets it aside", .0.display())]
    PartStands(PathBuf),
    #[error("{} is no backup: {what}", path.display())]
    NoBackup { path: PathBuf, what: String },
    #[error("the backup has format {found}, and this program knows {FORMAT_VERSION}")]
    Format { found: u32 },
    #[error("{} ends before its end", .0.display())]
    Cut(PathBuf),
    #[error("{} is not what its manifest says: {part} is damaged", path.display())]
    Damaged { path: PathBuf, part: String },
    #[error("the backup has no {0}")]
    Lacks(&'static str),
}

/// How a backup is made.
pub struct Backup<'a> {
    /// What goes into it, in the order in which it is copied.
    pub sources: &'a [Source],
    pub scratch: &'a Scratch,
    pub keys: Keys<'a>,
    pub pace: Pace,
    /// Told what is being done.
    pub tell: &'a mut dyn FnMut(&str),
}

impl Backup<'_> {
    /// Copies, proves the copies, packs them, and proves what was written before it gets its name.
    pub fn make(mut self, target: &Path, replace: bool) -> Result<Manifest, BackupError> {
        refuse_what_stands(target, replace)?;
        let (made_at, mut parts) = (Utc::now(), Vec::new());
        for source in self.sources {
            let copy = self.copy(source)?;
            parts.push((self.entry(source.part, &copy)?, copy));
        }
        let manifest = Manifest {
            format_version: FORMAT_VERSION,
            made_at,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            parts: parts.iter().map(|(entry, _)| entry.clone()).collect(),
        };
        let bytes = manifest.parts.iter().map(|part| part.bytes).sum();
        let directory = directory_of(target);
        copying::require(directory, bytes, self.scratch.keep_free_bytes())?;
        let unnamed = Unnamed::new(target)?;
        (self.tell)("packing");
        let copies: Vec<_> = parts
            .iter()
            .map(|(entry, copy)| (entry.name.as_str(), copy.as_path()))
            .collect();
        archive::write(&unnamed.file, &manifest, &copies, &mut self.pace).map_err(io_error(target))?;
        unnamed.sync()?;
        (self.tell)("reading back what was written");
        Archive::open(&unnamed.path)?.read(|_, part| io::copy(part, &mut io::sink()).map(|_| ()))?;
        refuse_what_stands(target, replace)?;
        unnamed.name(target)?;
        Ok(manifest)
    }

    fn copy(&mut self, source: &Source) -> Result<PathBuf, BackupError> {
        (self.tell)(&format!("copying {}", source.part.name()));
        Ok(copying::copy(
            &source.path,
            self.scratch,
            source.part.name(),
            &mut self.pace,
        )?)
    }

    /// What the manifest says of a copy, once it is proved.
    fn entry(&mut self, part: Part, copy: &Path) -> Result<PartEntry, BackupError> {
        (self.tell)(&format!("proving {}", part.name()));
        let facts = part.prove(copy, &self.keys)?;
        let (bytes, sha256) = digest(copy).map_err(io_error(copy))?;
        Ok(PartEntry {
            name: part.name().to_owned(),
            bytes,
            sha256,
            schema: facts.schema,
            keys: facts.keys,
        })
    }
}

fn refuse_what_stands(target: &Path, replace: bool) -> Result<(), BackupError> {
    match target.exists() && !replace {
        true => Err(BackupError::Stands(target.to_owned())),
        false => Ok(()),
    }
}

fn directory_of(path: &Path) -> &Path {
    let directory = path
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty());
    directory.unwrap_or(Path::new("."))
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Length and SHA-256 of a file.
fn digest(path: &Path) -> io::Result<(u64, String)> {
    let mut input = BufReader::with_capacity(PIECE_BYTES, File::open(path)?);
    let (mut hasher, mut length, mut piece) = (Sha256::new(), 0, vec![0; PIECE_BYTES]);
    loop {
        match input.read(&mut piece)? {
            0 => return Ok((length, hex(&hasher.finalize()))),
            read => {
                length += read as u64;
                hasher.update(&piece[..read]);
            }
        }
    }
}

/// A file that is being written beside the place that it is for. What a killed command has left is written over.
struct Unnamed {
    path: PathBuf,
    file: File,
}

impl Unnamed {
    /// Its owner alone may read it.
    fn new(target: &Path) -> Result<Self, CopyError> {
        let path = copying::with_ending(target, ".part");
        // One that is left may be open to others.
        let _ = std::fs::remove_file(&path);
        let mut options = File::options();
        let file = options.write(true).create_new(true).mode(0o600).open(&path);
        let file = file.map_err(io_error(&path))?;
        Ok(Self { path, file })
    }

    /// After this it is read from the disk, not from memory.
    fn sync(&self) -> Result<(), CopyError> {
        self.file.sync_all().map_err(io_error(&self.path))?;
        // Where the system does not do that, it is read from memory.
        let _ = rustix::fs::fadvise(&self.file, 0, None, rustix::fs::Advice::DontNeed);
        Ok(())
    }

    fn name(self, target: &Path) -> Result<(), CopyError> {
        let named = std::fs::rename(&self.path, target).and_then(|()| sync_directory_of(target));
        named.map_err(io_error(target))
    }
}

impl Drop for Unnamed {
    fn drop(&mut self) {
        // Once it has its name there is nothing here.
        let _ = std::fs::remove_file(&self.path);
    }
}
