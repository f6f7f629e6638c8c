//! Reads all rows in their order, piece by piece: no read keeps the log from beginning anew for long.

use super::Store;
use super::rows::{self, Key};
use crate::pseudonym::Sealed;
use crate::store::{KeyId, SealedRecord, SetState, StoreError};
use rusqlite::{Connection, Row, ToSql, params_from_iter};
use std::time::{Duration, Instant};

/// The customers are read in so many shares, by their first byte, so that one without wanted rows is soon over.
const SHARES: u16 = 256;
/// Longest that one piece takes, where rows are wanted.
const LONGEST_READ: Duration = Duration::from_millis(20);
/// Rows of a piece that are kept.
const MOST_KEPT: usize = 20_000;

/// The columns of a scanned row: those of [`rows::record`], then these.
const SET_ID: usize = 5;
const SINCE: usize = 6;
const UNTIL: usize = 7;

/// Which rows are wanted; the others are passed over where they are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wanted {
    /// Of a set, in force at a version.
    InForce { set_id: i64, key: KeyId, version: u64 },
    /// Of a set, beyond a version.
    Beyond { set_id: i64, key: KeyId, version: u64 },
    /// Of a set, under another key.
    NotUnder { set_id: i64, key: KeyId },
    /// Of all sets, over at a version that any of them may have.
    OverAt(u64),
    /// Of all sets, of records that ended before a day.
    EndedBefore(i32),
}

impl Wanted {
    /// As SQL has it, with what is bound from ?7 on.
    fn condition(self) -> (&'static str, Vec<i64>) {
        match self {
            Self::InForce { set_id, key, version } => (
                "set_id = ?7 AND key = ?8 AND since <= ?9 AND (until IS NULL OR until > ?9)",
                vec![set_id, key.0.into(), bound(version)],
            ),
            Self::Beyond { set_id, key, version } => (
                "set_id = ?7 AND key = ?8 AND (since > ?9 OR until > ?9)",
                vec![set_id, key.0.into(), bound(version)],
            ),
            Self::NotUnder { set_id, key } => ("set_id = ?7 AND key <> ?8", vec![set_id, key.0.into()]),
            Self::OverAt(version) => ("until <= ?7", vec![bound(version)]),
            Self::EndedBefore(day) => ("to_day < ?7", vec![day.into()]),
        }
    }
}

/// Versions are counted up from 0.
fn bound(version: u64) -> i64 {
    i64::try_from(version).unwrap_or(i64::MAX)
}

/// How far rows are read: through the customers, share by share of those that there can be.
pub(super) struct Scan {
    wanted: Wanted,
    /// The first byte of the customers of the share that is being read.
    share: u16,
    after: Option<Key>,
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
    pub(super) fn of(wanted: Wanted) -> Self {
        Self {
            wanted,
            share: 0,
            after: None,
        }
    }

    /// The next piece of what `keep` makes of rows; `None` at the end.
    pub(super) fn next_piece<T>(
        &mut self,
        store: &Store,
        keep: impl Fn(&Scanned<'_>) -> Result<Option<T>, StoreError>,
    ) -> Result<Option<Vec<T>>, StoreError> {
        if self.share >= SHARES {
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
        let (condition, bounds) = self.wanted.condition();
        let mut statement = connection.prepare_cached(&format!(
            "SELECT subject, agreement, from_day, terms, to_day, set_id, since, until FROM relationships
             WHERE (subject, set_id, agreement, from_day, since) > (?1, ?2, ?3, ?4, ?5) AND subject < ?6
             AND {condition} ORDER BY subject, set_id, agreement, from_day, since"
        ))?;
        let after = self.after.take().unwrap_or_else(|| Key {
            subject: vec![self.share as u8],
            set_id: -1,
            agreement: Vec::new(),
            from_day: i32::MIN,
            since: 0,
        });
        // Beyond every customer of the share.
        let end = [&[self.share as u8][..], &[u8::MAX; Sealed::MAX_BYTES]].concat();
        let from: [&dyn ToSql; 6] = [
            &after.subject,
            &after.set_id,
            &after.agreement,
            &after.from_day,
            &after.since,
            &end,
        ];
        let bounds = bounds.iter().map(|bound| bound as &dyn ToSql);
        let mut rows = statement.query(params_from_iter(from.into_iter().chain(bounds)))?;
        let mut piece = Vec::new();
        while let Some(row) = rows.next()? {
            let scanned = Scanned {
                row,
                set_id: row.get(SET_ID)?,
                since: row.get(SINCE)?,
                until: row.get(UNTIL)?,
            };
            piece.extend(keep(&scanned)?);
            if piece.len() >= MOST_KEPT || since.elapsed() > LONGEST_READ {
                self.after = Some(scanned.key()?);
                return Ok(piece);
            }
        }
        self.share += 1;
        Ok(piece)
    }
}

/// A set's records at one version, in the order of customer, agreement and first day.
pub struct SortedRecords {
    store: Store,
    scan: Scan,
    next: std::vec::IntoIter<SealedRecord>,
}

impl SortedRecords {
    pub(super) fn new(store: &Store, set: &SetState, version: u64) -> Self {
        let mut scan = Scan::of(Wanted::InForce {
            set_id: set.id,
            key: set.key,
            version,
        });
        if version == 0 {
            // Before its first publication a set has no rows.
            scan.share = SHARES;
        }
        Self {
            store: store.clone(),
            scan,
            next: Vec::new().into_iter(),
        }
    }

    /// The next record; `None` at the end.
    pub fn next_record(&mut self) -> Result<Option<SealedRecord>, StoreError> {
        loop {
            if let Some(record) = self.next.next() {
                return Ok(Some(record));
            }
            match self.scan.next_piece(&self.store, |row| row.record().map(Some))? {
                Some(piece) => self.next = piece.into_iter(),
                None => return Ok(None),
            }
        }
    }
}
