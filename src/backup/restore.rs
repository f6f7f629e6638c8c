//! Puts the parts of a backup in the place of what stands.

use super::archive::Archive;
use super::manifest::Manifest;
use super::{BackupError, Keys, PIECE_BYTES, Part, PartEntry, Source, directory_of, sync_directory_of};
use crate::copying::{self, CopyError, Pace, Paced, Scratch, io_error, with_ending};
use crate::store::Held;
use chrono::{DateTime, Utc};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// What SQLite puts beside a file. It belongs to what stood, and would spoil what takes its place.
const BESIDE: [&str; 3] = ["", "-wal", "-shm"];

/// How a backup is restored.
pub struct Restore<'a> {
    /// What is restored, and where to. Nobody serves it meanwhile.
    pub sources: &'a [Source],
    /// What stands may be set aside.
    pub replace: bool,
    pub keys: Keys<'a>,
    pub keep_free_bytes: u64,
    pub pace: Pace,
    /// Told what is being done.
    pub tell: &'a mut dyn FnMut(&str),
}

/// What was done.
#[derive(Debug)]
pub struct Restored {
    pub manifest: Manifest,
    pub set_aside: Vec<SetAside>,
}

/// A file that stood, and where it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    pub from: PathBuf,
    pub to: PathBuf,
}

/// Proves a backup, and changes nothing: all of it is unpacked into scratch space.
pub fn prove(
    archive: &Path,
    parts: &[Part],
    keys: &Keys<'_>,
    scratch: &Scratch,
    mut pace: Pace,
) -> Result<Manifest, BackupError> {
    let manifest = Archive::open(archive)?.manifest()?;
    let sources: Vec<_> = parts
        .iter()
        .map(|part| Source {
            part: *part,
            path: scratch.path_for(part.name()),
        })
        .collect();
    scratch.require(needed(&manifest, &sources)?.iter().map(|part| part.bytes).sum())?;
    unpack(archive, &sources, &mut pace, |source| source.path.clone())?;
    for source in &sources {
        source.part.prove(&source.path, keys)?;
    }
    Ok(manifest)
}

/// Unpacks and proves beside what stands; only then sets that aside and takes its place.
pub fn restore(archive: &Path, mut with: Restore<'_>) -> Result<Restored, BackupError> {
    let held: Vec<Held> = with.sources.iter().map(hold).collect::<Result<_, _>>()?;
    let manifest = Archive::open(archive)?.manifest()?;
    if let Some(stands) = with
        .sources
        .iter()
        .find(|source| source.path.exists() && !with.replace)
    {
        return Err(BackupError::PartStands(stands.path.clone()));
    }
    let bytes = needed(&manifest, with.sources)?
        .iter()
        .map(|part| part.bytes)
        .sum();
    for source in with.sources {
        copying::require(directory_of(&source.path), bytes, with.keep_free_bytes)?;
    }
    let unpacked = Unpacked(with.sources);
    (with.tell)("unpacking");
    unpack(archive, with.sources, &mut with.pace, unpacked_path)?;
    for source in with.sources {
        (with.tell)(&format!("proving {}", source.part.name()));
        source.part.prove(&unpacked_path(source), &with.keys)?;
    }
    let set_aside = replace(&held, with.sources)?;
    drop(unpacked);
    Ok(Restored { manifest, set_aside })
}

fn hold(source: &Source) -> Result<Held, BackupError> {
    Held::take(&source.path).map_err(|cause| match source.part {
        Part::Register => BackupError::Register(cause),
        Part::Record => BackupError::Record(cause.to_string()),
    })
}

/// None of the parts is served before all are in their place, also after a crash.
fn replace(held: &[Held], sources: &[Source]) -> Result<Vec<SetAside>, CopyError> {
    for held in held {
        held.begin_replacing().map_err(io_error(held.path()))?;
    }
    let (now, mut set_aside) = (Utc::now(), Vec::new());
    for source in sources {
        put_in_place(source, now, &mut set_aside).map_err(io_error(&source.path))?;
    }
    for held in held {
        held.end_replacing().map_err(io_error(held.path()))?;
    }
    Ok(set_aside)
}

/// The entries of what is to be restored.
fn needed<'a>(manifest: &'a Manifest, sources: &[Source]) -> Result<Vec<&'a PartEntry>, BackupError> {
    let entry = |source: &Source| {
        let name = source.part.name();
        let entry = manifest.parts.iter().find(|entry| entry.name == name);
        entry.ok_or(BackupError::Lacks(name))
    };
    sources.iter().map(entry).collect()
}

fn unpacked_path(source: &Source) -> PathBuf {
    with_ending(&source.path, "-unpacked")
}

/// What is unpacked and not in its place goes.
struct Unpacked<'a>(&'a [Source]);

impl Drop for Unpacked<'_> {
    fn drop(&mut self) {
        for source in self.0 {
            let _ = std::fs::remove_file(unpacked_path(source));
        }
    }
}

/// Writes what is wanted to the paths that are given, synced, and proves all.
fn unpack(
    archive: &Path,
    sources: &[Source],
    pace: &mut Pace,
    path_of: impl Fn(&Source) -> PathBuf,
) -> Result<(), BackupError> {
    Archive::open(archive)?.read(|entry, content| {
        let wanted = sources.iter().find(|source| source.part.name() == entry.name);
        match wanted {
            Some(source) => write_new(&path_of(source), content, pace),
            None => io::copy(content, &mut io::sink()).map(|_| ()),
        }
    })?;
    Ok(())
}

fn write_new(path: &Path, content: &mut dyn Read, pace: &mut Pace) -> io::Result<()> {
    // What a killed command has left may be open to others.
    let _ = std::fs::remove_file(path);
    let file = File::options()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let mut out = Paced { file: &file, pace };
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match content.read(&mut piece)? {
            0 => return file.sync_all(),
            read => out.write_all(&piece[..read])?,
        }
    }
}

/// What stands keeps its log beside it under its new name, so that it can be opened there.
fn put_in_place(source: &Source, now: DateTime<Utc>, set_aside: &mut Vec<SetAside>) -> io::Result<()> {
    let aside = with_ending(
        &source.path,
        &format!(".aside-{}", now.format("%Y%m%dT%H%M%S%.3fZ")),
    );
    for ending in BESIDE {
        let (from, to) = (with_ending(&source.path, ending), with_ending(&aside, ending));
        match std::fs::rename(&from, &to) {
            Ok(()) => set_aside.push(SetAside { from, to }),
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => {}
            Err(cause) => return Err(cause),
        }
    }
    std::fs::rename(unpacked_path(source), &source.path)?;
    sync_directory_of(&source.path)
}
