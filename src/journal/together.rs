//! One of several journals of a register: which positions of a set are in this one.

use super::entry::{self, Entry, Overtaken, set_of};
use super::{Journal, JournalError};
use crate::domain::relationship::SetId;
use std::collections::HashMap;
use uuid::Uuid;

/// The register that a new journal is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Register {
    pub id: Uuid,
    /// How often it was given another key before.
    pub rekeyings: u32,
}

impl Register {
    /// A new one.
    pub fn drawn() -> Self {
        Self {
            id: Uuid::new_v4(),
            rekeyings: 0,
        }
    }
}

/// Where a publication stands among those of all journals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub position: u64,
    pub fence: u64,
}

/// Publications of a set without a gap between them, under one lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Run {
    pub first: u64,
    pub last: u64,
    pub fence: u64,
}

/// The first position of `own` that another journal has under a later lease: what was journalled from there on
/// under the former lease never took effect.
pub fn overtaken_from(own: &[Run], others: &[Run]) -> Option<u64> {
    let last = own.last()?;
    let later = others.iter().filter(|other| other.fence > last.fence);
    let first = later.map(|other| other.first).min()?;
    (first <= last.last).then_some(first.max(last.first))
}

/// What is known of another journal's part of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Elsewhere {
    pub journal: Uuid,
    /// It has this one at least.
    pub position: u64,
}

impl Journal {
    /// The positions of a set that are in this journal, oldest first.
    pub fn runs(&self, set: SetId) -> Vec<Run> {
        self.catalogue().runs.get(&set).cloned().unwrap_or_default()
    }

    /// Whether all positions of a set after one, up to another, are in this journal.
    pub fn has_all_between(&self, set: SetId, after: u64, up_to: u64) -> bool {
        let mut next = after + 1;
        for run in self.runs(set) {
            if run.first <= next && next <= run.last {
                next = run.last + 1;
            }
        }
        next > up_to
    }

    /// Files that the set's publications after a position never took effect; their receipts say abandoned.
    pub async fn file_overtaken(&self, set: SetId, after: u64) -> Result<(), JournalError> {
        let overtaken = Overtaken {
            bank: set.bank.as_u32(),
            register: set.register,
            after,
        };
        self.append(Entry::Overtaken(overtaken)).await
    }

    /// Files that another journal has a position of a set.
    pub async fn file_elsewhere(&self, set: SetId, elsewhere: Elsewhere) -> Result<(), JournalError> {
        let entry = entry::Elsewhere {
            bank: set.bank.as_u32(),
            register: set.register,
            journal: elsewhere.journal,
            position: elsewhere.position,
        };
        self.append(Entry::Elsewhere(entry)).await
    }

    /// What is known of other journals, set by set.
    pub fn elsewhere(&self) -> HashMap<SetId, Elsewhere> {
        self.catalogue().elsewhere.clone()
    }
}

/// Adds a publication to the runs of its set.
pub(super) fn lengthen(runs: &mut Vec<Run>, position: u64, fence: u64) {
    match runs.last_mut() {
        Some(run) if run.last + 1 == position && run.fence == fence => run.last = position,
        _ => runs.push(Run {
            first: position,
            last: position,
            fence,
        }),
    }
}

pub(super) fn elsewhere_of(entry: &entry::Elsewhere) -> Result<(SetId, Elsewhere), JournalError> {
    let elsewhere = Elsewhere {
        journal: entry.journal,
        position: entry.position,
    };
    Ok((set_of(entry.bank, entry.register)?, elsewhere))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_later_lease_published_at_the_same_position_stands() {
        let run = |first, last, fence| Run { first, last, fence };
        let own = [run(1, 3, 5), run(4, 6, 10)];
        assert_eq!(overtaken_from(&own, &[run(6, 8, 12)]), Some(6));
        assert_eq!(overtaken_from(&own, &[run(4, 4, 12)]), Some(4));
        for others in [vec![], vec![run(7, 8, 12)], vec![run(6, 8, 9)]] {
            assert_eq!(overtaken_from(&own, &others), None, "{others:?}");
        }
        assert_eq!(overtaken_from(&[], &[run(1, 1, 1)]), None);
    }
}
