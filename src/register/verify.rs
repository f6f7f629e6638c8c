//! Whether the index answers what the journal holds.

use super::keeper::Keeper;
use super::replay::ReplayError;
use crate::index::embedded::Embedded;
use crate::index::layout::IndexState;
use crate::index::owner::Floor;
use crate::index::{Index, IndexError, ScannedRow};
use chrono::NaiveDate;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

/// Page cache of the index that is built to compare with.
const CACHE_BYTES: usize = 64 << 20;

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
    _directory: tempfile::TempDir,
    pub keeper: Keeper,
}

impl Expected {
    /// For the journal of `keeper`; still empty.
    pub fn beside(keeper: &Keeper) -> Result<Self, ReplayError> {
        let directory = tempfile::tempdir().map_err(|cause| IndexError::Unavailable(cause.to_string()))?;
        let index = Embedded::open(&directory.path().join("expected.redb"), CACHE_BYTES)?;
        Ok(Self {
            _directory: directory,
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
    /// erased, and does not count.
    pub async fn compare(&self, index: &Index, kept_from: NaiveDate) -> Result<Comparison, ReplayError> {
        let (expected, found) = (
            answering_rows(&self.keeper.index, kept_from).await?,
            answering_rows(index, kept_from).await?,
        );
        let agreeing = expected
            .iter()
            .filter(|row| found.binary_search(row).is_ok())
            .count() as u64;
        Ok(Comparison {
            agreeing,
            missing: expected.len() as u64 - agreeing,
            surplus: found.len() as u64 - agreeing,
        })
    }
}

/// A digest of every row that answers, in order, each once.
async fn answering_rows(index: &Index, kept_from: NaiveDate) -> Result<Vec<[u8; 16]>, IndexError> {
    let state = index.refresh().await?;
    let mut rows = Vec::new();
    index
        .scan(&mut |row| rows.extend(digest(&state, &row, kept_from)))
        .await?;
    rows.sort_unstable();
    rows.dedup();
    Ok(rows)
}

fn digest(state: &IndexState, row: &ScannedRow, kept_from: NaiveDate) -> Option<[u8; 16]> {
    let (set, generation, interval, shown) = match row {
        ScannedRow::Relationship(customer, row) => (
            row.set,
            row.generation,
            row.relationship.interval(),
            format!("{customer:?} {:?} {:?}", row.agreement, row.relationship),
        ),
        ScannedRow::Account(account, row) => (
            row.set,
            row.generation,
            row.interval,
            format!("{account:?} {:?}", row.interval),
        ),
    };
    let may_be_erased = interval.to().is_some_and(|to| to < kept_from);
    if !state.answers(set, generation) || may_be_erased {
        return None;
    }
    let hash = Sha256::digest(format!("{set} {shown}"));
    let mut digest = [0; 16];
    digest.copy_from_slice(&hash[..16]);
    Some(digest)
}
