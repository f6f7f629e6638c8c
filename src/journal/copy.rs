//! The journal copied entry by entry under another pseudonym key: the same register, positions, deliveries, counts
//! and times; only the pseudonyms are others, and with them the order of a whole set.

use super::body::{Body, BodyWriter, body_path};
use super::change::{SealedIdentity, SealedRecord, SetChange};
use super::entry::{Entry, Kind, Publication, Rewritten};
use super::{Birth, Journal, JournalError};
use crate::chain::HeadKey;
use crate::pseudonym::{NotOfThisKey, Reseal};
use crate::spill::Sorter;
use chrono::Datelike;
use std::path::Path;
use std::sync::{Arc, PoisonError};
use uuid::Uuid;

/// Entries whose bodies are written before all of them are appended together.
const ENTRIES_TOGETHER: usize = 256;
/// What is held of a whole set while it is sorted.
const SORT_BYTES: usize = 32 << 20;
const SORT_KEY_BYTES: usize = 16 + 6 + 4;

/// What one step copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    pub entries: usize,
}

impl Journal {
    /// Opens the copy of a journal under another key, or begins it. A copy that was cut off goes on where it ends;
    /// one that lacks anything before its end is refused.
    pub async fn open_copy(
        directory: &Path,
        head_key: &HeadKey,
        reseal: &Reseal,
        original: &Self,
    ) -> Result<Self, JournalError> {
        let birth = Birth {
            register_id: original.birth.register_id,
            journal_id: original.birth.journal_id,
            key: reseal.key(),
            rekeyings: original.birth.rekeyings.wrapping_add(1),
        };
        let mut copy = Self::open_or_begin(directory, head_key, reseal.key(), || birth).await?;
        let fits = original.key() == reseal.from.fingerprint() && copy.birth == birth;
        match copy.check_copied(original) {
            Ok(()) if fits => {
                copy.copy_of = Some(Arc::clone(&original.copies));
                Ok(copy)
            }
            unfit => {
                copy.close().await;
                Err(unfit.err().filter(|_| fits).unwrap_or(JournalError::OtherJournal))
            }
        }
    }

    /// Whether a copy under another key is open.
    pub(super) fn is_being_copied(&self) -> bool {
        Arc::strong_count(&self.copies) > 1
    }

    /// A fault of the disk may have left out an entry, or a part of a body: what is copied after would be in the
    /// wrong place.
    fn check_copied(&self, original: &Self) -> Result<(), JournalError> {
        let mut originals = original.chain.entries()?;
        for found in self.chain.entries()? {
            let entry = Entry::decode(&found?.payload)?;
            let original = originals.next().ok_or(JournalError::OtherJournal)?;
            if !entry.is_copy_of(&Entry::decode(&original?.payload)?) {
                return Err(JournalError::Corrupt("copy: it lacks an entry"));
            }
        }
        for file in self.catalogue().bodies.kept() {
            let found = std::fs::metadata(body_path(&self.bodies, file.name)).map(|found| found.len());
            // What the original let go, or another instance had overtaken, goes here by an entry further on.
            let is_kept = original.catalogue().bodies.file_of(file.delivery).is_some();
            if is_kept && !found.is_ok_and(|bytes| bytes == file.bytes) {
                return Err(JournalError::Corrupt("copy: it lacks a part of a body"));
            }
        }
        Ok(())
    }

    /// Entries so far, the first one included.
    pub fn entries(&self) -> u64 {
        self.chain.head().sequence
    }

    /// Copies the next entries of the original; none: the copy is level with it, as it was a moment ago. What is durable
    /// there and not noted yet comes later: it could not be told from what another instance had overtaken.
    pub async fn copy_on(
        self: &Arc<Self>,
        original: &Arc<Self>,
        reseal: &Reseal,
    ) -> Result<Copied, JournalError> {
        let work = (Arc::clone(self), Arc::clone(original), reseal.clone());
        let read = move || {
            let (copy, original, reseal) = work;
            let noted = original.catalogue().noted_through();
            let next = original.chain.entries_after(copy.entries())?;
            let next = next.take_while(|found| found.as_ref().map_or(true, |found| found.sequence <= noted));
            let next = next.take(ENTRIES_TOGETHER);
            next.map(|found| copy.resealed(&original, Entry::decode(&found?.payload)?, &reseal))
                .collect::<Result<Vec<Entry>, JournalError>>()
        };
        let entries = tokio::task::spawn_blocking(read).await;
        let entries = entries.map_err(|_| JournalError::Panicked)??;
        let encoded = entries.iter().map(Entry::encode).collect::<Result<Vec<_>, _>>()?;
        let appended = self.chain.append_all(encoded).await?;
        for (entry, appended) in entries.iter().zip(appended) {
            let unneeded = self.files_without(entry);
            self.note(entry, appended.locator)?;
            if !unneeded.is_empty() {
                self.remove_files(&unneeded)?;
            }
        }
        Ok(Copied {
            entries: entries.len(),
        })
    }

    /// Once it is level: its receipts say of deliveries that have not ended what those of the original say.
    pub fn stand_as(&self, original: &Self) {
        let mut catalogue = self.catalogue.write().unwrap_or_else(PoisonError::into_inner);
        catalogue.stand_as(&original.catalogue());
    }

