//! How the sets stand.

use super::{KeyId, SealedRecord};
use crate::domain::relationship::SetId;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// How a set stands at its version, but for its rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// A whole set was published, or in KFR a batch: what is not in it is no relationship.
    pub loaded: bool,
    /// When the bank's last delivery was published.
    #[serde(with = "chrono::serde::ts_milliseconds_option")]
    pub last_delivery: Option<DateTime<Utc>>,
    pub records: u64,
    /// Records that ran on the day they were counted.
    pub running: u64,
    /// The whole set that stands, with what changed it since.
    pub whole_set: Option<Uuid>,
}

/// How many records there are, and how many of them run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    pub records: u64,
    pub running: u64,
}

impl Tally {
    /// Counts a record.
    pub fn add(&mut self, record: &SealedRecord, today: NaiveDate) {
        self.records += 1;
        self.running += u64::from(record.relationship.interval().runs_on(today));
    }
}

/// A bank's set in one register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetState {
    /// Of its row.
    pub(super) id: i64,
    /// Counts what was published to it; 0: nothing was.
    pub version: u64,
    /// The oldest version whose rows are whole.
    pub kept_from: u64,
    /// The `Delivery-Sequence` that was published last, 0 without one.
    pub sequence: u64,
    pub standing: Standing,
    /// That its rows are sealed with.
    pub(super) key: KeyId,
    /// A merge was begun and not ended: rows beyond the version may stand.
    pub(super) merging: bool,
}

/// All sets that were ever delivered to, as they stand at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sets(pub(super) BTreeMap<SetId, SetState>);

impl Sets {
    pub fn get(&self, set: SetId) -> Option<&SetState> {
        self.0.get(&set)
    }

    /// Those that were published to.
    pub fn iter(&self) -> impl Iterator<Item = (SetId, &SetState)> {
        let published = self.0.iter().filter(|(_, state)| state.version > 0);
        published.map(|(set, state)| (*set, state))
    }

    pub fn standing(&self, set: SetId) -> Standing {
        self.get(set)
            .map(|state| state.standing.clone())
            .unwrap_or_default()
    }

    /// With the counts, and the oldest versions, of others at the same versions.
    pub(super) fn recounted(&self, others: &Self) -> Self {
        let recounted = self.0.iter().map(|(set, state)| {
            let other = others.get(*set).filter(|other| other.version == state.version);
            (*set, other.unwrap_or(state).clone())
        });
        Self(recounted.collect())
    }

    pub(super) fn with(&self, set: SetId, state: SetState) -> Self {
        let mut sets = self.0.clone();
        sets.insert(set, state);
        Self(sets)
    }
}
