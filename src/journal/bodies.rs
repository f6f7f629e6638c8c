//! Which bodies of publications are files, and which of those may be missing.

use super::body::Body;
use super::entry::{Publication, Rewritten};
use crate::domain::relationship::SetId;
use std::collections::BTreeMap;
use uuid::Uuid;

/// A body in a file of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BodyFile {
    pub(super) delivery: Uuid,
    /// Of the file: the delivery, or what it was written again under.
    pub(super) name: Uuid,
    pub(super) bytes: u64,
    pub(super) sha256: [u8; 32],
}

impl BodyFile {
    pub(super) fn body(&self) -> Body {
        Body::File {
            bytes: self.bytes,
            sha256: self.sha256,
        }
    }
}

struct Stored {
    set: SetId,
    position: u64,
    /// `None`: it was let go.
    file: Option<BodyFile>,
}

/// The bodies that are or were files, by delivery.
#[derive(Default)]
pub(super) struct Bodies(BTreeMap<Uuid, Stored>);

impl Bodies {
    pub(super) fn note(&mut self, set: SetId, publication: &Publication) {
        let Body::File { bytes, sha256 } = publication.body else {
            return;
        };
        let delivery = publication.delivery_id;
        let file = BodyFile {
            delivery,
            name: delivery,
            bytes,
            sha256,
        };
        let stored = Stored {
            set,
            position: publication.position,
            file: Some(file),
        };
        self.0.insert(delivery, stored);
    }

    pub(super) fn let_go(&mut self, deliveries: &[Uuid]) {
        for delivery in deliveries {
            if let Some(stored) = self.0.get_mut(delivery) {
                stored.file = None;
            }
        }
    }

    /// Forgets the bodies of a set's publications after a position: they never took effect.
    pub(super) fn forget(&mut self, set: SetId, after: u64) {
        self.0
            .retain(|_, stored| stored.set != set || stored.position <= after);
    }

    pub(super) fn rewritten(&mut self, rewritten: &Rewritten) {
        let stored = self.0.get_mut(&rewritten.delivery);
        if let Some(file) = stored.and_then(|stored| stored.file.as_mut()) {
            *file = BodyFile {
                delivery: rewritten.delivery,
                name: rewritten.name,
                bytes: rewritten.bytes,
                sha256: rewritten.sha256,
            };
        }
    }

    /// The file of a delivery, if it has to be there.
    pub(super) fn file_of(&self, delivery: Uuid) -> Option<BodyFile> {
        self.0.get(&delivery)?.file
    }

    /// Where a delivery was published whose body is or was a file.
    pub(super) fn place_of(&self, delivery: Uuid) -> Option<(SetId, u64)> {
        self.0.get(&delivery).map(|stored| (stored.set, stored.position))
    }

    pub(super) fn is_let_go(&self, delivery: Uuid) -> bool {
        self.0.get(&delivery).is_some_and(|stored| stored.file.is_none())
    }

    /// The files that have to be there, in the order of their deliveries.
    pub(super) fn kept(&self) -> impl Iterator<Item = &BodyFile> {
        self.0.values().filter_map(|stored| stored.file.as_ref())
    }

    /// The files of a set that have to be there, with the positions of their publications.
    pub(super) fn kept_of(&self, set: SetId) -> impl Iterator<Item = (u64, &BodyFile)> {
        let of_set = self.0.values().filter(move |stored| stored.set == set);
        of_set.filter_map(|stored| Some((stored.position, stored.file.as_ref()?)))
    }

    /// The positions of a set whose bodies were let go.
    pub(super) fn let_go_of(&self, set: SetId) -> impl Iterator<Item = u64> {
        let of_set = self.0.values().filter(move |stored| stored.set == set);
        of_set
            .filter(|stored| stored.file.is_none())
            .map(|stored| stored.position)
    }
}
