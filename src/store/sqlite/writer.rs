//! The one thread that writes: short work first, steps of merges between, what is acknowledged synced.

use super::connection;
use super::memory::{Memory, News};
use crate::store::StoreError;
use crate::workers::let_lookups_go_first;
use rusqlite::Connection;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Short work that waits, at the most.
const MOST_SHORT: usize = 4_096;
/// Steps of merges that wait, at the most; who has more waits.
const MOST_STEPS: usize = 4;
/// Short work that shares one sync.
const MOST_TOGETHER: usize = 64;
/// Longest that making up for a failed sync waits for those who read the log: whoever waits for the writer is soon told.
const RECOVERY_WAIT: Duration = Duration::from_millis(500);
/// After an attempt to make up for a sync that failed, the next comes no sooner.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// What a piece of work hands back: its result, and what is new in the register once it is committed.
pub(super) struct Done<T> {
    pub(super) value: T,
    pub(super) news: Vec<News>,
}

impl<T> Done<T> {
    pub(super) fn nothing_new(value: T) -> Self {
        Self {
            value,
            news: Vec::new(),
        }
    }
}

/// Tells the one who waits, once it is known whether the transaction is committed.
type Finish = Box<dyn FnOnce(&Memory, Result<(), StoreError>) + Send>;

/// What is done within a transaction, or why there is none; and who is told. What ends in an error is rolled back.
type Work = Box<dyn FnOnce(Result<&Connection, StoreError>) -> (Result<(), StoreError>, Finish) + Send>;

/// Gives work to the thread.
pub(super) struct Writer {
    queues: Arc<Queues>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Nothing is being written, until it is dropped.
pub(super) struct Pause(Arc<Queues>);

impl Drop for Pause {
    fn drop(&mut self) {
        self.0.waiting().pause = None;
        self.0.changed.notify_all();
    }
}

/// Whether the thread has heard that it is to pause.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Asked {
    NotYet,
    Heard,
}

struct Queues {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    /// The last write went well.
    writable: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    short: VecDeque<Work>,
    steps: VecDeque<Work>,
    pause: Option<Asked>,
    closed: bool,
}

impl Queues {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn work_of<T: Send + 'static>(
    work: impl FnOnce(&Connection) -> Result<Done<T>, StoreError> + Send + 'static,
) -> (Work, oneshot::Receiver<Result<T, StoreError>>) {
    let (answer, answered) = oneshot::channel();
    let work: Work = Box::new(move |connection| match connection.and_then(work) {
        Ok(done) => {
            let finish = move |memory: &Memory, committed: Result<(), StoreError>| {
                let result = committed.map(|()| {
                    // Before anybody is told, every lookup on this machine goes by it.
                    done.news.into_iter().for_each(|news| memory.note(news));
                    done.value
                });
                let _ = answer.send(result);
            };
            (Ok(()), Box::new(finish) as Finish)
        }
        Err(cause) => {
            let told = cause.clone();
            let finish = move |_: &Memory, _: Result<(), StoreError>| {
                let _ = answer.send(Err(told));
            };
            (Err(cause), Box::new(finish) as Finish)
        }
    });
    (work, answered)
}

