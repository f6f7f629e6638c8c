//! The keys that a process was given, while one gives way to another.

use super::{KeyFingerprint, MasterKey, Pseudonyms, Sealed, Tag};
use crate::domain::identifiers::{AccountNumber, CustomerId};
use std::sync::Arc;

/// The pseudonyms of the store, of each key that the process was given: one, and the next one for a rekey.
#[derive(Debug)]
pub struct PseudonymRing {
    present: Arc<Pseudonyms>,
    next: Option<Arc<Pseudonyms>>,
}

impl PseudonymRing {
    pub fn new(present: &MasterKey, next: Option<&MasterKey>) -> Self {
        Self {
            present: Arc::new(Pseudonyms::new(present)),
            next: next.map(|key| Arc::new(Pseudonyms::new(key))),
        }
    }

    /// Of the key that rows stand under before a rekey.
    pub fn present(&self) -> &Arc<Pseudonyms> {
        &self.present
    }

    /// Of the one that a rekey brings them under.
    pub fn next(&self) -> Option<&Arc<Pseudonyms>> {
        self.next.as_ref()
    }

    pub fn find(&self, fingerprint: KeyFingerprint) -> Option<&Arc<Pseudonyms>> {
        let mut all = [Some(&self.present), self.next.as_ref()].into_iter().flatten();
        all.find(|pseudonyms| pseudonyms.fingerprint() == fingerprint)
    }

    /// A customer as rows may have it.
    pub fn customer(&self, id: &CustomerId) -> UnderEachKey {
        self.each(|pseudonyms| pseudonyms.customer(id))
    }

    /// An account as rows may have it.
    pub fn account(&self, number: &AccountNumber) -> UnderEachKey {
        self.each(|pseudonyms| pseudonyms.account(number))
    }

    fn each(&self, seal: impl Fn(&Pseudonyms) -> Sealed) -> UnderEachKey {
        UnderEachKey {
            present: seal(&self.present),
            next: self.next.as_deref().map(seal),
        }
    }
}

/// A customer or an account that is looked up, sealed under each key that rows may stand under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnderEachKey {
    present: Sealed,
    next: Option<Sealed>,
}

impl UnderEachKey {
    /// Under a key that a rekey leaves alone: what names it elsewhere, as in the cache.
    pub fn present(&self) -> &Sealed {
        &self.present
    }

    pub fn each(&self) -> impl Iterator<Item = &Sealed> {
        std::iter::once(&self.present).chain(&self.next)
    }

    /// By which a publication names it, whatever key its set stood under.
    pub fn tags(&self) -> impl Iterator<Item = Tag> {
        self.each().map(Sealed::tag)
    }
}

impl From<Sealed> for UnderEachKey {
    fn from(present: Sealed) -> Self {
        Self { present, next: None }
    }
}
