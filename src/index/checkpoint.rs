//! How far a set is known to be complete in a store that may have lost what it took last.

use super::IndexError;
use super::layout::{FORMAT_VERSION, Generation, SetState, Side};
use crate::domain::relationship::SetId;
use std::collections::HashMap;

/// All rows of a generation are there up to a position of the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checkpoint {
    pub generation: Generation,
    pub position: u64,
}

/// Of each set on each side.
pub type Checkpoints = HashMap<(SetId, Side), Checkpoint>;

pub const CHECKPOINT_BYTES: usize = 1 + 4 + 8;

impl Checkpoint {
    pub fn of(state: &SetState) -> Self {
        Self {
            generation: state.generation,
            position: state.position,
        }
    }

    pub fn encode(&self) -> [u8; CHECKPOINT_BYTES] {
        let mut bytes = [FORMAT_VERSION; CHECKPOINT_BYTES];
        bytes[1..5].copy_from_slice(&self.generation.to_be_bytes());
        bytes[5..].copy_from_slice(&self.position.to_be_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        let unknown = || IndexError::Format("checkpoint");
        let (version, rest) = bytes.split_first().ok_or_else(unknown)?;
        let (generation, position) = rest.split_first_chunk().ok_or_else(unknown)?;
        if *version != FORMAT_VERSION {
            return Err(unknown());
        }
        Ok(Self {
            generation: Generation::from_be_bytes(*generation),
            position: u64::from_be_bytes(position.try_into().map_err(|_| unknown())?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_survives_encoding_and_another_version_does_not() {
        let checkpoint = Checkpoint {
            generation: 1 << 31 | 7,
            position: 1 << 40,
        };
        let mut bytes = checkpoint.encode();
        assert_eq!(Checkpoint::decode(&bytes), Ok(checkpoint));
        assert!(Checkpoint::decode(&bytes[..12]).is_err());
        bytes[0] += 1;
        assert!(Checkpoint::decode(&bytes).is_err());
    }
}
