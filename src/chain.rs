//! One append-only log on disk: segments, hash chain, keyed heads, grouped flushes.
//!
//! A chain is a directory of segment files, each named by its first sequence number. Every entry is chained to
//! the one before it by SHA-256; a segment's header and its end are authenticated by the head key. So whoever
//! lacks the key can change, cut, insert or reorder only entries of the segment being written, and those only
//! until its [`Head`] is kept where they cannot reach it.
//!
//! One thread per chain writes: it makes all that is queued durable with one write and one sync.

mod answer;
mod directory;
mod entries;
mod error;
mod format;
mod scan;
mod stub;
mod tail;
mod writer;

pub use directory::segment_path;
pub use entries::{Entries, check_ends, entries};
pub use error::{AppendError, Corrupt, Fault, Flaw, OpenError, PruneError, ReadError};
pub use format::{HASH_BYTES, Hash};
pub use stub::{Removal, prune};

use answer::answer;
use aws_lc_rs::hmac;
use directory::Directory;
use format::Sealer;
use std::{
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64, atomic::Ordering},
    thread::JoinHandle,
    time::Duration,
};
use tail::Tail;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::timeout,
};
use writer::{Command, Progress, Writer};
use zeroize::Zeroizing;

/// The secret that authenticates segments, and former ones that authenticate older segments.
#[derive(Clone)]
pub struct HeadKey {
    in_use: hmac::Key,
    former: Vec<hmac::Key>,
}

impl HeadKey {
    /// A key of 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        Self {
            in_use: hmac::Key::new(hmac::HMAC_SHA256, &bytes[..]),
            former: Vec::new(),
        }
    }

    /// Also accepts what was written with `former`, but writes nothing with it.
    pub fn accepting(mut self, former: Self) -> Self {
        self.former.extend(former.all().cloned());
        self
    }

    fn in_use(&self) -> &hmac::Key {
        &self.in_use
    }

    fn all(&self) -> impl Iterator<Item = &hmac::Key> {
        std::iter::once(&self.in_use).chain(&self.former)
    }
}

impl fmt::Debug for HeadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HeadKey(***)")
    }
}

/// The last entry of a chain, which stands for all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Counts entries from 1; 0 if there is none.
    pub sequence: u64,
    /// The entry's hash; zeros if there is none.
    pub hash: Hash,
}

impl Head {
    /// The head of a chain without entries.
    pub const EMPTY: Self = Self {
        sequence: 0,
        hash: [0; HASH_BYTES],
    };
}

/// An entry that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Its place in the chain, counted from 1.
    pub sequence: u64,
}

/// An entry as read and proved.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its place in the chain, counted from 1.
    pub sequence: u64,
    /// The segment that it is in, by the sequence number that its file is named by.
    pub segment: u64,
    /// What was appended.
    pub payload: Vec<u8>,
    /// Stands for this entry and all before it.
    pub hash: Hash,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("sequence", &self.sequence)
            .finish_non_exhaustive()
    }
}

/// What [`Chain::open`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Entries in the chain, pruned ones too.
    pub entries: u64,
    /// Bytes of an interrupted, never acknowledged write that were cut off.
    pub torn_bytes: u64,
    /// Whether there was no chain, and one was begun.
    pub created: bool,
}

/// The bounds of a chain.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Largest payload.
    pub max_entry_bytes: u32,
    /// Entries that wait for a flush; further ones wait to be queued, within the same `append_timeout`.
    pub queue_entries: usize,
    /// Size at which the next segment begins; exceeded by at most one entry.
    pub segment_bytes: u64,
    /// Longest wait of an append, in the queue and for the disk together.
    pub append_timeout: Duration,
    /// Longest wait for what is queued when closing.
    pub close_timeout: Duration,
    /// From one flush to the next, at least, where several wait at a time.
    pub flush_every: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_entry_bytes: 1 << 20,
            queue_entries: 4096,
            segment_bytes: 64 << 20,
            append_timeout: Duration::from_secs(1),
            close_timeout: Duration::from_secs(5),
            flush_every: Duration::from_millis(1),
        }
    }
}

