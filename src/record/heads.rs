//! The list of heads: when each chain began, how far it had got, and what was pruned of it.
//!
//! Each row is authenticated by a key, together with the row before it. So whoever lacks the key can neither hash a
//! chain anew nor take a chain out as a whole, unless the end of the list is cut off too; and what was at its end is
//! published.

use super::chain::{Hash, Head};
use super::fault::{RecordFault, TableError};
use super::keys::{KeyRing, RecordKey};
use crate::pseudonym::KeyFingerprint;
use aws_lc_rs::hmac;
use std::sync::Arc;
use uuid::Uuid;

/// What a row tells of its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Begun,
    Reached,
    /// Entries up to this head were removed.
    Pruned,
}

impl Event {
    const ALL: [Self; 3] = [Self::Begun, Self::Reached, Self::Pruned];

    pub(super) fn number(self) -> u8 {
        match self {
            Self::Begun => 0,
            Self::Reached => 1,
            Self::Pruned => 2,
        }
    }

    pub(super) fn of_number(number: u8) -> Result<Self, TableError> {
        let known = Self::ALL.into_iter().find(|event| event.number() == number);
        known.ok_or(TableError::Damaged("a head"))
    }
}

/// A row before it has its place in the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) event: Event,
    pub(super) chain: u32,
    pub(super) instance: Uuid,
    pub(super) head: Head,
    /// Seconds since 1970.
    pub(super) at: i64,
}

/// A row of the list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Listed {
    /// Counted from 1.
    pub(super) number: u64,
    pub(super) mark: Mark,
    pub(super) key: KeyFingerprint,
    pub(super) mac: Hash,
}

/// A place in the list: a number, and the MAC that stands for all rows up to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListEnd {
    pub number: u64,
    pub mac: Hash,
}

impl ListEnd {
    const START: Self = Self {
        number: 0,
        mac: [0; 32],
    };
}

impl Mark {
    /// Puts it behind the last row of the list.
    pub(super) fn list(self, last: Option<ListEnd>, key: &RecordKey) -> Listed {
        let before = last.unwrap_or(ListEnd::START);
        let (number, key_id) = (before.number + 1, key.id());
        let tag = hmac::sign(key.heads(), &self.signed(&before, key_id));
        let mut mac = Hash::default();
        mac.copy_from_slice(tag.as_ref());
        Listed {
            number,
            mark: self,
            key: key_id,
            mac,
        }
    }

    fn signed(&self, before: &ListEnd, key: KeyFingerprint) -> Vec<u8> {
        [
            &before.mac[..],
            &(before.number + 1).to_be_bytes(),
            &[self.event.number()],
            &self.chain.to_be_bytes(),
            self.instance.as_bytes(),
            &self.head.sequence.to_be_bytes(),
            &self.head.hash,
            &self.at.to_be_bytes(),
            &key,
        ]
        .concat()
    }
}

impl Listed {
    pub(super) fn end(&self) -> ListEnd {
        ListEnd {
            number: self.number,
            mac: self.mac,
        }
    }

    fn follows(&self, before: &ListEnd, ring: &KeyRing) -> bool {
        let Some(key) = ring.find(self.key) else {
            return false;
        };
        let signed = self.mark.signed(before, self.key);
        self.number == before.number + 1 && hmac::verify(key.heads(), &signed, &self.mac).is_ok()
    }
}

/// What was pruned from a chain at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Removal {
    pub first: u64,
    pub last: u64,
    /// Of the last entry, to which the next one is chained.
    pub hash: Hash,
    /// Seconds since 1970.
    pub at: i64,
}

/// A chain as the list of heads tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chain {
    pub(super) number: u32,
    pub(super) instance: Uuid,
    /// What its entries follow: its birth, or what was pruned last.
    pub(super) start: Head,
    pub(super) removals: Vec<Removal>,
    /// Heads that it had reached, in order.
    pub(super) reached: Vec<Head>,
}

/// All chains, from a list that was proved.
#[derive(Debug)]
pub(super) struct Chains {
    /// In the order of their numbers.
    pub(super) all: Vec<Arc<Chain>>,
    /// Every row's place, in order.
    pub(super) list: Vec<ListEnd>,
}

impl Chains {
    /// Proves the list.
    pub(super) fn prove(rows: &[Listed], ring: &KeyRing) -> Result<Self, RecordFault> {
        let mut chains = Self {
            all: Vec::new(),
            list: Vec::with_capacity(rows.len()),
        };
        let mut before = ListEnd::START;
        for row in rows {
            let bad = RecordFault::Head(before.number + 1);
            if !row.follows(&before, ring) || !chains.note(&row.mark) {
                return Err(bad);
            }
            before = row.end();
            chains.list.push(before);
        }
        Ok(chains)
    }

    /// Takes in what a row tells; whether it can be.
    fn note(&mut self, mark: &Mark) -> bool {
        let known = self.all.iter_mut().find(|chain| chain.number == mark.chain);
        let known = known.map(Arc::make_mut);
        match (mark.event, known) {
            (Event::Begun, None) => {
                self.all.push(Arc::new(Chain::begun(mark)));
                mark.head == Head::birth(mark.instance)
            }
            (Event::Reached, Some(chain)) => {
                chain.reached.push(mark.head);
                true
            }
            (Event::Pruned, Some(chain)) => {
                chain.removals.push(Removal {
                    first: chain.start.sequence + 1,
                    last: mark.head.sequence,
                    hash: mark.head.hash,
                    at: mark.at,
                });
                chain.start = mark.head;
                true
            }
            (Event::Begun, Some(_)) | (Event::Reached | Event::Pruned, None) => false,
        }
    }

    /// The end of the list.
    pub(super) fn end(&self) -> Option<ListEnd> {
        self.list.last().copied()
    }

    pub(super) fn find(&self, number: u32) -> Option<&Arc<Chain>> {
        self.all.iter().find(|chain| chain.number == number)
    }
}

impl Chain {
    pub(super) fn begun(mark: &Mark) -> Self {
        Self {
            number: mark.chain,
            instance: mark.instance,
            start: mark.head,
            removals: Vec::new(),
            reached: Vec::new(),
        }
    }

    /// How far it had got when it was listed last.
    pub(super) fn last_reached(&self) -> Head {
        let reached = self
            .reached
            .last()
            .filter(|head| head.sequence > self.start.sequence);
        reached.copied().unwrap_or(self.start)
    }
}
