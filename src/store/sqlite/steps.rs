//! What takes long to write, in pieces of some milliseconds, in which nobody else writes.

use super::Store;
use super::rows::RowWriter;
use super::writer::Done;
use crate::copying::{LONGEST_COPY, is_being_copied};
use crate::pseudonym::Tag;
use crate::spill::Sorter;
use crate::store::{KeyId, StoreError};
use rusqlite::Connection;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// Rows of a first step, and the fewest and most of a later one: as many as take some milliseconds.
const ROWS_AT_FIRST: usize = 1_000;
const FEWEST_ROWS: usize = 250;
const MOST_ROWS: usize = 8_000;
/// A step that takes longer is followed by smaller ones. What it has written takes about as long again to commit.
const LONGEST_STEP: Duration = Duration::from_millis(8);
/// Steps that are written while the next are made.
const STEPS_AHEAD: usize = 2;
/// Memory for sorting what points to accounts.
const SORT_ACCOUNTS_BYTES: usize = 8 << 20;
/// While the log is longer than this, steps wait for checkpoints.
const LONGEST_LOG_BYTES: u64 = 64 << 20;
/// Longest such wait, unless the file is being copied.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(5);

/// Steps of one piece of work, in their order. Not for threads that answer.
pub(super) struct Steps {
    store: Store,
    /// Those that are not known to be done.
    queued: VecDeque<oneshot::Receiver<Result<Duration, StoreError>>>,
    rows: usize,
}

impl Steps {
    pub(super) fn new(store: &Store) -> Self {
        Self {
            store: store.clone(),
            queued: VecDeque::new(),
            rows: ROWS_AT_FIRST,
        }
    }

    /// Rows that the next step should take.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Takes a step, and waits where they queue up.
    pub(super) fn queue(
        &mut self,
        step: impl FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
    ) -> Result<(), StoreError> {
        self.wait_for_checkpoint()?;
        let step = move |connection: &Connection| {
            let since = Instant::now();
            step(connection)?;
            Ok(Done::nothing_new(since.elapsed()))
        };
        self.queued.push_back(self.store.0.writer.step(step)?);
        self.wait_for(STEPS_AHEAD)
    }

    /// Waits until all are done.
    pub(super) fn finish(&mut self) -> Result<(), StoreError> {
        self.wait_for(0)
    }

    fn wait_for(&mut self, most: usize) -> Result<(), StoreError> {
        while self.queued.len() > most
            && let Some(step) = self.queued.pop_front()
        {
            let took = step.blocking_recv().map_err(|_| StoreError::Closed)??;
            let rows = match took > LONGEST_STEP {
                true => self.rows / 2,
                false if took < LONGEST_STEP / 2 => self.rows * 2,
                false => self.rows,
            };
            self.rows = rows.clamp(FEWEST_ROWS, MOST_ROWS);
        }
        Ok(())
    }

    fn wait_for_checkpoint(&self) -> Result<(), StoreError> {
        let (began, mut since) = (Instant::now(), Instant::now());
        while self.store.0.checkpoints.log_bytes() > LONGEST_LOG_BYTES {
            // As long as the file is copied, the log cannot begin anew.
            if began.elapsed() < LONGEST_COPY && is_being_copied(&self.store.0.path) {
                since = Instant::now();
            }
            if since.elapsed() > LONGEST_PAUSE {
                return Err(StoreError::Unavailable(
                    "the log is not brought into the file".to_owned(),
                ));
            }
            std::thread::sleep(PAUSE);
        }
        Ok(())
    }
}

/// What points to accounts, sorted as it stands in its table.
pub(super) struct Pointers(Sorter);

impl Pointers {
    pub(super) fn new(store: &Store) -> Self {
        Self(Sorter::new(&store.0.scratch, SORT_ACCOUNTS_BYTES))
    }

    pub(super) fn add(&mut self, account: Tag, customer: &[u8]) -> Result<(), StoreError> {
        let pointer = [account.0.as_slice(), customer].concat();
        self.0.push(&pointer).map_err(spilled)
    }

    /// Writes them, for the rows of a set under a key.
    pub(super) fn write(
        self,
        set_id: i64,
        key: KeyId,
        mut queue: impl FnMut(PointerStep) -> Result<usize, StoreError>,
    ) -> Result<(), StoreError> {
        let (mut sorted, mut rows) = (self.0.finish().map_err(spilled)?, FEWEST_ROWS);
        loop {
            let mut pointers = Vec::with_capacity(rows);
            while pointers.len() < rows
                && let Some(pointer) = sorted.next_record().map_err(spilled)?
            {
                pointers.push(pointer.to_vec());
            }
            if pointers.is_empty() {
                return Ok(());
            }
            rows = queue(PointerStep {
                set_id,
                key,
                pointers,
            })?;
        }
    }
}

/// Some pointers to accounts, to be written together.
pub(super) struct PointerStep {
    set_id: i64,
    key: KeyId,
    pointers: Vec<Vec<u8>>,
}

impl PointerStep {
    pub(super) fn write(&self, connection: &Connection) -> Result<(), StoreError> {
        // No row is written, so the version does not matter.
        let mut rows = RowWriter::new(connection, self.set_id, self.key, 0)?;
        for pointer in &self.pointers {
            let (tag, customer) = pointer
                .split_first_chunk()
                .ok_or(StoreError::Damaged("a sorted account"))?;
            rows.point(Tag(*tag), customer)?;
        }
        Ok(())
    }
}

pub(super) fn spilled(cause: std::io::Error) -> StoreError {
    match cause.kind() {
        std::io::ErrorKind::StorageFull => StoreError::Full,
        _ => StoreError::Unavailable(format!("the scratch directory: {cause}")),
    }
}
