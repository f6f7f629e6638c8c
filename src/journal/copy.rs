//! The journal copied entry by entry under another pseudonym key: the same register, positions, deliveries, counts
//! and times; only the pseudonyms are others, and with them the order of a whole set.

use super::body::Body;
use super::change::{SealedIdentity, SealedRecord, SetChange};
use super::entry::{Entry, Kind, Publication};
use super::{Birth, Journal, JournalError};
use crate::chain::HeadKey;
use crate::pseudonym::{NotOfThisKey, Reseal};
use crate::spill::Sorter;
use chrono::Datelike;
use std::path::Path;
use std::sync::Arc;

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
    /// Opens the copy of a journal under another key, or begins it. A copy that was cut off goes on where it ends.
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
        let copy = Self::open_or_begin(directory, head_key, reseal.key(), || birth).await?;
        let fits = original.key() == reseal.from.fingerprint() && copy.entries() <= original.entries();
        if copy.birth == birth && fits {
            Ok(copy)
        } else {
            Err(JournalError::OtherJournal)
        }
    }

    /// Entries so far, the first one included.
    pub fn entries(&self) -> u64 {
        self.chain.head().sequence
    }

    /// Copies the next entries of the original; none: the copy is level with it, as it was a moment ago.
    pub async fn copy_on(
        self: &Arc<Self>,
        original: &Arc<Self>,
        reseal: &Reseal,
    ) -> Result<Copied, JournalError> {
        let work = (Arc::clone(self), Arc::clone(original), reseal.clone());
        let read = move || {
            let (copy, original, reseal) = work;
            let next = original
                .chain
                .entries_after(copy.entries())?
                .take(ENTRIES_TOGETHER);
            next.map(|found| copy.resealed(&original, Entry::decode(&found?.payload)?, &reseal))
                .collect::<Result<Vec<Entry>, JournalError>>()
        };
        let entries = tokio::task::spawn_blocking(read).await;
        let entries = entries.map_err(|_| JournalError::Panicked)??;
        let encoded = entries.iter().map(Entry::encode).collect::<Result<Vec<_>, _>>()?;
        let appended = self.chain.append_all(encoded).await?;
        for (entry, appended) in entries.iter().zip(appended) {
            self.note(entry, appended.locator)?;
            if let Entry::LetGo(deliveries) = entry {
                self.remove_bodies(deliveries)?;
            }
        }
        Ok(Copied {
            entries: entries.len(),
        })
    }

    fn resealed(&self, original: &Self, entry: Entry, reseal: &Reseal) -> Result<Entry, JournalError> {
        match entry {
            Entry::Published(publication) => {
                let body = self.reseal_body(original, &publication, reseal)?;
                Ok(Entry::Published(Publication { body, ..publication }))
            }
            Entry::Begun(_)
            | Entry::Ended(_)
            | Entry::LetGo(_)
            | Entry::Overtaken(_)
            | Entry::Elsewhere(_) => Ok(entry),
            Entry::Born { .. } => Err(JournalError::Corrupt("second beginning")),
        }
    }

    fn reseal_body(
        &self,
        original: &Self,
        publication: &Publication,
        reseal: &Reseal,
    ) -> Result<Body, JournalError> {
        let listed = original
            .catalogue()
            .at(publication.set()?, publication.position)
            .copied();
        // Overtaken; the copy learns that from an entry further on.
        if listed.is_none_or(|listed| listed.fence != publication.fence) {
            return Ok(publication.body.clone());
        }
        let changes = match original.changes(publication) {
            // Nothing needs it; the copy learns that from an entry further on.
            Err(JournalError::LetGo(_)) => return Ok(publication.body.clone()),
            changes => changes?,
        };
        let changes = changes.map(|change| Ok::<_, JournalError>(resealed_change(change?, reseal)?));
        let mut body = self.begin_body(publication.delivery_id);
        match publication.kind {
            Kind::Changes | Kind::Calls | Kind::Rollback { .. } => {
                for change in changes {
                    body.push(&change?)?;
                }
            }
            Kind::WholeSet { .. } => {
                let mut sorter = Sorter::new(&self.bodies, SORT_BYTES);
                for change in changes {
                    sorter.push(&sortable(&change?)?).map_err(JournalError::Io)?;
                }
                let mut sorted = sorter.finish().map_err(JournalError::Io)?;
                while let Some(record) = sorted.next_record().map_err(JournalError::Io)? {
                    let change = record
                        .get(SORT_KEY_BYTES..)
                        .map(|mut bytes| SetChange::decode(&mut bytes));
                    body.push(
                        &change
                            .transpose()?
                            .flatten()
                            .ok_or(JournalError::Corrupt("change"))?,
                    )?;
                }
            }
        }
        body.finish()
    }
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
