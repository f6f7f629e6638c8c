//! What a journal's directory has to hold, read from its chain without being its writer.

use super::JournalError;
use super::bodies::BodyFile;
use super::catalogue::Catalogue;
use super::entry::Entry;
use crate::chain::{self, Extent, Extents, Head, HeadKey, Purpose};
use crate::pseudonym::KeyFingerprint;
use std::path::Path;

pub(super) struct Inventory {
    /// The last entry that counts.
    pub(super) head: Head,
    pub(super) segments: Vec<Extent>,
    /// In the order of their deliveries.
    pub(super) bodies: Vec<BodyFile>,
}

impl Inventory {
    /// Proves the chain in `directory` and lists its files. Holds one segment in memory. What is being written
    /// meanwhile counts up to the last whole entry.
    pub(super) fn read(
        directory: &Path,
        head_key: &HeadKey,
        key: KeyFingerprint,
    ) -> Result<Self, JournalError> {
        let mut entries = chain::entries(directory, Purpose::Journal, head_key)?;
        let (mut extents, mut catalogue) = (Extents::default(), Catalogue::default());
        for found in entries.by_ref() {
            let found = found?;
            extents.note(&found);
            let entry = Entry::decode(&found.payload)?;
            match &entry {
                Entry::Born {
                    key: written_with, ..
                } if *written_with != key => return Err(JournalError::OtherKey),
                Entry::Born { .. } if found.sequence == 1 => {}
                _ if found.sequence == 1 => return Err(JournalError::Corrupt("first entry")),
                _ => {}
            }
            catalogue.note(&entry, found.locator)?;
        }
        if entries.head() == Head::EMPTY {
            return Err(JournalError::Corrupt("beginning: it has no entry"));
        }
        Ok(Self {
            head: entries.head(),
            segments: extents.list().to_vec(),
            bodies: catalogue.bodies.kept().copied().collect(),
        })
    }

    /// Of all files together.
    pub(super) fn bytes(&self) -> u64 {
        let segments = self.segments.iter().map(|segment| segment.bytes);
        segments.chain(self.bodies.iter().map(|body| body.bytes)).sum()
    }
}
