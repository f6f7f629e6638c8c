//! The publications of late, in commit order: which entries of a cache still hold.

use super::SealedRecord;
use crate::domain::delivery::PublicationId;
use crate::pseudonym::Tag;
use std::collections::{HashMap, VecDeque};
use std::sync::{PoisonError, RwLock};

/// Most tags that a publication lists; one that changed more says that any may have changed.
pub(super) const MOST_LISTED: usize = 50_000;

/// Which customers and accounts a publication changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    These(Vec<Tag>),
    Any,
}

impl Default for Changed {
    fn default() -> Self {
        Self::These(Vec::new())
    }
}

impl Changed {
    pub fn add(&mut self, tag: Tag) {
        let Self::These(tags) = self else { return };
        if tags.last() == Some(&tag) {
            return;
        }
        if tags.len() < MOST_LISTED {
            tags.push(tag);
        } else {
            *self = Self::Any;
        }
    }

    /// Adds the customer and the account of a record.
    pub(super) fn add_record(&mut self, record: &SealedRecord) {
        self.add(record.customer.tag());
        if let Some(account) = record.agreement.account() {
            self.add(account.tag());
        }
    }

    /// As it is stored; `None`: any may have changed.
    pub(super) fn encode(&self) -> Option<Vec<u8>> {
        match self {
            Self::These(tags) => Some(tags.iter().flat_map(|tag| tag.0).collect()),
            Self::Any => None,
        }
    }

    pub(super) fn decode(bytes: Option<&[u8]>) -> Self {
        match bytes.map(<[u8]>::as_chunks::<8>) {
            Some((tags, [])) => Self::These(tags.iter().map(|tag| Tag(*tag)).collect()),
            // What cannot be read may be anything.
            Some(_) | None => Self::Any,
        }
    }
}

/// The publications of late. What was read at one of them holds as long as none since then concerns it.
pub struct Publications {
    /// Numbers and tags that are remembered, each.
    remembered: usize,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    /// The number of the first in `drawn`; what was read at an earlier one is not believed.
    floor: u64,
    /// Of the publications from `floor` on, without a gap.
    drawn: VecDeque<[u8; 8]>,
    /// The last publication that concerns each tag.
    changed: HashMap<Tag, u64>,
}

impl Publications {
    pub fn new(remembered: usize) -> Self {
        Self {
            remembered,
            known: RwLock::default(),
        }
    }

    /// The last one; `None` while nothing was published.
    pub fn last(&self) -> Option<PublicationId> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let drawn = *known.drawn.back()?;
        let number = known.floor + known.drawn.len() as u64 - 1;
        Some(PublicationId { number, drawn })
    }

    /// Whether what was read at a publication is still what the store has for a customer or account, by its tag under
    /// each key.
    pub fn holds(&self, at: PublicationId, tags: impl IntoIterator<Item = Tag>) -> bool {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let listed = at.number.checked_sub(known.floor).map(|index| index as usize);
        let drawn = listed.and_then(|index| known.drawn.get(index));
        let is_unchanged = |tag| {
            let changed = known.changed.get(&tag);
            changed.is_none_or(|changed| *changed <= at.number)
        };
        drawn == Some(&at.drawn) && tags.into_iter().all(is_unchanged)
    }

    /// Forgets all of them: nothing that was read so far is believed.
    pub(super) fn forget(&self) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.begin_at(0);
    }

    /// Takes note of the next one, before anybody is told of it.
    pub(super) fn note(&self, id: PublicationId, changed: &Changed) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let next = known.floor + known.drawn.len() as u64;
        if id.number != next {
            // With a gap nothing is known of what lies before.
            known.begin_at(id.number);
        }
        known.drawn.push_back(id.drawn);
        match changed {
            Changed::Any => known.raise_to(id.number),
            Changed::These(tags) => known.changed.extend(tags.iter().map(|tag| (*tag, id.number))),
        }
        known.stay_within(self.remembered);
    }
}

