//! Reads all rows in their order, piece by piece: no read keeps the log from beginning anew for long.

use super::Store;
use super::rows::{self, Key};
use crate::store::{SealedRecord, StoreError};
use rusqlite::{Connection, Row};
use std::time::{Duration, Instant};

/// Longest that one piece takes.
const LONGEST_READ: Duration = Duration::from_millis(250);
/// Rows of a piece that are kept.
const MOST_KEPT: usize = 20_000;

/// The columns of a scanned row: those of [`rows::record`], then these.
const SET_ID: usize = 5;
const SINCE: usize = 6;
const UNTIL: usize = 7;

/// How far all rows are read.
#[derive(Default)]
pub(super) struct Scan {
    after: Option<Key>,
    ended: bool,
}

/// A row as it is scanned.
pub(super) struct Scanned<'a> {
    row: &'a Row<'a>,
    pub(super) set_id: i64,
    pub(super) since: u64,
    pub(super) until: Option<u64>,
}

impl Scanned<'_> {
    pub(super) fn record(&self) -> Result<SealedRecord, StoreError> {
        rows::record(self.row)
    }

    pub(super) fn key(&self) -> Result<Key, StoreError> {
        Ok(Key {
            subject: self.row.get(0)?,
            set_id: self.set_id,
            agreement: self.row.get(1)?,
            from_day: self.row.get(2)?,
            since: self.since,
        })
    }
}

impl Scan {
    /// The next piece of what `keep` makes of rows; `None` at the end.
    pub(super) fn next_piece<T>(
        &mut self,
        store: &Store,
        keep: impl Fn(&Scanned<'_>) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<Vec<T>>, StoreError> {
        if self.ended {
            return Ok(None);
        }
        let piece = store.0.readers.read(|connection| self.read(connection, keep))?;
        Ok(Some(piece))
    }

    fn read<T>(
        &mut self,
        connection: &Connection,
        keep: impl Fn(&Scanned<'_>) -> Result<Option<T>, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let since = Instant::now();
        let mut statement = connection.prepare_cached(
            "SELECT subject, agreement, from_day, terms, to_day, set_id, since, until FROM relationships
             WHERE (subject, set_id, agreement, from_day, since) > (?1, ?2, ?3, ?4, ?5)
             ORDER BY subject, set_id, agreement, from_day, since",
        )?;
        let after = self.after.take().unwrap_or(Key {
            subject: Vec::new(),
            set_id: -1,
            agreement: Vec::new(),
            from_day: i32::MIN,
            since: 0,
        });
        let mut rows = statement.query((
            after.subject,
            after.set_id,
            after.agreement,
            after.from_day,
            after.since,
        ))?;
        let (mut piece, mut seen) = (Vec::new(), 0_usize);
        while let Some(row) = rows.next()? {
            let scanned = Scanned {
                row,
                set_id: row.get(SET_ID)?,
                since: row.get(SINCE)?,
                until: row.get(UNTIL)?,
            };
            piece.extend(keep(&scanned)?);
            seen += 1;
            let long = seen.is_multiple_of(256) && since.elapsed() > LONGEST_READ;
            if piece.len() >= MOST_KEPT || long {
                self.after = Some(scanned.key()?);
                return Ok(piece);
            }
        }
        self.ended = true;
        Ok(piece)
    }
}

/// A set's records at one version, in the order of customer, agreement and first day.
pub struct SortedRecords {
    store: Store,
    set_id: i64,
    version: u64,
    scan: Scan,
    next: std::vec::IntoIter<SealedRecord>,
}

impl SortedRecords {
    pub(super) fn new(store: &Store, set_id: i64, version: u64) -> Self {
        // Before its first publication a set has no rows.
        let ended = version == 0;
        Self {
            store: store.clone(),
            set_id,
            version,
            scan: Scan { after: None, ended },
            next: Vec::new().into_iter(),
        }
    }

    /// The next record; `None` at the end.
    pub fn next_record(&mut self) -> Result<Option<SealedRecord>, StoreError> {
        let (set_id, version) = (self.set_id, self.version);
        let in_force = |row: &Scanned<'_>| {
            let stands = row.since <= version && row.until.is_none_or(|until| until > version);
            (row.set_id == set_id && stands).then(|| row.record()).transpose()
        };
        loop {
            if let Some(record) = self.next.next() {
                return Ok(Some(record));
            }
            match self.scan.next_piece(&self.store, in_force)? {
                Some(piece) => self.next = piece.into_iter(),
                None => return Ok(None),
            }
        }
    }
}
