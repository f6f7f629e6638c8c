//! The one thread that writes: takes all that is queued, makes it durable in one transaction, then answers all.

use super::answer::{Answer, Bench, Outcome};
use super::chain::{Hash, Head};
use super::engine::{Table, Work};
use super::fault::TableError;
use super::heads::{Event, ListEnd, Mark};
use super::index::IndexStep;
use super::keys::KeyRing;
use crate::store::{Basis, Store};
use chrono::Utc;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

/// One transaction takes no further entry once it has this many bytes.
const MOST_GROUP_BYTES: usize = 4 << 20;
/// From one transaction to the next, at least, where several wait at a time.
const COMMIT_EVERY: Duration = Duration::from_millis(1);
/// The head is listed once so many entries have come since it was ...
const LISTED_EVERY_ENTRIES: u64 = 10_000;
/// ... or, if any has, this long after.
const LISTED_EVERY: Duration = Duration::from_secs(3_600);

/// Why an entry is not known to be durable.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    #[error("an entry of {bytes} bytes exceeds the limit of {limit}")]
    TooLarge { bytes: usize, limit: usize },
    /// It may become durable later.
    #[error("not durable within `record.timeout_milliseconds`")]
    TimedOut,
    /// The next attempt repairs what it can.
    #[error(transparent)]
    Table(#[from] TableError),
    #[error("it is closed")]
    Closed,
    /// What it tells was read from a cache, and is no longer what the store has.
    #[error("overtaken by a publication")]
    Overtaken,
}

pub(super) enum Command {
    Append {
        entry: Vec<u8>,
        /// Written only if this is confirmed.
        basis: Option<Basis>,
        answer: Answer,
    },
    /// Written along with what is queued.
    Index {
        step: IndexStep,
        /// Whether it is written.
        done: oneshot::Sender<bool>,
    },
    Close {
        done: oneshot::Sender<Result<(), TableError>>,
    },
}

/// What is durable, as others see it.
pub(super) struct Progress(Mutex<Reached>);

/// How far this process has got.
#[derive(Clone, Copy)]
pub(super) struct Reached {
    pub(super) own: Own,
    /// The last durable entry.
    pub(super) head: Head,
    /// The end of the list of heads, when this process added to it last.
    pub(super) list: ListEnd,
}

/// The chain that this process writes.
#[derive(Clone, Copy)]
pub(super) struct Own {
    pub(super) number: u32,
    pub(super) instance: Uuid,
}

impl Progress {
    pub(super) fn new(reached: Reached) -> Self {
        Self(Mutex::new(reached))
    }

    pub(super) fn now(&self) -> Reached {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, reached: Reached) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = reached;
    }
}

/// What a writer is made of.
pub(super) struct WriterParts {
    pub(super) queue: mpsc::Receiver<Command>,
    pub(super) table: Table,
    pub(super) ring: Arc<KeyRing>,
    pub(super) progress: Arc<Progress>,
    pub(super) confirms: Option<Store>,
    /// Entries up to this are in the list of heads.
    pub(super) listed: u64,
}

pub(super) struct Writer {
    queue: mpsc::Receiver<Command>,
    table: Table,
    ring: Arc<KeyRing>,
    progress: Arc<Progress>,
    /// Where what was read from a cache is confirmed.
    confirms: Option<Store>,
    /// Behind which the next transaction goes on.
    reached: Reached,
    listed: LastListed,
    /// What failed transactions would have made the last entry: perhaps one did, or still does.
    in_doubt: Vec<Head>,
    crowded: Option<Instant>,
    group: Group,
}

/// When the head was listed last.
struct LastListed {
    sequence: u64,
    at: Instant,
}

impl LastListed {
    fn is_due(&self, head: &Head) -> bool {
        let since = head.sequence - self.sequence;
        since >= LISTED_EVERY_ENTRIES || (since > 0 && self.at.elapsed() >= LISTED_EVERY)
    }
}