    fn resealed(&self, original: &Self, entry: Entry, reseal: &Reseal) -> Result<Entry, JournalError> {
        match entry {
            Entry::Published(publication) => {
                let body = match publication.body {
                    Body::Inline(_) => self.begin_body(publication.delivery_id),
                    // However short it has become since.
                    Body::File { .. } => self.begin_body_in_file(publication.delivery_id)?,
                };
                let body = reseal_body(original, &publication, reseal, body)?;
                Ok(Entry::Published(Publication {
                    body: body.unwrap_or(publication.body),
                    ..publication
                }))
            }
            Entry::Rewritten(rewritten) => {
                let place = original.catalogue().bodies.place_of(rewritten.delivery);
                let Some((set, position)) = place else {
                    // Another instance had overtaken it.
                    return Ok(Entry::Rewritten(rewritten));
                };
                let written = original.published_at(set, position)?;
                let body = self.begin_body_in_file(rewritten.name)?;
                match reseal_body(original, written.publication(), reseal, body)? {
                    Some(Body::File { bytes, sha256 }) => Ok(Entry::Rewritten(Rewritten {
                        bytes,
                        sha256,
                        ..rewritten
                    })),
                    Some(Body::Inline(_)) | None => Ok(Entry::Rewritten(rewritten)),
                }
            }
            Entry::Begun(_)
            | Entry::Ended(_)
            | Entry::LetGo(_)
            | Entry::Overtaken(_)
            | Entry::Elsewhere(_) => Ok(entry),
            Entry::Born { .. } => Err(JournalError::Corrupt("second beginning")),
        }
    }

    /// The files that an entry makes needless.
    fn files_without(&self, entry: &Entry) -> Vec<Uuid> {
        let catalogue = self.catalogue();
        let name = |delivery: &Uuid| Some(catalogue.bodies.file_of(*delivery)?.name);
        match entry {
            Entry::LetGo(deliveries) => deliveries.iter().filter_map(name).collect(),
            Entry::Rewritten(rewritten) => name(&rewritten.delivery).into_iter().collect(),
            Entry::Born { .. }
            | Entry::Begun(_)
            | Entry::Published(_)
            | Entry::Ended(_)
            | Entry::Overtaken(_)
            | Entry::Elsewhere(_) => Vec::new(),
        }
    }
}

/// Writes the body of a publication under the other key; `None`: nothing needs it, which the copy learns from an entry
/// further on.
fn reseal_body(
    original: &Journal,
    publication: &Publication,
    reseal: &Reseal,
    mut body: BodyWriter,
) -> Result<Option<Body>, JournalError> {
    let listed = original
        .catalogue()
        .at(publication.set()?, publication.position)
        .copied();
    if listed.is_none_or(|listed| listed.fence != publication.fence) {
        // Another instance had overtaken it.
        return Ok(None);
    }
    let changes = match original.changes(publication) {
        Err(JournalError::LetGo(_)) => return Ok(None),
        changes => changes?,
    };
    let changes = changes.map(|change| Ok::<_, JournalError>(resealed_change(change?, reseal)?));
    match publication.kind {
        Kind::Changes | Kind::Calls | Kind::Rollback { .. } => {
            for change in changes {
                body.push(&change?)?;
            }
        }
        Kind::WholeSet { .. } => {
            let mut sorter = Sorter::new(original.scratch(), SORT_BYTES);
            for change in changes {
                sorter.push(&sortable(&change?)?).map_err(JournalError::Io)?;
            }
            let mut sorted = sorter.finish().map_err(JournalError::Io)?;
            while let Some(record) = sorted.next_record().map_err(JournalError::Io)? {
                let change = record
                    .get(SORT_KEY_BYTES..)
                    .map(|mut bytes| SetChange::decode(&mut bytes));
                let change = change.transpose()?.flatten();
                body.push(&change.ok_or(JournalError::Corrupt("change"))?)?;
            }
        }
    }
    body.finish().map(Some)
}

/// The change under the other key.
pub fn resealed_change(change: SetChange, reseal: &Reseal) -> Result<SetChange, NotOfThisKey> {
    Ok(match change {
        SetChange::Put(record) => SetChange::Put(SealedRecord {
            customer: reseal.customer(&record.customer)?,
            agreement: reseal.agreement(&record.agreement)?,
            relationship: record.relationship,
        }),
        SetChange::End { identity, to } => SetChange::End {
            identity: resealed_identity(&identity, reseal)?,
            to,
        },
        SetChange::Remove(identity) => SetChange::Remove(resealed_identity(&identity, reseal)?),
        SetChange::Register {
            customer,
            from,
            on,
            role,
        } => SetChange::Register {
            customer: reseal.customer(&customer)?,
            from,
            on,
            role,
        },
        SetChange::Deregister { customer, to, on } => SetChange::Deregister {
            customer: reseal.customer(&customer)?,
            to,
            on,
        },
    })
}

fn resealed_identity(identity: &SealedIdentity, reseal: &Reseal) -> Result<SealedIdentity, NotOfThisKey> {
    Ok(SealedIdentity {
        customer: reseal.customer(&identity.customer)?,
        agreement: reseal.agreement(&identity.agreement)?,
        from: identity.from,
    })
}

/// Customer, agreement and first day, then the change: sorts as a whole set's body is sorted.
fn sortable(change: &SetChange) -> Result<Vec<u8>, JournalError> {
    let SetChange::Put(record) = change else {
        return Err(JournalError::Corrupt("whole set"));
    };
    let mut bytes = record.customer.customer_key().0.to_vec();
    bytes.extend(record.agreement.key().0);
    bytes.extend(
        record
            .relationship
            .interval()
            .from()
            .num_days_from_ce()
            .to_be_bytes(),
    );
    change.encode(&mut bytes);
    Ok(bytes)
}
