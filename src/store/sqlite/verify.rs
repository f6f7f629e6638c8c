//! Proves that the rows of a copy are what their formats, versions and counts say.

mod fault;
mod ledger;
mod pointers;
mod records;

pub use fault::{Fault, Finding};

use self::fault::Findings;
use self::pointers::Pointers;
use super::held::Held;
use super::steps::spilled;
use super::{connection, keys, schema};
use crate::copying::open_copy;
use crate::domain::relationship::SetId;
use crate::pseudonym::{KeyFingerprint, PseudonymRing};
use crate::store::format::{register_number, set_of, time_of};
use crate::store::{KeyId, StoreError};
use chrono::NaiveDate;
use rusqlite::{Connection, Row, params};
use std::collections::HashMap;
use std::path::Path;
use uuid::Uuid;

/// Messages of SQLite that are counted.
const MOST_MESSAGES: u32 = 1_000;

/// What a file is, before its rows are looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    pub schema: u32,
    /// Of the pseudonym keys that its rows are made with.
    pub keys: Vec<KeyFingerprint>,
}

/// What was found in a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verification {
    pub findings: Vec<Finding>,
    pub sets: Vec<SetCounts>,
}

impl Verification {
    /// Whether nothing but counts is wrong.
    pub fn only_counts_are_wrong(&self) -> bool {
        self.findings
            .iter()
            .all(|finding| finding.fault == Fault::Records)
    }
}

/// The counts of a set, as its row has them and as they were counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetCounts {
    pub set: SetId,
    version: u64,
    pub stored: Counts,
    pub counted: Counts,
}

/// How many records stand, and how many of them run today. The latter is counted when a whole set comes, and not again
/// when a day has passed: it may differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    pub records: u64,
    pub running: u64,
}

/// A set's row, and what was counted.
struct Tally {
    set: Option<SetId>,
    version: u64,
    is_merging: bool,
    /// Of its rows.
    key: Option<KeyId>,
    /// There may be rows of another key, which nobody reads.
    is_mixed: bool,
    whole_set: Option<Uuid>,
    stored: Counts,
    counted: Counts,
}

impl Tally {
    /// Of a row that cannot be read.
    fn unknown() -> Self {
        Self {
            set: None,
            version: u64::MAX - 1,
            is_merging: false,
            key: None,
            is_mixed: true,
            whole_set: None,
            stored: Counts::default(),
            counted: Counts::default(),
        }
    }

    /// The last version that may have rows.
    fn last_written(&self) -> u64 {
        self.version + u64::from(self.is_merging)
    }

    /// Whether a row is read: one of another key is not, and is a fault where no rekey is at it.
    fn reads(&self, key: KeyId) -> Result<bool, Fault> {
        match self.key == Some(key) {
            true => Ok(true),
            false if self.is_mixed => Ok(false),
            false => Err(Fault::OtherKey),
        }
    }
}

/// The sets by the id of their row.
type Sets = HashMap<i64, Tally>;

/// What keeps rows from being read to their end.
enum Broken {
    /// They cannot be read.
    Rows,
    /// The scratch space for sorting fails.
    Scratch(std::io::Error),
}

impl From<rusqlite::Error> for Broken {
    fn from(_: rusqlite::Error) -> Self {
        Self::Rows
    }
}

/// Refuses a copy that this program cannot work on with these keys; tells what it is otherwise.
pub fn facts(copy: &Path, given: &PseudonymRing) -> Result<Facts, StoreError> {
    let connection = open_copy(copy)?;
    schema::check(&connection, schema::REGISTER)?;
    keys::look(&connection, given)?;
    Ok(Facts {
        schema: schema::newest(&connection)?,
        keys: keys::in_use(&connection)?,
    })
}

/// Reads all rows of a copy. `today` is the day that records run on; what does not fit into memory is sorted in
/// `scratch`; `read` is told of the records that were read.
pub fn verify(
    copy: &Path,
    today: NaiveDate,
    scratch: &Path,
    read: &mut dyn FnMut(u64),
) -> Result<Verification, StoreError> {
    let connection = open_copy(copy)?;
    let mut found = Found {
        sets: Sets::new(),
        findings: Findings::default(),
    };
    let mut pointers = Pointers::new(scratch);
    let pages = check_pages(&connection, &mut found.findings);
    found.note("the file", pages)?;
    let sets = read_sets(&connection, &mut found);
    found.note("sets", sets)?;
    let keys = check_keys(&connection, &mut found);
    found.note("keys", keys)?;
    let records = records::check(&connection, &mut found, today, &mut pointers, read);
    found.note("relationships", records)?;
    let accounts = pointers.check(&connection, &mut found);
    found.note("accounts", accounts)?;
    for (table, check) in ledger::CHECKS {
        let checked = check(&connection, &mut found);
        found.note(table, checked)?;
    }
    Ok(found.told())
}

/// What is found while rows are read.
struct Found {
    sets: Sets,
    findings: Findings,
}

