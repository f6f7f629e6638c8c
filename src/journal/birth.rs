//! What a journal's first entry says.

use super::entry::Entry;
use crate::pseudonym::KeyFingerprint;
use uuid::Uuid;

/// What a journal is told by, from its first entry on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Birth {
    pub(super) register_id: Uuid,
    pub(super) journal_id: Uuid,
    pub(super) key: KeyFingerprint,
    pub(super) rekeyings: u32,
}

impl Birth {
    /// `None`: the entry is another.
    pub(super) fn told_by(entry: &Entry) -> Option<Self> {
        let Entry::Born {
            register_id,
            journal_id,
            key,
            rekeyings,
        } = entry
        else {
            return None;
        };
        Some(Self {
            register_id: *register_id,
            journal_id: *journal_id,
            key: *key,
            rekeyings: *rekeyings,
        })
    }

    pub(super) fn entry(&self) -> Entry {
        Entry::Born {
            register_id: self.register_id,
            journal_id: self.journal_id,
            key: self.key,
            rekeyings: self.rekeyings,
        }
    }
}
