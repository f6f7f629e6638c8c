//! The rows of `relationships`.

use super::pointers::Pointers;
use super::{Broken, Fault, Found};
use crate::pseudonym::Tag;
use crate::store::sqlite::rows;
use crate::store::{KeyId, SealedRecord};
use chrono::NaiveDate;
use rusqlite::{Connection, Row};

/// Rows after which somebody is told.
const TELL_EVERY: u64 = 10_000;

/// The columns of [`rows::record`], then these.
const ROWS: &str =
    "SELECT subject, agreement, from_day, terms, to_day, set_id, since, until, key FROM relationships
     ORDER BY subject, set_id, agreement, from_day, since";
const SUBJECT: usize = 0;
const AGREEMENT: usize = 1;
const FROM_DAY: usize = 2;
const SET_ID: usize = 5;
const SINCE: usize = 6;
const UNTIL: usize = 7;
const KEY: usize = 8;

/// The versions at which a row stands: from `since` on, before `until`.
#[derive(Clone, Copy)]
struct Stands {
    since: u64,
    until: Option<u64>,
}

impl Stands {
    fn read(row: &Row<'_>) -> Result<Self, Fault> {
        let since = row.get(SINCE).map_err(|_| Fault::Versions)?;
        let until: Option<u64> = row.get(UNTIL).map_err(|_| Fault::Versions)?;
        match since > 0 && until.is_none_or(|until| until > since) {
            true => Ok(Self { since, until }),
            false => Err(Fault::Versions),
        }
    }

    fn at(self, version: u64) -> bool {
        self.since <= version && self.until.is_none_or(|until| until > version)
    }

    /// The last version that wrote it.
    fn last(self) -> u64 {
        self.until.unwrap_or(self.since)
    }
}

/// The identity of the row before.
#[derive(Default)]
struct Before {
    subject: Vec<u8>,
    set_id: i64,
    agreement: Vec<u8>,
    from_day: i32,
    stands: Option<Stands>,
}

impl Before {
    /// Whether the next row is of the same identity and stands while the one before does.
    fn overlaps(&mut self, row: &Row<'_>, set_id: i64, stands: Stands) -> Result<bool, rusqlite::Error> {
        let (subject, agreement) = (
            row.get_ref(SUBJECT)?.as_blob()?,
            row.get_ref(AGREEMENT)?.as_blob()?,
        );
        let from_day = row.get(FROM_DAY)?;
        let is_same = self.set_id == set_id
            && self.from_day == from_day
            && self.subject == subject
            && self.agreement == agreement;
        let before = self.stands.replace(stands).filter(|_| is_same);
        if !is_same {
            (self.set_id, self.from_day) = (set_id, from_day);
            subject.clone_into(&mut self.subject);
            agreement.clone_into(&mut self.agreement);
        }
        Ok(before.is_some_and(|before| before.until.is_none_or(|until| until > stands.since)))
    }
}

/// Reads every record, counts those that stand, and notes what must point to their accounts.
pub(super) fn check(
    connection: &Connection,
    found: &mut Found,
    today: NaiveDate,
    pointers: &mut Pointers,
    read: &mut dyn FnMut(u64),
) -> Result<(), Broken> {
    let mut statement = connection.prepare(ROWS)?;
    let mut rows = statement.query([])?;
    let (mut before, mut number) = (Before::default(), 0);
    while let Some(row) = rows.next()? {
        number += 1;
        if number % TELL_EVERY == 0 {
            read(TELL_EVERY);
        }
        check_row(row, found, today, pointers, &mut before)?;
    }
    read(number % TELL_EVERY);
    Ok(())
}

fn check_row(
    row: &Row<'_>,
    found: &mut Found,
    today: NaiveDate,
    pointers: &mut Pointers,
    before: &mut Before,
) -> Result<(), Broken> {
    let set_id = row.get(SET_ID)?;
    let Some(tally) = found.set_of(set_id) else {
        return Ok(());
    };
    let (set, version) = (tally.set, tally.version);
    let is_read = tally.reads(KeyId(row.get(KEY)?));
    let record = rows::record(row).map_err(|cause| Fault::record(&cause));
    let stands = Stands::read(row);
    if let (Ok(true), Ok(stands)) = (is_read, &stands)
        && stands.at(version)
    {
        tally.counted.records += 1;
        let runs = |record: &SealedRecord| record.relationship.interval().runs_on(today);
        tally.counted.running += u64::from(record.as_ref().is_ok_and(runs));
    }
    let last_written = tally.last_written();
    expect_pointer(row, set_id, &record, pointers, || {
        // What is being written is pointed to at its end.
        is_read == Ok(true) && stands.is_ok_and(|stands| stands.since <= version)
    })?;
    let fault = match (&is_read, &record, &stands) {
        (Err(fault), ..) | (_, Err(fault), _) | (.., Err(fault)) => Some(fault),
        // What a rekey is at is not in order yet.
        (Ok(false), ..) => None,
        (.., Ok(stands)) if stands.last() > last_written => Some(&Fault::Beyond),
        (.., Ok(stands)) if before.overlaps(row, set_id, *stands)? => Some(&Fault::Twice),
        _ => None,
    };
    if let Some(fault) = fault {
        found.findings.add(set, *fault);
    }
    Ok(())
}

/// Notes that something points to the account of a record, if that is required, or may do so.
fn expect_pointer(
    row: &Row<'_>,
    set_id: i64,
    record: &Result<SealedRecord, Fault>,
    pointers: &mut Pointers,
    is_required: impl FnOnce() -> bool,
) -> Result<(), Broken> {
    let may_carry_account = record
        .as_ref()
        .map_or(true, |record| record.agreement.account().is_some());
    let agreement = row.get_ref(AGREEMENT)?.as_blob().unwrap_or_default();
    let Some(tag) = agreement.first_chunk().filter(|_| may_carry_account) else {
        return Ok(());
    };
    let subject = row.get_ref(SUBJECT)?.as_blob().unwrap_or_default();
    let pointed = pointers.expect(Tag(*tag), set_id, subject, record.is_ok() && is_required());
    pointed.map_err(Broken::Scratch)
}