/// What goes into one transaction.
#[derive(Default)]
struct Group {
    /// With room for their hashes.
    entries: Vec<(Vec<u8>, Hash)>,
    /// Of each entry.
    bases: Vec<Option<Basis>>,
    answers: Vec<Answer>,
    bytes: usize,
    is_indexed: bool,
    index: Option<(IndexStep, oneshot::Sender<bool>)>,
    closing: Option<oneshot::Sender<Result<(), TableError>>>,
}

impl Writer {
    /// Goes on behind what was reached.
    pub(super) fn new(parts: WriterParts) -> Self {
        Self {
            queue: parts.queue,
            table: parts.table,
            ring: parts.ring,
            reached: parts.progress.now(),
            progress: parts.progress,
            confirms: parts.confirms,
            listed: LastListed {
                sequence: parts.listed,
                at: Instant::now(),
            },
            in_doubt: Vec::new(),
            crowded: None,
            group: Group::default(),
        }
    }

    /// Runs until it is closed, or nobody is left who could ask.
    pub(super) fn run(mut self) {
        while let Some(command) = self.queue.blocking_recv() {
            self.keep_pace();
            self.gather(command);
            self.crowded = (self.group.answers.len() > 1).then(Instant::now);
            let committed = self.commit();
            self.tell(&committed);
            if let Some(done) = self.group.closing.take() {
                // The chain is free for others before anybody is told. Nobody waits if closing took too long.
                if let Err(cause) = self.table.release() {
                    tracing::debug!(%cause, "the chain is free for others in a minute only");
                }
                let _ = done.send(committed);
                return;
            }
        }
    }

    /// A sync costs about as much as ten answers: where many wait at a time, more of them share one. Who is alone never
    /// waits for others.
    fn keep_pace(&self) {
        let since = self.crowded.map(|began| began.elapsed());
        let rest = since.and_then(|since| COMMIT_EVERY.checked_sub(since));
        rest.into_iter().for_each(sleep);
    }

    /// Takes `command` and what is queued behind it; stops at a second step of the index, and at a close.
    fn gather(&mut self, command: Command) {
        self.group.clear();
        let mut next = Some(command);
        while let Some(command) = next {
            match command {
                Command::Append { entry, basis, answer } => self.group.push(entry, basis, answer),
                Command::Index { step, done } => self.group.index = Some((step, done)),
                Command::Close { done } => self.group.closing = Some(done),
            }
            let is_open = self.group.closing.is_none()
                && self.group.index.is_none()
                && self.group.bytes < MOST_GROUP_BYTES;
            next = if is_open { self.queue.try_recv().ok() } else { None };
        }
    }

    fn commit(&mut self) -> Result<(), TableError> {
        self.table.recover()?;
        self.settle()?;
        self.confirm();
        let before = self.reached.head;
        let mut head = before;
        for (entry, hash) in &mut self.group.entries {
            head = head.then(entry);
            *hash = head.hash;
        }
        let is_last = self.group.closing.is_some() && head.sequence > self.listed.sequence;
        let lists = is_last || self.listed.is_due(&head);
        if self.group.entries.is_empty() && self.group.index.is_none() && !lists {
            return Ok(());
        }
        let own = self.reached.own;
        let mark = Mark {
            event: Event::Reached,
            chain: own.number,
            instance: own.instance,
            head,
            at: Utc::now().timestamp(),
        };
        self.in_doubt.push(head);
        let committed = self.table.commit(&Work {
            chain: own.number,
            before,
            entries: &self.group.entries,
            mark: lists.then(|| (mark, self.ring.in_use())),
            index: self.group.index.as_ref().map(|(step, _)| step),
        })?;
        self.in_doubt.clear();
        self.group.is_indexed = committed.is_indexed;
        self.advance(head, committed.list);
        Ok(())
    }