/// The one writer of a chain. Share it by reference. Once dropped, the chain is closed in the background.
pub struct Chain {
    directory: Arc<Path>,
    sealer: Sealer,
    options: Options,
    queue: mpsc::Sender<Command>,
    progress: Arc<Progress>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Chain {
    /// Opens the chain in `directory`, or begins one there, and starts its thread. Proves the headers of all
    /// segments and the whole last one; a torn tail of the last one is cut off. Blocks while it reads.
    ///
    /// # Errors
    /// If another writer has the chain, if the directory cannot be used, or if the chain is damaged beyond a
    /// torn tail. Then no segment was changed.
    pub fn open(directory: &Path, key: &HeadKey, options: Options) -> Result<(Self, Recovery), OpenError> {
        let sealer = Sealer { key: key.clone() };
        let held = Directory::hold(directory)?;
        let directory = held.path.clone();
        let (tail, recovery) = Tail::recover(held, sealer.clone(), &options)?;
        let (queue, commands) = mpsc::channel(options.queue_entries.max(1));
        let progress = Arc::new(Progress {
            head: watch::Sender::new(tail.head()),
            closed: watch::Sender::new(tail.last_closed()),
            flushes: AtomicU64::default(),
        });
        let writer = Writer::new(tail, commands, progress.clone(), &options);
        let spawned = std::thread::Builder::new()
            .name("chain".into())
            .spawn(|| writer.run());
        let thread = spawned.map_err(Fault::on("start the thread that writes", &directory))?;
        let thread = Mutex::new(Some(thread));
        Ok((
            Self {
                directory,
                sealer,
                options,
                queue,
                progress,
                thread,
            },
            recovery,
        ))
    }

    /// Appends an entry; when this returns `Ok` it is durable. Takes at most `append_timeout`. If it fails, or is
    /// dropped, the entry may or may not be in the chain.
    ///
    /// # Errors
    /// See [`AppendError`]. After a failure of the disk the next append tries again.
    pub async fn append(&self, payload: Vec<u8>) -> Result<Appended, AppendError> {
        self.check_size(&payload)?;
        let (answer, answered) = answer();
        let append = async {
            self.queue
                .send(Command::Append { payload, answer })
                .await
                .map_err(|_| AppendError::Closed)?;
            answered.await
        };
        timeout(self.options.append_timeout, append)
            .await
            .unwrap_or(Err(AppendError::TimedOut))
    }

    fn check_size(&self, payload: &[u8]) -> Result<(), AppendError> {
        let limit = self.options.max_entry_bytes;
        if payload.len() > limit as usize {
            return Err(AppendError::TooLarge {
                bytes: payload.len(),
                limit,
            });
        }
        Ok(())
    }

    /// Entries that are queued and not yet taken by the writer.
    pub fn queued(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
    }

    /// The last durable entry. Cheap; to be kept where an outside party can compare it.
    pub fn head(&self) -> Head {
        *self.progress.head.borrow()
    }

    /// Tells, each time a segment is closed, its last entry.
    pub fn closed_segments(&self) -> watch::Receiver<Head> {
        self.progress.closed.subscribe()
    }

    /// Groups written so far by this handle, failed ones too.
    pub fn flushes(&self) -> u64 {
        self.progress.flushes.load(Ordering::Relaxed)
    }

    /// All entries that are durable now, proved; see [`entries`](fn@entries). Blocks while it reads.
    ///
    /// # Errors
    /// If the directory cannot be listed, or has no segment.
    pub fn entries(&self) -> Result<Entries, ReadError> {
        Entries::up_to(&self.directory, self.sealer.clone(), self.head().sequence)
    }

    /// Makes what is queued durable, then ends the thread and frees the directory. Later appends are refused.
    /// Takes at most `close_timeout`.
    ///
    /// # Errors
    /// If it took too long, if the chain was closed before, or if the end of the file could not be set; what was
    /// acknowledged is durable all the same.
    pub async fn close(&self) -> Result<(), AppendError> {
        let (done, finished) = oneshot::channel();
        let close = async {
            self.queue
                .send(Command::Close { done })
                .await
                .map_err(|_| AppendError::Closed)?;
            finished.await.map_err(|_| AppendError::Closed)
        };
        let finished = timeout(self.options.close_timeout, close)
            .await
            .map_err(|_| AppendError::TimedOut)??;
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // It has nothing left to do; a panic of it would have been noticed above.
        let _ = thread.map(JoinHandle::join);
        Ok(finished?)
    }
}
