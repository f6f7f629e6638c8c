//! The record of use's own ring of keys: one in use, former ones to read by.

use super::entry::Subject;
use crate::chain::HeadKey;
use crate::pseudonym::{KeyFingerprint, MasterKey, Pseudonyms, Sealed};
use aws_lc_rs::hmac;
use std::fmt;

/// What one key file gives: pseudonyms, keyed heads of the log, and signatures of published heads.
pub(super) struct AuditKey {
    pseudonyms: Pseudonyms,
    head: HeadKey,
    publication: hmac::Key,
}

impl AuditKey {
    pub(super) fn of(key: &MasterKey) -> Self {
        let publication = key.derive::<32>("audit/published-head");
        Self {
            pseudonyms: Pseudonyms::for_audit(key),
            head: HeadKey::new(*key.derive("audit/head")),
            publication: hmac::Key::new(hmac::HMAC_SHA256, publication.as_ref()),
        }
    }

    /// Its fingerprint: stands in every entry and published head that was made with it.
    pub(super) fn id(&self) -> KeyFingerprint {
        self.pseudonyms.fingerprint()
    }

    pub(super) fn pseudonym(&self, subject: &Subject) -> Sealed {
        match subject {
            Subject::Customer(id) => self.pseudonyms.customer(id),
            Subject::Account(number) => self.pseudonyms.account(number),
        }
    }

    pub(super) fn publication(&self) -> &hmac::Key {
        &self.publication
    }
}

/// The keys of the record of use (`audit.key_files`).
pub struct KeyRing {
    in_use: AuditKey,
    former: Vec<AuditKey>,
}

impl KeyRing {
    /// `in_use` writes; all of them read.
    pub fn new(in_use: &MasterKey, former: &[MasterKey]) -> Self {
        Self {
            in_use: AuditKey::of(in_use),
            former: former.iter().map(AuditKey::of).collect(),
        }
    }

    pub(super) fn in_use(&self) -> &AuditKey {
        &self.in_use
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &AuditKey> {
        std::iter::once(&self.in_use).chain(&self.former)
    }

    pub(super) fn find(&self, id: KeyFingerprint) -> Option<&AuditKey> {
        self.all().find(|key| key.id() == id)
    }

    pub(super) fn head_key(&self) -> HeadKey {
        self.former.iter().fold(self.in_use.head.clone(), |key, former| {
            key.accepting(former.head.clone())
        })
    }
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing({} keys)", self.all().count())
    }
}