    /// Leaves out what was overtaken, or cannot be confirmed. What is published from here on comes after the answers of
    /// this group.
    fn confirm(&mut self) {
        let Some(store) = &self.confirms else { return };
        let bases: Vec<&Basis> = self.group.bases.iter().flatten().collect();
        if bases.is_empty() {
            return;
        }
        let confirmed = store.confirm(&bases).map_err(TableError::from);
        let (confirmed, outcome) = match confirmed {
            Ok(confirmed) => (confirmed, Err(AppendError::Overtaken)),
            Err(cause) => (Vec::new(), Err(cause.into())),
        };
        let mut confirmed = confirmed.into_iter();
        let stands: Vec<bool> = self
            .group
            .bases
            .iter()
            .map(|basis| basis.is_none() || confirmed.next().unwrap_or(false))
            .collect();
        if !stands.iter().all(|stands| *stands) {
            tell(self.group.keep(&stands), &outcome);
        }
    }

    fn advance(&mut self, head: Head, list: Option<ListEnd>) {
        self.reached.head = head;
        if let Some(list) = list {
            self.reached.list = list;
            self.listed = LastListed {
                sequence: head.sequence,
                at: Instant::now(),
            };
        }
        self.progress.note(self.reached);
    }

    /// After a failure: finds out where the chain ends. What is not there may still be under way; then the next
    /// transaction wants its place, and fails in turn. What is there need not be on a standby yet: others are told by the
    /// next transaction only, which makes it durable too.
    fn settle(&mut self) -> Result<(), TableError> {
        if self.in_doubt.is_empty() {
            return Ok(());
        }
        match self.table.last(self.reached.own.number)? {
            Some(last) if self.in_doubt.contains(&last) => {
                self.reached.head = last;
                self.in_doubt.clear();
            }
            Some(last) if last == self.reached.head => {}
            None if self
                .table
                .starts_at(self.reached.own.number, &self.reached.head)? => {}
            Some(_) | None => self.give_way()?,
        }
        Ok(())
    }

    /// The chain has another end. Where others write, one of them went on with it, or a server that took over lacks some of
    /// it: it is left as it is, for `verify` to tell what is missing.
    fn give_way(&mut self) -> Result<(), TableError> {
        if !self.table.is_shared() {
            return Err(TableError::OtherEnd);
        }
        let (mark, list) = self.table.begin(Uuid::new_v4(), self.ring.in_use())?;
        tracing::warn!(
            event = "record_chain_left",
            "a chain of the record of use has another end than this process wrote; a new one was begun"
        );
        self.in_doubt.clear();
        self.reached.own = Own {
            number: mark.chain,
            instance: mark.instance,
        };
        self.advance(mark.head, Some(list));
        Ok(())
    }

    fn tell(&mut self, committed: &Result<(), TableError>) {
        let outcome = committed.clone().map_err(Into::into);
        tell(self.group.answers.drain(..), &outcome);
        if let Some((_, done)) = self.group.index.take() {
            // Nobody waits at the end of the process.
            let _ = done.send(committed.is_ok() && self.group.is_indexed);
        }
    }
}

/// Of those of one thread one is woken, who wakes the others.
fn tell(answers: impl IntoIterator<Item = Answer>, outcome: &Outcome) {
    let told = answers.into_iter();
    let benches: Vec<Arc<Bench>> = told.filter_map(|answer| answer.send(outcome.clone())).collect();
    benches.iter().for_each(|bench| bench.wake_one());
}

impl Group {
    fn clear(&mut self) {
        self.entries.clear();
        self.bases.clear();
        self.bytes = 0;
    }

    /// Leaves out an entry that nobody waits for any longer.
    fn push(&mut self, entry: Vec<u8>, basis: Option<Basis>, answer: Answer) {
        if answer.is_closed() {
            return;
        }
        self.bytes += entry.len();
        self.entries.push((entry, Hash::default()));
        self.bases.push(basis);
        self.answers.push(answer);
    }

    /// Keeps the entries of which that is said, and gives those who wait for the others.
    fn keep(&mut self, stands: &[bool]) -> Vec<Answer> {
        let mut each = stands.iter();
        self.entries.retain(|_| each.next() == Some(&true));
        let mut each = stands.iter();
        self.bases.retain(|_| each.next() == Some(&true));
        let (kept, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.answers)
            .into_iter()
            .zip(stands)
            .partition(|(_, stands)| **stands);
        self.answers = kept.into_iter().map(|(answer, _)| answer).collect();
        others.into_iter().map(|(answer, _)| answer).collect()
    }
}
