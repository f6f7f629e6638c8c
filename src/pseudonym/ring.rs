//! The pseudonym keys that may be in force: one, or during `rekey` and until the former is put away, two.

use super::{AccountKey, CustomerKey, KeyFingerprint, Pseudonyms};
use crate::domain::identifiers::{AccountNumber, CustomerId};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The keys at hand, shared. Which of them is in force is for journal and index to say.
#[derive(Clone)]
pub struct PseudonymRing(Arc<ArcSwap<Vec<Arc<Pseudonyms>>>>);

impl PseudonymRing {
    pub fn new(keys: impl IntoIterator<Item = Arc<Pseudonyms>>) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(keys.into_iter().collect())))
    }

    /// Adds a key. Where it is known which one is `in_force`, others than these two are given up.
    pub fn add(&self, added: Arc<Pseudonyms>, in_force: Option<KeyFingerprint>) {
        let kept = |key: &Arc<Pseudonyms>| {
            key.fingerprint != added.fingerprint && in_force.is_none_or(|kept| kept == key.fingerprint)
        };
        let mut keys: Vec<_> = self.0.load().iter().filter(|key| kept(key)).cloned().collect();
        keys.push(added);
        self.0.store(Arc::new(keys));
    }

    /// The pseudonyms under a key; `None`: it is not at hand.
    pub fn under(&self, key: KeyFingerprint) -> Option<Arc<Pseudonyms>> {
        let keys = self.0.load();
        keys.iter().find(|known| known.fingerprint == key).cloned()
    }

    pub fn has(&self, key: KeyFingerprint) -> bool {
        self.0.load().iter().any(|known| known.fingerprint == key)
    }

    /// A customer to look for, whichever key the index is of.
    pub fn customer(&self, id: &CustomerId) -> Sought<CustomerKey> {
        self.sought(|key| key.customer(id).customer_key())
    }

    /// An account to look for, whichever key the index is of.
    pub fn account(&self, number: &AccountNumber) -> Sought<AccountKey> {
        self.sought(|key| key.account(number).account_key())
    }

    fn sought<K>(&self, pseudonym: impl Fn(&Pseudonyms) -> K) -> Sought<K> {
        let keys = self.0.load();
        Sought(keys.iter().map(|key| (key.fingerprint, pseudonym(key))).collect())
    }
}

/// What is looked for in the index, under each key that the index may be of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought<K>(Vec<(KeyFingerprint, K)>);

impl<K> Sought<K> {
    pub fn new(pseudonyms: impl IntoIterator<Item = (KeyFingerprint, K)>) -> Self {
        Self(pseudonyms.into_iter().collect())
    }

    pub fn under(&self, key: KeyFingerprint) -> Option<&K> {
        self.0
            .iter()
            .find(|(known, _)| *known == key)
            .map(|(_, pseudonym)| pseudonym)
    }

    /// Under the oldest key at hand: the same for as long as the process runs, but for repeated changes of key.
    pub fn first(&self) -> Option<&K> {
        self.0.first().map(|(_, pseudonym)| pseudonym)
    }
}
