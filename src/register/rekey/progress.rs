//! How far a change of the pseudonym key is, for the operator.

use crate::pseudonym::KeyFingerprint;
use serde::{Deserialize, Serialize};

/// What is being done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RekeyState {
    /// Nothing is left to do.
    Idle,
    /// There is a next key, or it was not looked yet whether anything is left to do.
    Begun,
    /// The journal is being copied.
    Copying,
    /// The rows of the copy are being loaded.
    Loading,
    /// Deliveries wait.
    Switching,
    /// Rows of the former key are being removed.
    Removing,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    pub done: u64,
    pub total: u64,
}

/// How far a change of the pseudonym key is. Keys are named by their fingerprints, which are no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RekeyProgress {
    pub state: RekeyState,
    /// The key that journal and index are of.
    pub in_force: String,
    /// The key that they are to be given.
    pub next: Option<String>,
    /// Entries of the journal that are copied.
    pub entries: Amount,
    /// Sets whose rows are loaded.
    pub sets: Amount,
    /// What stands in the way, if anything does.
    pub problem: Option<String>,
}

impl RekeyProgress {
    pub fn of(in_force: KeyFingerprint) -> Self {
        Self {
            state: RekeyState::Begun,
            in_force: named(in_force),
            next: None,
            entries: Amount::default(),
            sets: Amount::default(),
            problem: None,
        }
    }

    /// Whether a key is in force and nothing of a former one is left.
    pub fn is_done(&self, key: KeyFingerprint) -> bool {
        self.in_force == named(key) && self.state == RekeyState::Idle
    }

    /// Whether a key is in force, or is to be.
    pub fn knows(&self, key: KeyFingerprint) -> bool {
        self.in_force == named(key) || self.next == Some(named(key))
    }

    pub(super) fn look(&mut self, in_force: KeyFingerprint, next: Option<KeyFingerprint>) {
        (self.in_force, self.next) = (named(in_force), next.map(named));
        if next.is_some() && self.state == RekeyState::Idle {
            self.state = RekeyState::Begun;
        }
    }

    pub(super) fn copying(&mut self, entries: Amount) {
        (self.state, self.entries) = (RekeyState::Copying, entries);
        metrics::gauge!("kundeforhold_rekey_entries_copied").set(entries.done as f64);
        metrics::gauge!("kundeforhold_rekey_entries").set(entries.total as f64);
    }

    pub(super) fn loading(&mut self, sets: Amount) {
        (self.state, self.sets) = (RekeyState::Loading, sets);
        metrics::gauge!("kundeforhold_rekey_sets_loaded").set(sets.done as f64);
        metrics::gauge!("kundeforhold_rekey_sets").set(sets.total as f64);
    }

    pub(super) fn switching(&mut self) {
        self.state = RekeyState::Switching;
    }

    pub(super) fn switched(&mut self, in_force: KeyFingerprint) {
        *self = Self {
            state: RekeyState::Removing,
            in_force: named(in_force),
            next: None,
            ..self.clone()
        };
    }

    pub(super) fn removing(&mut self) {
        self.state = RekeyState::Removing;
    }

    pub(super) fn tidied(&mut self) {
        self.state = match self.next {
            Some(_) => RekeyState::Begun,
            None => RekeyState::Idle,
        };
    }
}

fn named(key: KeyFingerprint) -> String {
    format!("{:016x}", u64::from_be_bytes(key))
}
