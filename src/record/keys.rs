//! The record of use's own ring of keys: one in use, former ones to read by.

use super::entry::Subject;
use crate::pseudonym::{KeyFingerprint, MasterKey, Pseudonyms, Sealed};
use aws_lc_rs::hmac;
use std::fmt;

/// What one key file gives: pseudonyms, and what authenticates the list of heads and published heads.
pub(super) struct RecordKey {
    pseudonyms: Pseudonyms,
    heads: hmac::Key,
    publication: hmac::Key,
}

impl RecordKey {
    pub(super) fn of(key: &MasterKey) -> Self {
        let hmac = |label: &str| hmac::Key::new(hmac::HMAC_SHA256, key.derive::<32>(label).as_ref());
        Self {
            pseudonyms: Pseudonyms::for_record(key),
            heads: hmac("record/heads"),
            publication: hmac("record/published-head"),
        }
    }

    /// Its fingerprint: stands in every entry and head that was made with it.
    pub(super) fn id(&self) -> KeyFingerprint {
        self.pseudonyms.fingerprint()
    }

    pub(super) fn pseudonym(&self, subject: &Subject) -> Sealed {
        match subject {
            Subject::Customer(id) => self.pseudonyms.customer(id),
            Subject::Account(number) => self.pseudonyms.account(number),
        }
    }

    pub(super) fn heads(&self) -> &hmac::Key {
        &self.heads
    }

    pub(super) fn publication(&self) -> &hmac::Key {
        &self.publication
    }
}

/// The keys of the record of use (`record.key_files`).
pub struct KeyRing {
    in_use: RecordKey,
    former: Vec<RecordKey>,
}

impl KeyRing {
    /// `in_use` writes; all of them read.
    pub fn new(in_use: &MasterKey, former: &[MasterKey]) -> Self {
        Self {
            in_use: RecordKey::of(in_use),
            former: former.iter().map(RecordKey::of).collect(),
        }
    }

    pub(super) fn in_use(&self) -> &RecordKey {
        &self.in_use
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &RecordKey> {
        std::iter::once(&self.in_use).chain(&self.former)
    }

    pub(super) fn find(&self, id: KeyFingerprint) -> Option<&RecordKey> {
        self.all().find(|key| key.id() == id)
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys)", self.all().count())
    }
}
