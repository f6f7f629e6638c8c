//! Brings the write-ahead log into the file, in pieces, and has it begin anew before it grows long.

use super::connection::{self, Log, checkpoint};
use super::gate::{Closed, Gate};
use super::snapshot::Snapshots;
use super::writer::Writer;
use crate::copying::{LONGEST_COPY, is_being_copied};
use crate::store::StoreError;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the log is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// So much of the log is brought into the file at once. While it is synced others wait: the record of use, say.
const CHECKPOINT_BYTES: u64 = 8 << 20;
/// A log of this length is begun anew, for which whoever writes waits.
const RESTART_BYTES: u64 = 48 << 20;
/// Longest wait for those who read in other processes; lookups wait meanwhile.
const RESTART_WITHIN: Duration = Duration::from_millis(40);
/// Longest attempt to empty the log, unless the file is being copied, and the pause between two tries.
const LONGEST_TRUNCATION: Duration = Duration::from_secs(60);
const TRUNCATE_AGAIN: Duration = Duration::from_millis(50);

/// The thread that does it.
pub(super) struct Checkpoints {
    checkpointer: Arc<Checkpointer>,
    end: Arc<(Mutex<bool>, Condvar)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Checkpoints {
    pub(super) fn start(
        path: &Path,
        gate: Arc<Gate>,
        snapshots: Arc<Snapshots>,
        writer: Arc<Writer>,
    ) -> Result<Self, StoreError> {
        let end = Arc::new((Mutex::new(false), Condvar::new()));
        let checkpointer = Arc::new(Checkpointer {
            path: path.to_owned(),
            gate,
            snapshots,
            writer,
            log_bytes: AtomicU64::new(0),
            restarting: Mutex::default(),
        });
        let (ended, running) = (Arc::clone(&end), Arc::clone(&checkpointer));
        let thread = std::thread::Builder::new()
            .name("checkpoints".to_owned())
            .spawn(move || running.run(&ended));
        let thread = thread.map_err(|cause| StoreError::Unavailable(cause.to_string()))?;
        Ok(Self {
            checkpointer,
            end,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Length of the log when it was last looked at; none once all of it is in the file.
    pub(super) fn log_bytes(&self) -> u64 {
        self.checkpointer.log_bytes.load(Ordering::Relaxed)
    }

    /// Brings all of the log into the file and empties it, so that nothing is left there of what was removed. Not for
    /// threads that answer.
    pub(super) fn truncate_log(&self) -> Result<(), StoreError> {
        let connection = self.checkpointer.connect()?;
        let (began, mut since) = (Instant::now(), Instant::now());
        loop {
            if began.elapsed() < LONGEST_COPY && is_being_copied(&self.checkpointer.path) {
                since = Instant::now();
            } else if self.checkpointer.begin_anew(&connection, "TRUNCATE")?.bytes == 0 {
                return Ok(());
            }
            if since.elapsed() > LONGEST_TRUNCATION {
                return Err(StoreError::Unavailable("the log is in use".to_owned()));
            }
            std::thread::sleep(TRUNCATE_AGAIN);
        }
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

struct Checkpointer {
    path: PathBuf,
    gate: Arc<Gate>,
    snapshots: Arc<Snapshots>,
    writer: Arc<Writer>,
    log_bytes: AtomicU64,
    /// One at a time has others wait.
    restarting: Mutex<()>,
}

impl Checkpointer {
    fn run(&self, (ended, changed): &(Mutex<bool>, Condvar)) {
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
            self.snapshots.end_idle();
            match self.look(&mut connection) {
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

    fn look(&self, kept: &mut Option<Connection>) -> Result<(), StoreError> {
        let connection = match kept {
            Some(connection) => connection,
            None => kept.insert(self.connect()?),
        };
        let log = checkpoint(connection, "NOOP")?;
        self.note(log);
        // While the file is copied the log cannot begin anew, and writers and readers would wait for it in vain.
        if log.ahead > 0 && log.bytes >= RESTART_BYTES && !is_being_copied(&self.path) {
            self.note(self.begin_anew(connection, "RESTART")?);
        } else if log.ahead >= CHECKPOINT_BYTES {
            checkpoint(connection, "PASSIVE")?;
        }
        Ok(())
    }

    fn connect(&self) -> Result<Connection, StoreError> {
        let connection = connection::open_writer(&self.path, 0)?;
        connection.busy_timeout(RESTART_WITHIN)?;
        Ok(connection)
    }

    /// Brings all of the log into the file, so that whoever writes next begins it anew. Nobody writes meanwhile; lookups
    /// go on but for two instants.
    fn begin_anew(&self, connection: &Connection, mode: &str) -> Result<Log, StoreError> {
        let _alone = self.restarting.lock().unwrap_or_else(PoisonError::into_inner);
        let _paused = self.writer.pause();
        // What came after their snapshots would not be copied.
        drop(self.end_reading());
        checkpoint(connection, "PASSIVE")?;
        let _nobody_reads = self.end_reading();
        checkpoint(connection, mode)
    }

    fn end_reading(&self) -> Closed<'_> {
        let closed = self.gate.close();
        self.snapshots.end_idle();
        closed
    }

    fn note(&self, log: Log) {
        let bytes = if log.ahead == 0 { 0 } else { log.bytes };
        self.log_bytes.store(bytes, Ordering::Relaxed);
        metrics::gauge!("kundeforhold_store_wal_bytes").set(bytes as f64);
    }
}

#[cfg(test)]
mod tests {
    use crate::pseudonym::{MasterKey, PseudonymRing};
    use crate::store::sqlite::Store;
    use crate::store::sqlite::writer::Done;
    use crate::store::{StoreOptions, StorePlace};
    use rusqlite::Connection;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::{Duration, Instant};

    const LONGEST_LOG_BYTES: u64 = 64 << 20;

    fn write_a_megabyte(store: &Store) {
        let write = |connection: &Connection| {
            connection.execute(
                "INSERT INTO rejects VALUES (randomblob(16), 1, zeroblob(1 << 20))",
                [],
            )?;
            Ok(Done::nothing_new(()))
        };
        store
            .0
            .writer
            .step(write)
            .unwrap()
            .blocking_recv()
            .unwrap()
            .unwrap();
    }

    /// Reads one snapshot after the other, as lookups do that never end.
    fn read_until(ended: &AtomicBool, store: &Store) {
        while !ended.load(Ordering::Relaxed) {
            let read = store.0.snapshots.read(|connection, _| {
                std::thread::sleep(Duration::from_millis(3));
                Ok(connection.query_row("SELECT count(*) FROM sets", [], |row| row.get::<_, i64>(0))?)
            });
            assert_eq!(read, Ok(0));
        }
    }

    #[test]
    fn the_log_begins_anew_while_readers_follow_one_another() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("register.sqlite");
        let options = StoreOptions {
            place: StorePlace::Sqlite(path.clone()),
            timeout: Duration::from_secs(1),
            cache_kib: 1024,
            is_cached: false,
            remembered_changes: 1,
            scratch: folder.path().to_owned(),
        };
        let ring = PseudonymRing::new(&MasterKey::generate().unwrap(), None).into();
        let store = Store::open(&path, &options, ring).unwrap();
        let ended = AtomicBool::new(false);
        let longest = std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| read_until(&ended, &store));
            }
            let begun = Instant::now();
            for _ in 0..200 {
                write_a_megabyte(&store);
                while store.0.checkpoints.log_bytes() > LONGEST_LOG_BYTES {
                    assert!(
                        begun.elapsed() < Duration::from_secs(30),
                        "the log does not begin anew"
                    );
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
            ended.store(true, Ordering::Relaxed);
            std::fs::metadata(folder.path().join("register.sqlite-wal"))
                .unwrap()
                .len()
        });
        assert!(longest < 2 * LONGEST_LOG_BYTES, "{longest} bytes");
        store.close();
    }
}
