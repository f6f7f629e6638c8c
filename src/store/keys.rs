//! The pseudonym keys of a store's rows.

use super::StoreError;
use crate::pseudonym::{KeyFingerprint, PseudonymRing, Pseudonyms};
use std::fmt;
use std::sync::Arc;

/// Names a key in rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyId(pub(super) u8);

/// A key of rows: its name there, and the pseudonyms that it makes. Cheap to clone.
#[derive(Clone)]
pub struct RowKey {
    pub id: KeyId,
    pub pseudonyms: Arc<Pseudonyms>,
}

impl fmt::Debug for RowKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RowKey({})", self.id.0)
    }
}

/// What a key is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum KeyState {
    /// The process that serves the store has it. Nothing is made with it yet.
    Offered,
    /// What is not brought under the next one is made with it.
    Current,
    /// One set after the other is brought under it, and new ones begin under it.
    Next,
}

impl KeyState {
    pub(super) const ALL: [Self; 3] = [Self::Offered, Self::Current, Self::Next];

    pub(super) fn number(self) -> u8 {
        match self {
            Self::Offered => 0,
            Self::Current => 1,
            Self::Next => 2,
        }
    }

    pub(super) fn of_number(number: u8) -> Result<Self, StoreError> {
        let known = Self::ALL.into_iter().find(|state| state.number() == number);
        known.ok_or(StoreError::Damaged("the state of a key"))
    }
}

/// A row of `keys`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KnownKey {
    pub(super) id: KeyId,
    pub(super) fingerprint: KeyFingerprint,
    pub(super) state: KeyState,
}

/// Refuses what was not given every key that rows may be made with.
pub(super) fn check(known: &[KnownKey], given: &PseudonymRing) -> Result<(), StoreError> {
    let mut in_use = known.iter().filter(|key| key.state != KeyState::Offered);
    let is_given = |key: &KnownKey| given.find(key.fingerprint).is_some();
    if in_use.clone().all(is_given) {
        return Ok(());
    }
    match in_use.any(is_given) {
        true => Err(StoreError::LacksKey),
        false => Err(StoreError::OtherKey),
    }
}

/// The keys of a store that this process was given.
pub(super) struct RowKeys(Vec<RowKey>);

impl RowKeys {
    pub(super) fn of(known: &[KnownKey], given: &PseudonymRing) -> Self {
        let of_known = |key: &KnownKey| {
            let pseudonyms = Arc::clone(given.find(key.fingerprint)?);
            Some(RowKey {
                id: key.id,
                pseudonyms,
            })
        };
        Self(known.iter().filter_map(of_known).collect())
    }

    pub(super) fn get(&self, id: KeyId) -> Result<RowKey, StoreError> {
        let key = self.0.iter().find(|key| key.id == id);
        key.cloned().ok_or(StoreError::LacksKey)
    }

    /// One of them, where it does not matter which.
    pub(super) fn any(&self) -> Result<RowKey, StoreError> {
        self.0.first().cloned().ok_or(StoreError::LacksKey)
    }
}

/// How far the change to the next key of a process has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rekey {
    /// The process that serves the store does not have the key.
    NotOffered,
    /// It has it, and nothing is made with it yet.
    Offered,
    UnderWay {
        sets: u64,
        left: u64,
    },
    /// Nothing is made with the former key any longer.
    Done,
}
