//! How far the chain is in the catalogue.
//!
//! An entry is durable a moment before it is noted, and of those that became durable together any may be noted first.

use std::collections::BTreeSet;

/// Which entries were noted.
#[derive(Debug, Default)]
pub(super) struct Noted {
    /// All up to this one. Entries are counted from 1.
    through: u64,
    /// Those after one that was not noted yet.
    ahead: BTreeSet<u64>,
}

impl Noted {
    pub(super) fn add(&mut self, sequence: u64) {
        self.ahead.insert(sequence);
        while self.ahead.first() == Some(&(self.through + 1)) {
            self.ahead.pop_first();
            self.through += 1;
        }
    }

    /// The last entry up to which none is missing.
    pub(super) fn through(&self) -> u64 {
        self.through
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_early_counts_once_all_before_it_were() {
        let mut noted = Noted::default();
        let told = [1, 3, 5, 4, 2, 6].map(|sequence| {
            noted.add(sequence);
            noted.through()
        });
        assert_eq!(told, [1, 1, 1, 1, 5, 6]);
    }
}
