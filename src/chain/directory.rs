//! The directory of a chain: its lock, and its segments by name.

use super::{Fault, OpenError};
use std::{
    fs::{DirBuilder, File, Metadata, OpenOptions, TryLockError},
    io::Write,
    os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::Arc,
};

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const LOCK_NAME: &str = "lock";
/// Held while segments are pruned, which the writer need not notice.
const PRUNE_LOCK_NAME: &str = "prune-lock";
const UNFINISHED_NAME: &str = "next-segment";
const SEGMENT_SUFFIX: &str = ".seg";
const SEGMENT_DIGITS: usize = 20;

/// Where the segment that begins with entry `first` is.
pub fn segment_path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("{first:0SEGMENT_DIGITS$}{SEGMENT_SUFFIX}"))
}

/// The first sequence numbers of all segments, in order. Other files are left alone.
pub fn segments(directory: &Path) -> Result<Vec<u64>, Fault> {
    let failed = || Fault::on("list the log directory", directory);
    let mut firsts = Vec::new();
    for item in std::fs::read_dir(directory).map_err(failed())? {
        let name = item.map_err(failed())?.file_name();
        firsts.extend(name.to_str().and_then(first_of_name));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

fn first_of_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(SEGMENT_SUFFIX)?;
    let plain = digits.len() == SEGMENT_DIGITS && digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|_| plain)
}

/// The directory of a chain, held by its only writer.
pub struct Directory {
    pub path: Arc<Path>,
    lock: Lock,
}

impl Directory {
    /// Creates the directory if it is absent, and locks it.
    pub fn hold(path: &Path) -> Result<Self, OpenError> {
        let failed = || Fault::on("create the log directory", path);
        if !path.exists() {
            DirBuilder::new()
                .recursive(true)
                .mode(DIRECTORY_MODE)
                .create(path)
                .map_err(failed())?;
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            sync_directory(parent.unwrap_or(Path::new(".")))?;
        }
        Ok(Self {
            path: path.into(),
            lock: Lock::take(path, LOCK_NAME)?,
        })
    }

    /// Takes the lock again if the lock file is no longer ours, as after a restored directory.
    pub fn hold_again(&mut self) -> Result<(), Fault> {
        let path = self.path.join(LOCK_NAME);
        if self.lock.identity.stands_at(&path) {
            return Ok(());
        }
        self.lock = Lock::take(&self.path, LOCK_NAME).map_err(|error| match error {
            OpenError::Io(fault) => fault,
            in_use => Fault::on("lock", &path)(std::io::Error::other(in_use.to_string())),
        })?;
        Ok(())
    }

    /// Creates the segment that begins with entry `first`. It appears under its name with its whole header,
    /// durably, or not at all.
    pub fn create_segment(&self, first: u64, header: &[u8]) -> Result<(), Fault> {
        let unfinished = self.path.join(UNFINISHED_NAME);
        put_whole(&unfinished, &segment_path(&self.path, first), header)
    }
}

/// Writes a file that appears under its name whole and durably, or not at all.
pub fn put_whole(unfinished: &Path, path: &Path, content: &[u8]) -> Result<(), Fault> {
    let failed = || Fault::on("write", unfinished);
    let mut options = OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .mode(FILE_MODE);
    let mut file = options.open(unfinished).map_err(failed())?;
    file.write_all(content).map_err(failed())?;
    file.sync_all().map_err(failed())?;
    std::fs::rename(unfinished, path).map_err(Fault::on("give its name to", path))?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Makes names that were added to a directory, or removed from it, durable.
pub fn sync_directory(path: &Path) -> Result<(), Fault> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(Fault::on("sync the directory", path))
}

/// Held for as long as the file is open.
pub struct Lock {
    _file: File,
    identity: Identity,
}

impl Lock {
    /// Keeps others from pruning at the same time.
    pub fn for_pruning(directory: &Path) -> Result<Self, OpenError> {
        Self::take(directory, PRUNE_LOCK_NAME)
    }

    fn take(directory: &Path, name: &str) -> Result<Self, OpenError> {
        let path = directory.join(name);
        let failed = || Fault::on("lock", &path);
        let mut options = OpenOptions::new();
        options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE);
        let file = options.open(&path).map_err(failed())?;
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => OpenError::InUse(directory.into()),
            TryLockError::Error(source) => failed()(source).into(),
        })?;
        let identity = Identity::of(&file.metadata().map_err(failed())?);
        Ok(Self {
            _file: file,
            identity,
        })
    }
}

/// Which file an open file is, whatever its name is by now.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    pub fn of(metadata: &Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    /// Whether `path` still names this file: it was not deleted, moved or replaced.
    pub fn stands_at(&self, path: &Path) -> bool {
        std::fs::metadata(path).is_ok_and(|metadata| Self::of(&metadata) == *self)
    }
}