impl Writer {
    pub(super) fn start(connection: Connection, memory: Arc<Memory>) -> Result<Self, StoreError> {
        let queues = Arc::new(Queues {
            waiting: Mutex::default(),
            changed: Condvar::new(),
            writable: AtomicBool::new(true),
        });
        let mut thread = Thread {
            connection,
            memory,
            queues: Arc::clone(&queues),
            syncs: true,
            unsynced: false,
            tried_at: None,
        };
        let started = std::thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                let_lookups_go_first();
                thread.run();
            });
        let started = started.map_err(|cause| StoreError::Unavailable(cause.to_string()))?;
        Ok(Self {
            queues,
            thread: Mutex::new(Some(started)),
        })
    }

    /// Does short work; it is durable when this returns.
    pub(super) async fn short<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<Done<T>, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (work, answered) = work_of(work);
        {
            let mut waiting = self.queues.waiting();
            if waiting.closed {
                return Err(StoreError::Closed);
            }
            if waiting.short.len() >= MOST_SHORT {
                return Err(StoreError::Overloaded);
            }
            waiting.short.push_back(work);
        }
        self.queues.changed.notify_all();
        answered.await.map_err(|_| StoreError::Closed)?
    }

    /// Queues a step of a merge, waiting where enough of them wait; it is committed, and durable with the next short
    /// work. Not for threads that answer.
    pub(super) fn step<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<Done<T>, StoreError> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T, StoreError>>, StoreError> {
        let (work, answered) = work_of(work);
        let mut waiting = self.queues.waiting();
        while waiting.steps.len() >= MOST_STEPS && !waiting.closed {
            waiting = self
                .queues
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.closed {
            return Err(StoreError::Closed);
        }
        waiting.steps.push_back(work);
        drop(waiting);
        self.queues.changed.notify_all();
        Ok(answered)
    }

    /// Waits until nothing is being written, which stays so for as long as what it returns lives. One at a time asks.
    pub(super) fn pause(&self) -> Pause {
        let mut waiting = self.queues.waiting();
        waiting.pause = Some(Asked::NotYet);
        self.queues.changed.notify_all();
        while waiting.pause == Some(Asked::NotYet) && !waiting.closed {
            waiting = self
                .queues
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
        drop(waiting);
        Pause(Arc::clone(&self.queues))
    }

    pub(super) fn is_writable(&self) -> bool {
        self.queues.writable.load(Ordering::Relaxed)
    }

    /// Ends the thread after what waits.
    pub(super) fn close(&self) {
        self.queues.waiting().closed = true;
        self.queues.changed.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        // What the last piece of work held may be the store itself.
        if let Some(thread) = thread
            && thread.thread().id() != std::thread::current().id()
            && thread.join().is_err()
        {
            tracing::error!("the thread that writes the store ended in a defect");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

struct Thread {
    connection: Connection,
    memory: Arc<Memory>,
    queues: Arc<Queues>,
    /// As `synchronous` is set.
    syncs: bool,
    /// A commit could not be synced: what earlier steps wrote may not be on the disk.
    unsynced: bool,
    /// When it was tried in vain to make up for that.
    tried_at: Option<Instant>,
}

impl Thread {
    fn run(&mut self) {
        while let Some((short, step)) = self.next() {
            if !short.is_empty() {
                self.transact(short, true);
            }
            if let Some(step) = step {
                self.transact(vec![step], false);
            }
        }
    }

    /// What is next: all short work that may share a sync, and a step after it. `None`: closed, and nothing waits.
    fn next(&self) -> Option<(Vec<Work>, Option<Work>)> {
        let mut waiting = self.queues.waiting();
        loop {
            if waiting.pause.is_some() && !waiting.closed {
                waiting.pause = Some(Asked::Heard);
                self.queues.changed.notify_all();
                waiting = self
                    .queues
                    .changed
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            let together = waiting.short.len().min(MOST_TOGETHER);
            let short: Vec<Work> = waiting.short.drain(..together).collect();
            let step = waiting.steps.pop_front();
            if !short.is_empty() || step.is_some() {
                drop(waiting);
                self.queues.changed.notify_all();
                return Some((short, step));
            }
            if waiting.closed {
                return None;
            }
            waiting = self
                .queues
                .changed
                .wait(waiting)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn transact(&mut self, all: Vec<Work>, synced: bool) {
        let (finishes, committed) = match self.begin(synced) {
            Ok(()) => self.work_and_commit(all),
            Err(cause) => {
                let refused = all.into_iter().map(|work| work(Err(cause.clone())).1).collect();
                (refused, Err(cause))
            }
        };
        self.note_outcome(&committed);
        if committed.is_ok() {
            self.memory.count_commit();
        }
        for finish in finishes {
            finish(&self.memory, committed.clone());
        }
    }

    fn begin(&mut self, synced: bool) -> Result<(), StoreError> {
        self.recover()?;
        if self.syncs != synced {
            self.connection
                .pragma_update(None, "synchronous", if synced { "FULL" } else { "NORMAL" })?;
            self.syncs = synced;
        }
        self.execute("BEGIN IMMEDIATE")
    }

    /// Runs each piece of work on its own: what one leaves undone does not concern the others.
    fn work_and_commit(&mut self, all: Vec<Work>) -> (Vec<Finish>, Result<(), StoreError>) {
        let mut finishes = Vec::with_capacity(all.len());
        let mut ended = Ok(());
        for work in all {
            let (done, finish) = match &ended {
                Ok(()) => self.in_savepoint(work),
                Err(cause) => work(Err(StoreError::clone(cause))),
            };
            finishes.push(finish);
            // Some faults end the whole transaction, with all that was done in it; a savepoint would begin another one.
            if ended.is_ok() && self.connection.is_autocommit() {
                let cause = || StoreError::Unavailable("the transaction was ended".to_owned());
                ended = Err(done.err().unwrap_or_else(cause));
            }
        }
        let committed = ended.and_then(|()| self.commit());
        (finishes, committed)
    }

    fn in_savepoint(&self, work: Work) -> (Result<(), StoreError>, Finish) {
        if let Err(cause) = self.execute("SAVEPOINT work") {
            return work(Err(cause));
        }
        let worked = catch_unwind(AssertUnwindSafe(|| work(Ok(&self.connection))));
        // Who waits for a defect is told that nobody answers; the thread goes on.
        let nobody = |_: &Memory, _: Result<(), StoreError>| {};
        let (done, finish) = worked.unwrap_or_else(|_| (Err(StoreError::Closed), Box::new(nobody) as Finish));
        if done.is_err() && !self.connection.is_autocommit() {
            let undone = self.execute("ROLLBACK TO work");
            if undone.is_err() {
                self.roll_back();
                return (undone, finish);
            }
        }
        if !self.connection.is_autocommit()
            && let Err(cause) = self.execute("RELEASE work")
        {
            self.roll_back();
            return (Err(cause), finish);
        }
        (done, finish)
    }

    fn execute(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), StoreError> {
        let committed = self.execute("COMMIT");
        if let Err(cause) = &committed {
            self.roll_back();
            self.unsynced |= !matches!(cause, StoreError::Full);
        }
        committed
    }

    fn roll_back(&self) {
        if !self.connection.is_autocommit()
            && let Err(cause) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%cause, "a transaction could not be rolled back");
        }
    }

    fn note_outcome(&mut self, committed: &Result<(), StoreError>) {
        let was_writable = self.queues.writable.swap(committed.is_ok(), Ordering::Relaxed);
        match committed {
            Err(cause) if was_writable => {
                tracing::error!(%cause, event = "store_write_failed", "the store cannot be written; nothing is acknowledged until it can");
            }
            Ok(()) if !was_writable => {
                tracing::info!(event = "store_recovered", "the store can be written again");
            }
            Ok(()) | Err(_) => {}
        }
    }

    /// After a failed sync nothing is acknowledged until all that the log holds is in the file, synced.
    fn recover(&mut self) -> Result<(), StoreError> {
        if !self.unsynced {
            return Ok(());
        }
        if self.tried_at.is_some_and(|at| at.elapsed() < RETRY_AFTER) {
            return Err(StoreError::Unavailable("a sync has failed just now".to_owned()));
        }
        self.tried_at = Some(Instant::now());
        self.syncs = true;
        connection::bring_in_log(&self.connection, RECOVERY_WAIT)?;
        (self.unsynced, self.tried_at) = (false, None);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
