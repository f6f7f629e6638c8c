//! Whether the index answers what the journal holds.

use super::keeper::Keeper;
use super::replay::ReplayError;
use crate::index::embedded::Embedded;
use crate::index::layout::{IndexState, encode_set, encode_value};
use crate::index::owner::Floor;
use crate::index::{Index, IndexError, ScannedRow};
use crate::spill::{Merged, Sorter};
use chrono::{Datelike, NaiveDate};
use serde::Serialize;
use std::cmp::Ordering;
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Page cache of the index that is built to compare with.
const CACHE_BYTES: usize = 64 << 20;
/// Memory for sorting the rows of either side.
const SORT_BYTES: usize = 128 << 20;

/// What a comparison found; both relationship and account rows count.
#[derive(Debug, Serialize)]
pub struct Comparison {
    pub agreeing: u64,
    /// In the journal, not in the index.
    pub missing: u64,
    /// In the index, not in the journal.
    pub surplus: u64,
}

impl Comparison {
    pub fn agrees(&self) -> bool {
        self.missing == 0 && self.surplus == 0
    }
}

/// An index of its own, beside the one that is to be compared, and to be built from the same journal.
pub struct Expected {
    directory: tempfile::TempDir,
    pub keeper: Keeper,
}

impl Expected {
    /// For the journal of `keeper`; still empty.
    pub fn beside(keeper: &Keeper) -> Result<Self, ReplayError> {
        let directory = tempfile::tempdir().map_err(|cause| IndexError::Unavailable(cause.to_string()))?;
        let index = Embedded::open(&directory.path().join("expected.redb"), CACHE_BYTES)?;
        Ok(Self {
            directory,
            keeper: Keeper {
                index: Index::Embedded(Arc::new(index)),
                floor: Floor::default(),
                seen: Arc::default(),
                missing_journal_wait: Duration::ZERO,
                ..keeper.clone()
            },
        })
    }

    /// Compares the rows that answer, once this is built. What ended before `kept_from` may or may not have been
    /// erased, and does not count. Memory is bounded, whatever the number of rows.
    pub async fn compare(&self, index: &Index, kept_from: NaiveDate) -> Result<Comparison, ReplayError> {
        let mut expected = self.answering_rows(&self.keeper.index, kept_from).await?;
        let mut found = self.answering_rows(index, kept_from).await?;
        Ok(merge(&mut expected, &mut found)?)
    }

    /// Every row that answers, in order.
    async fn answering_rows(&self, index: &Index, kept_from: NaiveDate) -> Result<Rows, IndexError> {
        let state = index.refresh().await?;
        let mut sorter = Sorter::new(self.directory.path(), SORT_BYTES);
        let mut pushed = Ok(());
        let mut visit = |row| {
            if let (true, Some(record)) = (pushed.is_ok(), record(&state, &row, kept_from)) {
                pushed = sorter.push(&record);
            }
        };
        index.scan(&mut visit).await?;
        pushed.map_err(spill_failed)?;
        let merged = sorter.finish().map_err(spill_failed)?;
        Ok(Rows { merged, last: None })
    }
}

fn spill_failed(cause: io::Error) -> IndexError {
    IndexError::Unavailable(format!("rows cannot be sorted: {cause}"))
}

fn merge(expected: &mut Rows, found: &mut Rows) -> Result<Comparison, IndexError> {
    let mut told = Comparison {
        agreeing: 0,
        missing: 0,
        surplus: 0,
    };
    let (mut next_expected, mut next_found) = (expected.next()?, found.next()?);
    loop {
        let order = match (&next_expected, &next_found) {
            (None, None) => return Ok(told),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(expected), Some(found)) => expected.cmp(found),
        };
        match order {
            Ordering::Less => told.missing += 1,
            Ordering::Equal => told.agreeing += 1,
            Ordering::Greater => told.surplus += 1,
        }
        if order.is_le() {
            next_expected = expected.next()?;
        }
        if order.is_ge() {
            next_found = found.next()?;
        }
    }
}

/// Rows in order, each once: a scan may meet one twice.
struct Rows {
    merged: Merged,
    last: Option<Vec<u8>>,
}

impl Rows {
    fn next(&mut self) -> Result<Option<Vec<u8>>, IndexError> {
        while let Some(record) = self.merged.next_record().map_err(spill_failed)? {
            if self.last.as_deref() != Some(record) {
                self.last = Some(record.to_vec());
                return Ok(self.last.clone());
            }
        }
        Ok(None)
    }
}

/// What a row says but for the generation it is of; `None`: it does not answer, or does not count.
fn record(state: &IndexState, row: &ScannedRow, kept_from: NaiveDate) -> Option<Vec<u8>> {
    let (key, set, generation, interval): (&[u8], _, _, _) = match row {
        ScannedRow::Relationship(customer, row) => {
            (&customer.0, row.set, row.generation, row.relationship.interval())
        }
        ScannedRow::Account(account, row) => (&account.0, row.set, row.generation, row.interval),
    };
    let may_be_erased = interval.to().is_some_and(|to| to < kept_from);
    if !state.answers(set, generation) || may_be_erased {
        return None;
    }
    let day = |day: NaiveDate| day.num_days_from_ce().to_be_bytes();
    let mut record = Vec::with_capacity(64);
    record.extend_from_slice(key);
    record.extend(encode_set(set));
    record.extend(day(interval.from()));
    record.extend(day(interval.to().unwrap_or(NaiveDate::MAX)));
    if let ScannedRow::Relationship(_, row) = row {
        record.extend(row.agreement.0);
        record.extend(encode_value(&row.relationship));
    }
    Some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(records: &[u8]) -> Rows {
        let mut sorter = Sorter::new(&std::env::temp_dir(), SORT_BYTES);
        for record in records {
            sorter.push(&[*record]).unwrap();
        }
        let merged = sorter.finish().unwrap();
        Rows { merged, last: None }
    }

    #[test]
    fn rows_that_were_met_twice_count_once_and_what_only_one_side_has_is_told() {
        let told = |expected: &[u8], found: &[u8]| {
            let told = merge(&mut rows(expected), &mut rows(found)).unwrap();
            (told.agreeing, told.missing, told.surplus)
        };
        assert_eq!(told(&[], &[]), (0, 0, 0));
        assert_eq!(told(&[1, 2, 2, 3], &[3, 1, 1, 2]), (3, 0, 0));
        assert_eq!(told(&[1, 2, 5, 9], &[2, 3, 4, 5]), (2, 2, 2));
        assert_eq!(told(&[1], &[]), (0, 1, 0));
        assert_eq!(told(&[], &[1, 2]), (0, 0, 2));
    }
}