impl Known {
    fn begin_at(&mut self, number: u64) {
        self.drawn.clear();
        self.changed.clear();
        self.floor = number;
    }

    /// What was read before this publication is not believed any longer.
    fn raise_to(&mut self, number: u64) {
        let gone = (number.saturating_sub(self.floor) as usize).min(self.drawn.len());
        self.drawn.drain(..gone);
        self.floor += gone as u64;
        let floor = self.floor;
        self.changed.retain(|_, changed| *changed > floor);
    }

    fn stay_within(&mut self, remembered: usize) {
        while self.drawn.len() > 1 && self.drawn.len().max(self.changed.len()) > remembered.max(1) {
            let middle = self.floor + self.drawn.len() as u64 / 2;
            self.raise_to(middle);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u64) -> PublicationId {
        let drawn = (number * 31).to_be_bytes();
        PublicationId { number, drawn }
    }

    fn tag(n: u8) -> Tag {
        Tag([n; 8])
    }

    fn noted(publications: &Publications, number: u64, tags: &[u8]) {
        let tags = tags.iter().map(|n| tag(*n)).collect();
        publications.note(id(number), &Changed::These(tags));
    }

    #[test]
    fn what_was_read_holds_until_a_publication_concerns_it() {
        let publications = Publications::new(100);
        assert_eq!(publications.last(), None);
        assert!(!publications.holds(id(1), [tag(1)]), "nothing is known yet");
        noted(&publications, 5, &[1]);
        noted(&publications, 6, &[2]);
        assert_eq!(publications.last(), Some(id(6)));
        assert!(publications.holds(id(5), [tag(1)]) && publications.holds(id(6), [tag(2)]));
        assert!(!publications.holds(id(5), [tag(2)]), "6 changed it");
        assert!(publications.holds(id(5), [tag(3)]), "nobody changed it");
        for unknown in [id(4), id(7), id(0)] {
            assert!(!publications.holds(unknown, [tag(3)]), "{unknown:?}");
        }
        let of_another_register = PublicationId {
            drawn: [9; 8],
            ..id(6)
        };
        assert!(!publications.holds(of_another_register, [tag(3)]));
    }

    #[test]
    fn a_publication_without_a_list_and_a_gap_end_all_before_them() {
        let publications = Publications::new(100);
        noted(&publications, 1, &[]);
        publications.note(id(2), &Changed::Any);
        assert!(!publications.holds(id(1), [tag(1)]) && publications.holds(id(2), [tag(1)]));
        noted(&publications, 9, &[]);
        assert!(!publications.holds(id(2), [tag(1)]) && publications.holds(id(9), [tag(1)]));
    }

    #[test]
    fn no_more_is_remembered_than_may_be_and_what_is_forgotten_does_not_hold() {
        let publications = Publications::new(8);
        for number in 1..=100 {
            noted(&publications, number, &[number as u8]);
        }
        let held: Vec<u64> = (1..=100)
            .filter(|n| publications.holds(id(*n), [tag(200)]))
            .collect();
        assert!(held.len() <= 8 && held.last() == Some(&100), "{held:?}");
        assert!(!publications.holds(id(99), [tag(100)]), "100 changed it");
        let known = publications.known.read().unwrap();
        assert!(known.changed.len() <= 8 && known.drawn.len() <= 8);
    }

    #[test]
    fn too_many_changes_are_any_and_both_survive_storing() {
        let mut changed = Changed::default();
        for n in 0..MOST_LISTED as u64 {
            changed.add(Tag(n.to_be_bytes()));
        }
        assert_eq!(Changed::decode(changed.encode().as_deref()), changed);
        changed.add(tag(255));
        assert_eq!(changed, Changed::Any);
        assert_eq!(Changed::decode(changed.encode().as_deref()), Changed::Any);
        assert_eq!(Changed::decode(Some(&[1; 9])), Changed::Any);
    }
}
