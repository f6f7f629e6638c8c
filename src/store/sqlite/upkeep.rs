//! What the file needs beside work: checkpoints, and the removal of what is kept no longer.

use super::memory::News;
use super::writer::Done;
use super::{Store, connection, sets};
use crate::store::{SetState, StoreError};
use chrono::{TimeDelta, Utc};
use rusqlite::{Connection, params};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A log of this length is brought into the file ...
const CHECKPOINT_BYTES: u64 = 32 << 20;
/// ... and of this length, work waits for that.
const RESTART_BYTES: u64 = 128 << 20;
/// Rows that are removed together.
const ROWS_PER_STEP: usize = 2_000;
/// Wait for a set that is in use.
const SET_WAIT: Duration = Duration::from_secs(1);

/// How long things are kept.
#[derive(Debug, Clone, Copy)]
pub struct Kept {
    /// Whole sets can be rolled back for so long.
    pub rollback: TimeDelta,
    pub receipts: TimeDelta,
    pub rejects: TimeDelta,
    pub publications: TimeDelta,
}

/// Brings the log into the file, on a thread of its own.
pub(super) struct Checkpoints {
    end: Arc<(Mutex<bool>, Condvar)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Checkpoints {
    pub(super) fn start(path: &Path) -> Result<Self, StoreError> {
        let end = Arc::new((Mutex::new(false), Condvar::new()));
        let (path, ended) = (path.to_owned(), Arc::clone(&end));
        let run = move || run_checkpoints(&path, &ended);
        let thread = std::thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(run);
        let thread = thread.map_err(|cause| StoreError::Unavailable(cause.to_string()))?;
        Ok(Self {
            end,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) fn close(&self) {
        *self.end.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.end.1.notify_all();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread
            && thread.join().is_err()
        {
            tracing::error!("the thread of the checkpoints ended in a defect");
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        self.close();
    }
}

fn run_checkpoints(path: &Path, (ended, changed): &(Mutex<bool>, Condvar)) {
    let log = connection::with_ending(path, "-wal");
    let (mut connection, mut failed) = (None, false);
    loop {
        let waited = ended.lock().unwrap_or_else(PoisonError::into_inner);
        let (waited, _) = changed
            .wait_timeout(waited, LOOK_EVERY)
            .unwrap_or_else(PoisonError::into_inner);
        if *waited {
            return;
        }
        drop(waited);
        match checkpoint(path, &log, &mut connection) {
            Ok(()) => failed = false,
            Err(cause) => {
                connection = None;
                if !std::mem::replace(&mut failed, true) {
                    tracing::error!(%cause, event = "checkpoint_failed", "the log of the store cannot be brought into its file");
                }
            }
        }
    }
}

fn checkpoint(path: &Path, log: &PathBuf, kept: &mut Option<Connection>) -> Result<(), StoreError> {
    let bytes = std::fs::metadata(log).map_or(0, |log| log.len());
    metrics::gauge!("kundeforhold_store_wal_bytes").set(bytes as f64);
    if bytes < CHECKPOINT_BYTES {
        return Ok(());
    }
    let connection = match kept {
        Some(connection) => connection,
        None => kept.insert(connection::open_writer(path, 0)?),
    };
    let how = if bytes < RESTART_BYTES {
        "PASSIVE"
    } else {
        "RESTART"
    };
    connection.query_row(&format!("PRAGMA wal_checkpoint({how})"), [], |_| Ok(()))?;
    Ok(())
}

impl Store {
    /// Removes what is kept no longer: receipts, rejects, publications, and rows of versions that nobody goes back to.
    /// Gives how many rows went. Reads all rows; not for threads that answer.
    pub fn purge(&self, kept: &Kept) -> Result<u64, StoreError> {
        let before = |time: TimeDelta| (Utc::now() - time).timestamp_millis();
        self.purge_lines(
            "DELETE FROM rejects WHERE (delivery, line) IN (SELECT r.delivery, r.line FROM rejects r
             JOIN deliveries d ON d.id = r.delivery WHERE d.received_at < ?1 LIMIT ?2)",
            before(kept.rejects),
        )?;
        self.purge_lines(
            "DELETE FROM deliveries WHERE id IN (SELECT id FROM deliveries d WHERE received_at < ?1 AND state <> 0
             AND NOT EXISTS (SELECT 1 FROM sets s WHERE s.whole_set = d.id) LIMIT ?2)",
            before(kept.receipts),
        )?;
        self.purge_lines(
            "DELETE FROM publications WHERE number IN (SELECT number FROM publications WHERE at < ?1
             AND number < (SELECT max(number) FROM publications) ORDER BY number LIMIT ?2)",
            before(kept.publications),
        )?;
        match self.raise_kept_from(before(kept.rollback))? {
            true => self.purge_rows(),
            false => Ok(0),
        }
    }

    fn purge_lines(&self, sql: &'static str, before: i64) -> Result<(), StoreError> {
        loop {
            let step = self.0.writer.step(move |connection: &Connection| {
                let removed = connection
                    .prepare_cached(sql)?
                    .execute(params![before, ROWS_PER_STEP])?;
                Ok(Done::nothing_new(removed))
            })?;
            if step.blocking_recv().map_err(|_| StoreError::Closed)?? < ROWS_PER_STEP {
                return Ok(());
            }
        }
    }

    /// The oldest version of each set is the one before the oldest whole set that can be rolled back. Gives whether any
    /// was raised.
    fn raise_kept_from(&self, before: i64) -> Result<bool, StoreError> {
        let mut raised = false;
        let runtime = tokio::runtime::Handle::current();
        let sets: Vec<_> = self.sets().iter().map(|(set, _)| set).collect();
        for set in sets {
            // One that is in use is raised another time.
            let Ok(lock) = runtime.block_on(self.lock(set, SET_WAIT)) else {
                continue;
            };
            let state = lock.state()?;
            let oldest: Option<u64> = self.0.readers.read(|connection| {
                let oldest = "SELECT min(version) FROM deliveries
                     WHERE set_id = ?1 AND kind = 0 AND state IN (1, 5) AND published_at >= ?2";
                Ok(connection
                    .prepare_cached(oldest)?
                    .query_row((state.id, before), |row| row.get(0))?)
            })?;
            let kept_from = oldest.map_or(state.version, |version| version.saturating_sub(1));
            if kept_from <= state.kept_from {
                continue;
            }
            raised = true;
            let next = SetState { kept_from, ..state };
            let write = self.0.writer.step(move |connection: &Connection| {
                sets::write(connection, &next)?;
                Ok(Done {
                    value: (),
                    news: vec![News::Set(set, next)],
                })
            })?;
            write.blocking_recv().map_err(|_| StoreError::Closed)??;
        }
        Ok(raised)
    }
}
