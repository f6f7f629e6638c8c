//! Writes the table: groups of entries, the list of heads, the search index.

use super::checkpoints::RESTART_BYTES;
use super::{CACHE_KIB, MIGRATIONS, insert_head, list_end};
use crate::record::chain::Head;
use crate::record::engine::{Committed, Work};
use crate::record::fault::TableError;
use crate::record::heads::{Event, ListEnd, Mark};
use crate::record::index::{IndexStep, StepWork};
use crate::record::keys::RecordKey;
use crate::record::places::{batch_place, place};
use crate::store::{sqlite_file, sqlite_schema};
use chrono::Utc;
use rusqlite::{Connection, TransactionBehavior, params};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Longest that making up for a failed sync waits for those who read the log.
const RECOVERY_WAIT: Duration = Duration::from_millis(300);
/// After an attempt to make up for a sync that failed, the next comes no sooner.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// The one connection that writes entries.
pub(in crate::record) struct Table {
    connection: Connection,
    files: Files,
    /// A write failed: what it has left may not be on the disk as the system takes it to be.
    unsynced: bool,
    /// When it was tried in vain to make up for that.
    tried_at: Option<Instant>,
    /// Held for as long as this process writes the file.
    _taken: File,
}

impl Table {
    /// Opens the file, made if need be, and takes it for this process.
    pub(in crate::record) fn open(path: &Path) -> Result<Self, TableError> {
        let taken = sqlite_file::take(path)?;
        let mut connection = sqlite_file::open_writer(path, CACHE_KIB)?;
        connection.pragma_update(None, "journal_size_limit", RESTART_BYTES.cast_signed())?;
        sqlite_schema::migrate(&mut connection, MIGRATIONS)?;
        sync_directory(path)?;
        let files = Files::find(path)?;
        Ok(Self {
            connection,
            files,
            unsynced: false,
            tried_at: None,
            _taken: taken,
        })
    }

    /// The chain that was begun last.
    pub(in crate::record) fn last_chain(&self) -> Result<Option<u32>, TableError> {
        let last = "SELECT max(chain) FROM heads";
        Ok(self.connection.query_row(last, [], |row| row.get(0))?)
    }

    pub(in crate::record) fn begin(
        &mut self,
        instance: Uuid,
        key: &RecordKey,
    ) -> Result<(Mark, ListEnd), TableError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let begun = "SELECT count(*) FROM heads WHERE event = ?1";
        let chains: u32 = transaction.query_row(begun, [Event::Begun.number()], |row| row.get(0))?;
        let mark = Mark {
            event: Event::Begun,
            chain: chains + 1,
            instance,
            head: Head::birth(instance),
            at: Utc::now().timestamp(),
        };
        let listed = mark.list(list_end(&transaction)?, key);
        insert_head(&transaction, &listed)?;
        transaction.commit()?;
        Ok((mark, listed.end()))
    }

    pub(in crate::record) fn commit(&mut self, work: &Work) -> Result<Committed, TableError> {
        let done = self.transact(work);
        if let Err(cause) = &done {
            self.unsynced |= !matches!(cause, TableError::Full);
        }
        let list = done?;
        self.files.stand()?;
        Ok(Committed {
            list,
            is_indexed: work.index.is_some(),
        })
    }

    fn transact(&mut self, work: &Work) -> Result<Option<ListEnd>, TableError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        insert_entries(&transaction, work)?;
        if let Some(step) = work.index {
            write_step(&transaction, step)?;
        }
        let mut end = None;
        if let Some((mark, key)) = work.mark {
            let listed = mark.list(list_end(&transaction)?, key);
            insert_head(&transaction, &listed)?;
            end = Some(listed.end());
        }
        transaction.commit()?;
        Ok(end)
    }

    /// After a failed write nothing is acknowledged until all that the log holds is in the file, synced.
    pub(in crate::record) fn recover(&mut self) -> Result<(), TableError> {
        if !self.unsynced {
            return Ok(());
        }
        if self.tried_at.is_some_and(|at| at.elapsed() < RETRY_AFTER) {
            return Err(TableError::Unavailable("a write has failed just now".to_owned()));
        }
        self.tried_at = Some(Instant::now());
        sqlite_file::bring_in_log(&self.connection, RECOVERY_WAIT)?;
        (self.unsynced, self.tried_at) = (false, None);
        Ok(())
    }

    pub(in crate::record) fn last(&self, chain: u32) -> Result<Option<Head>, TableError> {
        super::reader::last(&self.connection, chain)
    }
}

fn insert_entries(connection: &Connection, work: &Work) -> Result<(), TableError> {
    let mut insert =
        connection.prepare_cached("INSERT INTO entries (place, entry, hash) VALUES (?1, ?2, ?3)")?;
    for ((entry, hash), sequence) in work.entries.iter().zip(work.before.sequence + 1..) {
        insert.execute(params![place(work.chain, sequence), entry, hash.as_slice()])?;
    }
    Ok(())
}

fn write_step(connection: &Connection, step: &IndexStep) -> Result<(), TableError> {
    let batch = batch_place(step.batch);
    match &step.work {
        StepWork::Begin => {
            connection.execute("DELETE FROM found_by WHERE batch = ?1", [batch])?;
        }
        StepWork::Rows(rows) => {
            let sql = "INSERT INTO found_by (batch, key, sequence) VALUES (?1, ?2, ?3)";
            let mut insert = connection.prepare_cached(sql)?;
            for (key, sequence) in rows {
                insert.execute(params![batch, key, sequence])?;
            }
        }
        StepWork::End(days) => {
            let sql = "INSERT OR IGNORE INTO days (day, consumer, batch) VALUES (?1, ?2, ?3)";
            let mut insert = connection.prepare_cached(sql)?;
            for (day, consumer) in days {
                insert.execute(params![day, consumer, batch])?;
            }
            connection.execute(
                "INSERT INTO indexed (chain, batches) VALUES (?1, ?2)
                 ON CONFLICT (chain) DO UPDATE SET batches = excluded.batches",
                params![step.batch.chain, step.batch.number + 1],
            )?;
        }
    }
    Ok(())
}

/// The file and its log, as they were when they were opened.
struct Files(Vec<(PathBuf, (u64, u64))>);

impl Files {
    fn find(path: &Path) -> Result<Self, TableError> {
        let all = [path.to_owned(), sqlite_file::with_ending(path, "-wal")];
        let found = all.map(|path| identity(&path).map(|identity| (path, identity)));
        Ok(Self(found.into_iter().collect::<Result<_, _>>()?))
    }

    /// What is synced into a file that was deleted or moved is lost: that is a failure too.
    fn stand(&self) -> Result<(), TableError> {
        for (path, known) in &self.0 {
            if identity(path)? != *known {
                return Err(TableError::Moved(path.clone()));
            }
        }
        Ok(())
    }
}

fn identity(path: &Path) -> Result<(u64, u64), TableError> {
    let file = std::fs::metadata(path).map_err(|_| TableError::Moved(path.to_owned()))?;
    Ok((file.dev(), file.ino()))
}

/// So that a file that was just made is there after a failure of power.
fn sync_directory(path: &Path) -> Result<(), TableError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|cause| TableError::Unavailable(format!("{}: {cause}", directory.display())))
}
