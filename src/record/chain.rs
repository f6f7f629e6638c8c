//! The arithmetic of a chain: every entry is hashed over the one before it.

use aws_lc_rs::digest::{Context, SHA256, digest};
use uuid::Uuid;

/// SHA-256.
pub type Hash = [u8; 32];

/// What a chain begins with; its instance follows.
const BIRTH: &[u8] = b"kundeforhold/record/1";

/// The last entry of a chain, which stands for all before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Counts entries from 1; 0 if there is none.
    pub sequence: u64,
    /// The entry's hash; of a chain without entries, that of its birth.
    pub hash: Hash,
}

impl Head {
    /// Of an instance's chain without entries. No other chain begins alike, so entries of one do not fit another.
    pub(super) fn birth(instance: Uuid) -> Self {
        Self {
            sequence: 0,
            hash: bytes_of(digest(&SHA256, &[BIRTH, instance.as_bytes()].concat()).as_ref()),
        }
    }

    /// The head once `entry` is appended.
    pub(super) fn then(&self, entry: &[u8]) -> Self {
        let sequence = self.sequence + 1;
        let mut context = Context::new(&SHA256);
        context.update(&self.hash);
        context.update(&sequence.to_be_bytes());
        context.update(entry);
        Self {
            sequence,
            hash: bytes_of(context.finish().as_ref()),
        }
    }
}

fn bytes_of(digest: &[u8]) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest);
    hash
}
