//! Snapshots that lookups share as long as nothing is committed: to begin and end a read transaction costs as much as
//! what a lookup reads by it.

use super::connection::open_reader;
use super::gate::Gate;
use super::lookup::last_publication;
use super::memory::Memory;
use crate::domain::delivery::PublicationId;
use crate::store::{StoreError, StoreOptions};
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Longest that a snapshot is shared: while it lasts, the log cannot begin anew.
const SHARED_FOR: Duration = Duration::from_millis(20);
/// Connections that are kept open; more are opened where more read at once, and closed again.
const KEPT: usize = 16;

/// Connections that lookups read by, each used by one thread at a time.
pub(super) struct Snapshots {
    path: PathBuf,
    cache_kib: usize,
    /// A cache stands in front, so what is read says which publication it was read at.
    is_cached: bool,
    gate: Arc<Gate>,
    memory: Arc<Memory>,
    free: Mutex<Vec<Snapshot>>,
}

struct Snapshot {
    connection: Connection,
    begun: Option<Begun>,
}

/// A read transaction that is open.
#[derive(Clone, Copy)]
struct Begun {
    /// Commits before it began, at the least.
    commits: u64,
    since: Instant,
    /// The last publication in it, where a cache wants to know.
    at: Option<PublicationId>,
}

impl Snapshots {
    pub(super) fn new(path: &Path, options: &StoreOptions, gate: Arc<Gate>, memory: Arc<Memory>) -> Self {
        Self {
            path: path.to_owned(),
            cache_kib: options.cache_kib,
            is_cached: options.is_cached,
            gate,
            memory,
            free: Mutex::default(),
        }
    }

    fn free(&self) -> MutexGuard<'_, Vec<Snapshot>> {
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads by a snapshot that has all that is committed by now.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Connection, Option<PublicationId>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let _passed = self.gate.pass();
        let commits = self.memory.commits();
        let free = self.free().pop();
        let mut snapshot = match free {
            Some(snapshot) => snapshot,
            None => Snapshot {
                connection: open_reader(&self.path, self.cache_kib)?,
                begun: None,
            },
        };
        let at = snapshot.bring_to(commits, self.is_cached)?;
        let done = read(&snapshot.connection, at)?;
        // One that failed may be at fault itself, and is closed.
        let mut free = self.free();
        if free.len() < KEPT {
            free.push(snapshot);
        }
        Ok(done)
    }

    /// Ends those that nobody reads by just now, so that the log may begin anew.
    pub(super) fn end_idle(&self) {
        // One that cannot be ended is closed.
        self.free().retain_mut(|snapshot| snapshot.end().is_ok());
    }

    /// Closes those that nobody reads by just now.
    pub(super) fn close(&self) {
        self.free().clear();
    }
}

impl Snapshot {
    /// Goes on by the snapshot that is open if nothing was committed since, and it is not open for long.
    fn bring_to(&mut self, commits: u64, is_cached: bool) -> Result<Option<PublicationId>, StoreError> {
        if let Some(begun) = self.begun
            && begun.commits == commits
            && begun.since.elapsed() < SHARED_FOR
        {
            return Ok(begun.at);
        }
        self.end()?;
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        let at = if is_cached {
            last_publication(&self.connection)?
        } else {
            None
        };
        let since = Instant::now();
        self.begun = Some(Begun { commits, since, at });
        Ok(at)
    }

    fn end(&mut self) -> Result<(), StoreError> {
        if self.begun.take().is_some() {
            self.connection.prepare_cached("COMMIT")?.execute([])?;
        }
        Ok(())
    }
}