impl Found {
    /// The set of a row's id; a row of none is a finding.
    fn set_of(&mut self, id: i64) -> Option<&mut Tally> {
        let set = self.sets.get_mut(&id);
        if set.is_none() {
            self.findings.add(None, Fault::NoSet);
        }
        set
    }

    /// Rows that cannot be read to their end are a finding, and the next table is read all the same.
    fn note(&mut self, table: &'static str, outcome: Result<(), Broken>) -> Result<(), StoreError> {
        match outcome {
            Ok(()) => {}
            Err(Broken::Rows) => self.findings.add(None, Fault::Unreadable(table)),
            Err(Broken::Scratch(cause)) => return Err(spilled(cause)),
        }
        Ok(())
    }

    fn told(mut self) -> Verification {
        let mut sets = Vec::new();
        for tally in self.sets.values() {
            let Some(set) = tally.set else { continue };
            if tally.stored.records != tally.counted.records {
                self.findings.add(Some(set), Fault::Records);
            }
            sets.push(SetCounts {
                set,
                version: tally.version,
                stored: tally.stored,
                counted: tally.counted,
            });
        }
        sets.sort_by_key(|counts| counts.set);
        Verification {
            findings: self.findings.told(),
            sets,
        }
    }
}

/// SQLite's own check. Its messages name tables and pages, and hold no value.
fn check_pages(connection: &Connection, findings: &mut Findings) -> Result<(), Broken> {
    let mut statement = connection.prepare(&format!("PRAGMA integrity_check({MOST_MESSAGES})"))?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        if row.get_ref(0)?.as_str() != Ok("ok") {
            findings.add(None, Fault::Pages);
        }
    }
    Ok(())
}

/// The key of each set is one that rows are made with.
fn check_keys(connection: &Connection, found: &mut Found) -> Result<(), Broken> {
    let mut known = Vec::new();
    let mut statement = connection.prepare("SELECT id FROM keys")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        known.push(KeyId(row.get(0)?));
    }
    for tally in found.sets.values() {
        if tally.key.is_some_and(|key| !known.contains(&key)) {
            found.findings.add(tally.set, Fault::Set("a key"));
        }
    }
    Ok(())
}

fn read_sets(connection: &Connection, found: &mut Found) -> Result<(), Broken> {
    let mut statement = connection.prepare(
        "SELECT id, bank, register, version, kept_from, last_delivery, records, running, whole_set, merging, key, mixed FROM sets",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        match read_set(row) {
            Ok((id, tally)) => {
                found.sets.insert(id, tally);
            }
            Err(fault) => {
                found.findings.add(None, fault);
                // Its rows are of a set, all the same.
                found.sets.insert(row.get(0)?, Tally::unknown());
            }
        }
    }
    Ok(())
}

fn read_set(row: &Row<'_>) -> Result<(i64, Tally), Fault> {
    const COLUMN: Fault = Fault::Set("a column");
    fn column<T: rusqlite::types::FromSql>(row: &Row<'_>, at: usize) -> Result<T, Fault> {
        row.get(at).map_err(|_| COLUMN)
    }
    let set = set_of(column(row, 1)?, column(row, 2)?).map_err(Fault::set)?;
    let (version, kept_from): (u64, u64) = (column(row, 3)?, column(row, 4)?);
    let last_delivery: Option<i64> = column(row, 5)?;
    last_delivery.map(time_of).transpose().map_err(Fault::set)?;
    if kept_from > version {
        return Err(Fault::Set("an oldest version beyond its version"));
    }
    let tally = Tally {
        set: Some(set),
        version,
        is_merging: column(row, 9)?,
        key: Some(KeyId(column(row, 10)?)),
        is_mixed: column(row, 11)?,
        whole_set: column::<Option<[u8; 16]>>(row, 8)?.map(Uuid::from_bytes),
        stored: Counts {
            records: column(row, 6)?,
            running: column(row, 7)?,
        },
        counted: Counts::default(),
    };
    Ok((column(row, 0)?, tally))
}

/// Writes the counts that were found wrong, of a file that nobody serves, and gives how many sets they were. One that
/// has changed since it was counted is left alone.
pub fn repair_counts(held: &Held, counts: &[SetCounts]) -> Result<usize, StoreError> {
    let mut writer = connection::open_writer(held.path(), 0)?;
    let transaction = writer.transaction()?;
    let mut mended = 0;
    for set in counts.iter().filter(|set| set.stored != set.counted) {
        mended += transaction.execute(
            "UPDATE sets SET records = ?3, running = ?4
             WHERE bank = ?1 AND register = ?2 AND version = ?5 AND records = ?6 AND running = ?7 AND merging = 0",
            params![
                set.set.bank.as_u32(),
                register_number(set.set.register),
                set.counted.records,
                set.counted.running,
                set.version,
                set.stored.records,
                set.stored.running,
            ],
        )?;
    }
    transaction.commit()?;
    Ok(mended)
}
