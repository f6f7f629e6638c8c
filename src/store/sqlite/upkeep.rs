//! What the file needs beside work: checkpoints, and the removal of what is kept no longer.

use super::memory::News;
use super::snapshot::Snapshots;
use super::writer::Done;
use super::{Store, connection, sets};
use crate::store::kept::{before, first_id};
use crate::store::{Kept, SetState, StoreError};
use rusqlite::{Connection, ToSql, params};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// A log of this length is brought into the file. What is synced at once is what others wait for: the record of use, say.
const CHECKPOINT_BYTES: u64 = 8 << 20;
/// At this length, work waits for that.
const TRUNCATE_BYTES: u64 = 48 << 20;
/// Rows that are removed together.
const ROWS_PER_STEP: usize = 2_000;
/// Publications that are removed together: each may list half a megabyte of what it changed.
const PUBLICATIONS_PER_STEP: usize = 100;

/// Brings the log into the file, on a thread of its own.
pub(super) struct Checkpoints {
    end: Arc<(Mutex<bool>, Condvar)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Checkpoints {
    pub(super) fn start(path: &Path, snapshots: Arc<Snapshots>) -> Result<Self, StoreError> {
        let end = Arc::new((Mutex::new(false), Condvar::new()));
        let (path, ended) = (path.to_owned(), Arc::clone(&end));
        let run = move || run_checkpoints(&path, &snapshots, &ended);
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

fn run_checkpoints(path: &Path, snapshots: &Snapshots, (ended, changed): &(Mutex<bool>, Condvar)) {
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
        snapshots.end_idle();
        match checkpoint(path, &log, snapshots, &mut connection) {
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

fn checkpoint(
    path: &Path,
    log: &PathBuf,
    snapshots: &Snapshots,
    kept: &mut Option<Connection>,
) -> Result<(), StoreError> {
    let bytes = std::fs::metadata(log).map_or(0, |log| log.len());
    metrics::gauge!("kundeforhold_store_wal_bytes").set(bytes as f64);
    if bytes < CHECKPOINT_BYTES {
        return Ok(());
    }
    let connection = match kept {
        Some(connection) => connection,
        None => kept.insert(connection::open_writer(path, 0)?),
    };
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()))?;
    if bytes >= TRUNCATE_BYTES {
        snapshots.end_idle();
        // Writers wait only for what came meanwhile; merges wait until the file is short again.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    }
    Ok(())
}

impl Store {
    /// Removes what is kept no longer: receipts, rejects, publications, and rows of versions that nobody goes back to.
    /// Gives how many rows went. Reads all rows; not for threads that answer.
    pub fn purge(&self, kept: &Kept) -> Result<u64, StoreError> {
        let is_raised = self.raise_kept_from(before(kept.rollback))?;
        // Whoever rolls back has to be told what goes, so what came after the oldest version has its receipt.
        self.purge_lines(
            "DELETE FROM deliveries WHERE id IN (SELECT d.id FROM deliveries d JOIN sets s ON s.id = d.set_id
             WHERE d.id < ?1 AND d.state <> 0 AND s.whole_set IS NOT d.id
             AND coalesce(d.version, 0) <= s.kept_from LIMIT ?2)",
            first_id(kept.receipts),
            ROWS_PER_STEP,
        )?;
        self.purge_lines(
            "DELETE FROM rejects WHERE (delivery, line) IN
             (SELECT delivery, line FROM rejects WHERE delivery < ?1 LIMIT ?2)",
            first_id(kept.rejects.min(kept.receipts)),
            ROWS_PER_STEP,
        )?;
        self.purge_publications(before(kept.publications))?;
        match is_raised {
            true => self.purge_rows(),
            false => Ok(0),
        }
    }

    /// They come in the order of time. The last one stays.
    fn purge_publications(&self, before: i64) -> Result<(), StoreError> {
        let first_kept: Option<u64> = self.0.readers.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT coalesce((SELECT number FROM publications WHERE at >= ?1 ORDER BY number LIMIT 1),
                                 (SELECT max(number) FROM publications))",
            )?;
            Ok(statement.query_row([before], |row| row.get(0))?)
        })?;
        self.purge_lines(
            "DELETE FROM publications WHERE number IN (SELECT number FROM publications WHERE number < ?1 LIMIT ?2)",
            first_kept.unwrap_or(0),
            PUBLICATIONS_PER_STEP,
        )
    }

    fn purge_lines(
        &self,
        sql: &'static str,
        end: impl ToSql + Clone + Send + 'static,
        per_step: usize,
    ) -> Result<(), StoreError> {
        loop {
            let end = end.clone();
            let step = self.0.writer.step(move |connection: &Connection| {
                let removed = connection.prepare_cached(sql)?.execute(params![end, per_step])?;
                Ok(Done::nothing_new(removed))
            })?;
            if step.blocking_recv().map_err(|_| StoreError::Closed)?? < per_step {
                return Ok(());
            }
        }
    }

    /// The oldest version of each set is the one before the oldest whole set that can be rolled back. Gives whether any
    /// was raised.
    fn raise_kept_from(&self, before: i64) -> Result<bool, StoreError> {
        let mut raised = false;
        let sets: Vec<_> = self.sets().iter().map(|(set, _)| set).collect();
        for set in sets {
            // One that is in use is raised another time.
            let Some(lock) = self.try_lock(set)? else {
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
