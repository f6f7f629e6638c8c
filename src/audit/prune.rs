//! Removes what is older than the time for which it is kept.

use super::keys::KeyRing;
use super::log::{LogFault, entries, understand};
use super::search::day_of;
use crate::chain::{self, Fault, Head, PruneError as ChainPruneError, Removal};
use chrono::{DateTime, NaiveDate, Utc};
use std::path::Path;

/// Why nothing was pruned.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// A log that cannot be proved is not touched.
    #[error("the log cannot be proved, so nothing was pruned: {0}")]
    Log(#[from] LogFault),
    /// A file could not be written or removed. What then counts as pruned is removed by the next pruning.
    #[error("{0}: {cause}", cause = .0.source)]
    Io(Fault),
    /// Another process prunes it, or it changed meanwhile.
    #[error("{0}")]
    Chain(ChainPruneError),
}

impl From<ChainPruneError> for PruneError {
    fn from(error: ChainPruneError) -> Self {
        match error {
            ChainPruneError::Io(fault) => Self::Io(fault),
            other => Self::Chain(other),
        }
    }
}

/// Removes the segments at the beginning of the log in `folder` whose last entry was made before the day `before`
/// in Oslo, and leaves the proof of it. The segment being written stays in any case. Proves what it removes. May
/// be used while the log is being written. `None` if there was nothing to remove.
///
/// # Errors
/// See [`PruneError`].
pub fn prune(
    folder: &Path,
    ring: &KeyRing,
    before: NaiveDate,
    now: DateTime<Utc>,
) -> Result<Option<Removal>, PruneError> {
    let Some(through) = last_to_go(folder, ring, before)? else {
        return Ok(None);
    };
    let at = u64::try_from(now.timestamp()).unwrap_or_default();
    Ok(chain::prune(folder, &ring.head_key(), through, at)?)
}

/// The last entry of the last segment that may go.
fn last_to_go(folder: &Path, ring: &KeyRing, before: NaiveDate) -> Result<Option<Head>, LogFault> {
    let log = entries(folder, ring)?;
    // Also of something pruned before, so that what an interruption left behind is removed.
    let mut through = Some(log.head()).filter(|head| *head != Head::EMPTY);
    let mut segment = None;
    let mut last = log.head();
    for entry in log {
        let entry = entry?;
        if segment
            .replace(entry.segment)
            .is_some_and(|former| former != entry.segment)
        {
            through = Some(last);
        }
        // Calls are recorded when they end, so their days of arrival need not be in order.
        if day_of(&understand(&entry, ring)?) >= before {
            break;
        }
        last = Head {
            sequence: entry.sequence,
            hash: entry.hash,
        };
    }
    Ok(through)
}
