//! Two sides of the index: room for the rows of two pseudonym keys at once.

use super::IndexError;
use super::layout::{Generation, decode_set, encode_set};
use crate::domain::relationship::SetId;

const SIDE_BIT: u32 = 1 << 31;

/// Rows made with two pseudonym keys can stand in the index at once, each on a side of their own; the marker
/// names the key, and so the side, that answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    First,
    Second,
}

impl Side {
    /// Sides alternate with every change of the register's key.
    pub fn after_rekeyings(rekeyings: u32) -> Self {
        if rekeyings.is_multiple_of(2) {
            Self::First
        } else {
            Self::Second
        }
    }

    pub fn of(generation: Generation) -> Self {
        if generation & SIDE_BIT == 0 {
            Self::First
        } else {
            Self::Second
        }
    }

    /// `None`: the set has more publications than generations can count.
    pub fn generation(self, position: u64) -> Option<Generation> {
        let position = u32::try_from(position)
            .ok()
            .filter(|position| position & SIDE_BIT == 0)?;
        Some(match self {
            Self::First => position,
            Self::Second => position | SIDE_BIT,
        })
    }
}

/// The journal position of the whole set that a generation began with.
pub fn position_of(generation: Generation) -> u64 {
    u64::from(generation & !SIDE_BIT)
}

/// Names a set's state: the first bit, which no set needs, is that of the side.
pub fn encode_state_key(set: SetId, side: Side) -> [u8; 4] {
    let mut key = encode_set(set);
    if side == Side::Second {
        key[0] |= 0x80;
    }
    key
}

pub fn decode_state_key([first, rest @ ..]: [u8; 4]) -> Result<SetId, IndexError> {
    let [second, third, fourth] = rest;
    decode_set([first & 0x7f, second, third, fourth])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::identifiers::OrganizationNumber;
    use crate::domain::relationship::Register;

    #[test]
    fn a_generation_keeps_its_position_on_either_side() {
        for (side, position) in [(Side::First, 0), (Side::Second, 0), (Side::Second, (1 << 31) - 1)] {
            let generation = side.generation(position).unwrap();
            assert_eq!((Side::of(generation), position_of(generation)), (side, position));
        }
        assert_eq!(Side::First.generation(1 << 31), None);
        assert_ne!(Side::after_rekeyings(6), Side::after_rekeyings(7));
    }

    #[test]
    fn the_states_of_a_set_have_a_key_on_each_side() {
        for register in [Register::Kar, Register::Kfr] {
            let set = SetId {
                bank: OrganizationNumber::parse("988077917").unwrap(),
                register,
            };
            let keys = [Side::First, Side::Second].map(|side| encode_state_key(set, side));
            assert_ne!(keys[0], keys[1]);
            for key in keys {
                assert_eq!(decode_state_key(key), Ok(set));
            }
        }
    }
}
