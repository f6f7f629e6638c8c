//! The one thread that writes a chain: takes all that is queued, makes it durable with one write and one sync,
//! then answers all.

use super::{
    Appended, Fault, Head, Options,
    answer::{Answer, Bench},
    format::{HASH_BYTES, push_entry},
    tail::Tail,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::sleep,
    time::{Duration, Instant},
};
use tokio::sync::{mpsc, oneshot, watch};

/// One flush takes no further entry once it has this many bytes.
const MAX_GROUP_BYTES: usize = 4 << 20;

pub enum Command {
    Append {
        payload: Vec<u8>,
        answer: Answer,
    },
    Close {
        done: oneshot::Sender<Result<(), Fault>>,
    },
}

/// What the handle sees of the writer.
pub struct Progress {
    pub head: watch::Sender<Head>,
    /// The last entry of the segment that was closed last.
    pub closed: watch::Sender<Head>,
    pub flushes: AtomicU64,
}

pub struct Writer {
    queue: mpsc::Receiver<Command>,
    tail: Tail,
    progress: Arc<Progress>,
    max_group_bytes: usize,
    pace: Pace,
    group: Group,
}

impl Writer {
    pub fn new(
        tail: Tail,
        queue: mpsc::Receiver<Command>,
        progress: Arc<Progress>,
        options: &Options,
    ) -> Self {
        let segment_bytes = usize::try_from(options.segment_bytes).unwrap_or(MAX_GROUP_BYTES);
        let group = Group {
            head: tail.head(),
            frames: Vec::new(),
            waiting: Vec::new(),
        };
        Self {
            queue,
            tail,
            progress,
            max_group_bytes: MAX_GROUP_BYTES.min(segment_bytes),
            pace: Pace {
                flush_every: options.flush_every,
                crowded: None,
            },
            group,
        }
    }

    /// Runs until the chain is closed or its handle is gone.
    pub fn run(mut self) {
        let mut closing = None;
        while closing.is_none() {
            let Some(command) = self.queue.blocking_recv() else {
                break;
            };
            self.pace.keep();
            closing = self.gather(command);
            self.pace.begin(self.group.waiting.len());
            self.flush();
            self.tail.prepare();
        }
        drop(self.queue);
        let finished = self.tail.finish();
        if let Err(fault) = &finished {
            tracing::error!(error = %fault, cause = %fault.source, "log not cut to its durable end");
        }
        if let Some(done) = closing {
            // Nobody waits any longer if close timed out.
            let _ = done.send(finished);
        }
    }

    /// Takes `command` and what is queued behind it into the group; stops at a close.
    fn gather(&mut self, command: Command) -> Option<oneshot::Sender<Result<(), Fault>>> {
        self.group.begin(self.tail.head());
        let mut next = Some(command);
        while let Some(command) = next {
            match command {
                Command::Append { payload, answer } => self.group.push(&payload, answer),
                Command::Close { done } => return Some(done),
            }
            next = if self.group.frames.len() < self.max_group_bytes {
                self.queue.try_recv().ok()
            } else {
                None
            };
        }
        None
    }

    fn flush(&mut self) {
        if self.group.waiting.is_empty() {
            return;
        }
        self.progress.flushes.fetch_add(1, Ordering::Relaxed);
        let committed = self
            .tail
            .commit(&self.group.frames[HASH_BYTES..], self.group.head);
        if committed.is_ok() {
            self.progress.head.send_replace(self.group.head);
            let closed = self.tail.last_closed();
            let is_news = |known: &mut Head| std::mem::replace(known, closed) != closed;
            self.progress.closed.send_if_modified(is_news);
        }
        let mut benches: Vec<Arc<Bench>> = Vec::new();
        for Waiting { answer, sequence } in self.group.waiting.drain(..) {
            let outcome = committed.as_ref().map(|()| Appended { sequence });
            benches.extend(answer.send(outcome.map_err(|fault| fault.clone().into())));
        }
        benches.iter().for_each(|bench| bench.wake_one());
    }
}

/// How soon one flush follows another. A sync costs about as much as ten answers: where many wait at a time, more of
/// them share one. Who is alone never waits for others.
struct Pace {
    flush_every: Duration,
    /// When the last flush began, if it was of many.
    crowded: Option<Instant>,
}

impl Pace {
    fn begin(&mut self, entries: usize) {
        self.crowded = (entries > 1).then(Instant::now);
    }

    fn keep(&self) {
        let since = self.crowded.map(|began| began.elapsed());
        let rest = since.and_then(|since| self.flush_every.checked_sub(since));
        rest.into_iter().for_each(sleep);
    }
}

/// The entries of one flush.
struct Group {
    /// The hash that the group is chained to, then its frames.
    frames: Vec<u8>,
    waiting: Vec<Waiting>,
    /// The last entry, once the group is durable.
    head: Head,
}

struct Waiting {
    answer: Answer,
    sequence: u64,
}

impl Group {
    fn begin(&mut self, head: Head) {
        self.head = head;
        self.waiting.clear();
        self.frames.clear();
        self.frames.extend_from_slice(&head.hash);
    }

    /// Leaves out an entry that nobody waits for any longer.
    fn push(&mut self, payload: &[u8], answer: Answer) {
        if answer.is_closed() {
            return;
        }
        let sequence = self.head.sequence + 1;
        let hash = push_entry(&mut self.frames, sequence, self.waiting.len() as u32, payload);
        self.head = Head { sequence, hash };
        self.waiting.push(Waiting { answer, sequence });
    }
}
