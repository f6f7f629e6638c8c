//! Whole sets written again without what is kept no longer.

use super::bodies::BodyFile;
use super::body::{Body, BodyWriter, body_path};
use super::entry::{Entry, Publication, Rewritten};
use super::lock::BodiesLock;
use super::{Journal, JournalError};
use crate::domain::relationship::SetId;
use chrono::{DateTime, Utc};
use std::sync::Arc;
use uuid::Uuid;

/// A state of a set that is kept: the present one, or one that can be gone back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeptState {
    pub position: u64,
    /// Position of the whole set that it stands on, whose body is a file.
    pub whole_set: u64,
}

/// A body that is written again, under a name of its own. Given up, it leaves nothing.
pub struct Rewriting {
    former: BodyFile,
    name: Uuid,
    body: BodyWriter,
}

/// A body that was written again, durable, and not in force yet. Given up, it leaves nothing.
pub struct NewBody {
    former: BodyFile,
    rewritten: Rewritten,
    journal: Arc<Journal>,
    in_force: bool,
}

impl Journal {
    /// The states of a set that are kept, as far as they stand on whole sets in files: the present one, and those
    /// before whole sets that were published since and can be undone.
    pub fn kept_states(&self, set: SetId, rollback_since: DateTime<Utc>) -> Vec<KeptState> {
        let catalogue = self.catalogue();
        let kept = catalogue.kept_states(set, rollback_since).into_iter();
        let in_file = |state: &KeptState| {
            let mut files = catalogue.bodies.kept_of(set);
            files.any(|(position, _)| position == state.whole_set)
        };
        kept.filter(in_file).collect()
    }

    /// Begins to write the body of a publication again; `None`: it is no file, or nothing needs it any longer.
    pub fn begin_rewriting(&self, publication: &Publication) -> Result<Option<Rewriting>, JournalError> {
        let Some(former) = self.catalogue().bodies.file_of(publication.delivery_id) else {
            return Ok(None);
        };
        let name = Uuid::now_v7();
        let body = self.begin_body_in_file(name)?;
        Ok(Some(Rewriting { former, name, body }))
    }

    /// Puts a body in the place of the one that it was written from, and removes that one; false, and nothing
    /// done, if others have come between, or somebody copies the bodies. What it leaves out is nothing that a
    /// kept state needs.
    pub async fn put_rewritten(&self, mut new: NewBody) -> Result<bool, JournalError> {
        let Some(_nobody_copies) = BodiesLock::alone(&self.directory)? else {
            return Ok(false);
        };
        let present = self.catalogue().bodies.file_of(new.rewritten.delivery);
        if present != Some(new.former) || self.is_being_copied() {
            return Ok(false);
        }
        // From here on it may be in the chain, whatever becomes of this.
        new.in_force = true;
        self.append(Entry::Rewritten(new.rewritten.clone())).await?;
        self.remove_files(&[new.former.name])?;
        Ok(true)
    }
}

impl Rewriting {
    pub fn push(&mut self, change: &super::SetChange) -> Result<(), JournalError> {
        self.body.push(change)
    }

    /// Makes the body durable.
    pub fn finish(self, journal: &Arc<Journal>) -> Result<NewBody, JournalError> {
        let Body::File { bytes, sha256 } = self.body.finish()? else {
            return Err(JournalError::Corrupt("body"));
        };
        let rewritten = Rewritten {
            delivery: self.former.delivery,
            name: self.name,
            bytes,
            sha256,
        };
        Ok(NewBody {
            former: self.former,
            rewritten,
            journal: Arc::clone(journal),
            in_force: false,
        })
    }
}

impl Drop for NewBody {
    fn drop(&mut self) {
        if !self.in_force {
            // Best effort: what stays behind is removed at the next start.
            let _ = std::fs::remove_file(body_path(&self.journal.bodies, self.rewritten.name));
        }
    }
}
