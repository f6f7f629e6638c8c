//! What is needed to copy a chain beside its writer, byte for byte.

use super::{Entry, Locator, format::FRAME_OVERHEAD_BYTES};

/// How much of a segment's file holds what is proved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// The segment, by its first sequence number.
    pub first: u64,
    /// From the beginning of the file.
    pub bytes: u64,
}

/// The extents of a chain's segments, up to the entry noted last.
#[derive(Default)]
pub struct Extents(Vec<Extent>);

impl Extents {
    /// Takes note of the next entry.
    pub fn note(&mut self, entry: &Entry) {
        let Locator {
            segment: first,
            offset,
            length,
            ..
        } = entry.locator;
        let bytes = offset + (FRAME_OVERHEAD_BYTES + length as usize) as u64;
        match self.0.last_mut() {
            Some(last) if last.first == first => last.bytes = bytes,
            last => {
                if let Some(closed) = last {
                    // Its closing frame.
                    closed.bytes += FRAME_OVERHEAD_BYTES as u64;
                }
                self.0.push(Extent { first, bytes });
            }
        }
    }

    /// One for each segment with entries, oldest first.
    pub fn list(&self) -> &[Extent] {
        &self.0
    }
}
