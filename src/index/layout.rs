//! Every key and value format of the index, shared by the engines.
//!
//! Version 1. A relationship row is found by its customer's key and holds
//! `set (4) | generation (4) | agreement (6) | first day (3)` → `version, role, flags (1) | last day (3)`.
//! An account row is found by the account's key and holds
//! `set (4) | generation (4) | customer (4) | first day (3)` → `version (1) | last day (3)`.
//! What of that comes after the generation is the *tail* of a row: where a generation has tables of its own
//! (the embedded engine), a row's key is `customer (16) | tail (9)`, and an account row's
//! `account (10) | tail (7)`, to the same values.
//! Days count from 1 January of year 1; the last day of what still runs is [`STILL_RUNNING`].

use super::IndexError;
pub use super::side::{Side, decode_state_key, encode_state_key, position_of};
pub use super::state::IndexState;
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::relationship::{Interval, Register, Relationship, Role, SetId};
use crate::pseudonym::{AccountKey, AgreementKey, CustomerKey, KeyFingerprint};
use chrono::{DateTime, Datelike, NaiveDate, Utc};
use uuid::Uuid;

/// Version of all formats in this file. An index of another version is refused.
pub const FORMAT_VERSION: u8 = 1;
/// The last day of what still runs; beyond the year 9999.
const STILL_RUNNING: u32 = 0x00ff_ffff;
const ROLE_BITS: u8 = 0b0000_0011;
const CREDITABLE_BIT: u8 = 0b0000_0100;
const HOLDS_FUNDS_BIT: u8 = 0b0000_1000;

const GENERATION_BYTES: usize = 8;
pub const TAIL_BYTES: usize = 9;
pub const FIELD_BYTES: usize = GENERATION_BYTES + TAIL_BYTES;
pub const VALUE_BYTES: usize = 4;
pub const ACCOUNT_TAIL_BYTES: usize = 7;
pub const ACCOUNT_FIELD_BYTES: usize = GENERATION_BYTES + ACCOUNT_TAIL_BYTES;
pub const ACCOUNT_VALUE_BYTES: usize = 4;

/// A generation of a bank's set: the journal position of the whole set it began with, 0 before the first. Its
/// highest bit is the [`Side`] it stands on.
pub type Generation = u32;
/// One row of the index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Row {
    pub customer: CustomerKey,
    pub agreement: AgreementKey,
    pub account: Option<AccountKey>,
    pub relationship: Relationship,
}

/// A blind, idempotent write of one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowWrite {
    Put(Row),
    /// Only the row's identity counts: customer, agreement, first day, and the account to unlink.
    Delete(Row),
}

impl RowWrite {
    pub fn row(&self) -> &Row {
        match self {
            Self::Put(row) | Self::Delete(row) => row,
        }
    }
}

/// A row as found under a customer's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundRow {
    pub set: SetId,
    pub generation: Generation,
    pub agreement: AgreementKey,
    pub relationship: Relationship,
}

/// A row as found under an account's key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundAccount {
    pub set: SetId,
    pub generation: Generation,
    pub interval: Interval,
}

pub type Tail = [u8; TAIL_BYTES];
pub type AccountTail = [u8; ACCOUNT_TAIL_BYTES];
pub type Field = [u8; FIELD_BYTES];
pub type Value = [u8; VALUE_BYTES];
pub type AccountField = [u8; ACCOUNT_FIELD_BYTES];
pub type AccountValue = [u8; ACCOUNT_VALUE_BYTES];

pub fn encode_set(set: SetId) -> [u8; 4] {
    let register = match set.register {
        Register::Kar => 0,
        Register::Kfr => 1,
    };
    (set.bank.as_u32() << 1 | register).to_be_bytes()
}

pub fn decode_set(bytes: [u8; 4]) -> Result<SetId, IndexError> {
    let packed = u32::from_be_bytes(bytes);
    let register = if packed & 1 == 0 {
        Register::Kar
    } else {
        Register::Kfr
    };
    let bank = OrganizationNumber::from_u32(packed >> 1).ok_or(IndexError::Format("set"))?;
    Ok(SetId { bank, register })
}

/// Names a generation of a set.
pub fn encode_generation(set: SetId, generation: Generation) -> [u8; GENERATION_BYTES] {
    let mut bytes = [0; GENERATION_BYTES];
    bytes[..4].copy_from_slice(&encode_set(set));
    bytes[4..].copy_from_slice(&generation.to_be_bytes());
    bytes
}

pub fn decode_generation(bytes: [u8; GENERATION_BYTES]) -> Result<(SetId, Generation), IndexError> {
    let [a, b, c, d, generation @ ..] = bytes;
    Ok((decode_set([a, b, c, d])?, u32::from_be_bytes(generation)))
}

pub fn encode_tail(row: &Row) -> Tail {
    let mut tail = [0; TAIL_BYTES];
    tail[..6].copy_from_slice(&row.agreement.0);
    tail[6..].copy_from_slice(&encode_day(row.relationship.interval().from()));
    tail
}

pub fn encode_field(set: SetId, generation: Generation, row: &Row) -> Field {
    let mut field = [0; FIELD_BYTES];
    field[..GENERATION_BYTES].copy_from_slice(&encode_generation(set, generation));
    field[GENERATION_BYTES..].copy_from_slice(&encode_tail(row));
    field
}

pub fn encode_value(relationship: &Relationship) -> Value {
    let role = match relationship.role {
        Role::Owner => 0,
        Role::SecondaryOwner => 1,
        Role::Other => 2,
        Role::Unknown => 3,
    };
    let creditable = if relationship.creditable {
        CREDITABLE_BIT
    } else {
        0
    };
    let holds_funds = if relationship.holds_funds {
        HOLDS_FUNDS_BIT
    } else {
        0
    };
    let to = encode_last_day(relationship.interval().to());
    [
        FORMAT_VERSION << 4 | role | creditable | holds_funds,
        to[0],
        to[1],
        to[2],
    ]
}

pub fn decode_row(field: &[u8], value: &[u8]) -> Result<FoundRow, IndexError> {
    let (generation, tail) = split_field::<TAIL_BYTES>(field).ok_or(IndexError::Format("row key"))?;
    let value: &Value = value.try_into().map_err(|_| IndexError::Format("row value"))?;
    let (set, generation) = decode_generation(generation)?;
    decode_row_of(set, generation, &tail, value)
}

/// Reads a row of a generation that is known.
pub fn decode_row_of(
    set: SetId,
    generation: Generation,
    tail: &Tail,
    value: &Value,
) -> Result<FoundRow, IndexError> {
    if value[0] >> 4 != FORMAT_VERSION {
        return Err(IndexError::Format("row version"));
    }
    let role = match value[0] & ROLE_BITS {
        0 => Role::Owner,
        1 => Role::SecondaryOwner,
        2 => Role::Other,
        _ => Role::Unknown,
    };
    let interval = decode_interval([tail[6], tail[7], tail[8]], [value[1], value[2], value[3]])?;
    let flags = (value[0] & CREDITABLE_BIT != 0, value[0] & HOLDS_FUNDS_BIT != 0);
    let mut agreement = [0; 6];
    agreement.copy_from_slice(&tail[..6]);
    Ok(FoundRow {
        set,
        generation,
        agreement: AgreementKey(agreement),
        relationship: Relationship::new(role, flags.0, flags.1, interval),
    })
}

/// The generation and the tail of a field.
fn split_field<const TAIL: usize>(field: &[u8]) -> Option<([u8; GENERATION_BYTES], [u8; TAIL])> {
    let (generation, tail) = field.split_first_chunk()?;
    Some((*generation, tail.try_into().ok()?))
}

pub fn encode_account_tail(row: &Row) -> AccountTail {
    let mut tail = [0; ACCOUNT_TAIL_BYTES];
    tail[..4].copy_from_slice(&row.customer.0[..4]);
    tail[4..].copy_from_slice(&encode_day(row.relationship.interval().from()));
    tail
}

pub fn encode_account_field(set: SetId, generation: Generation, row: &Row) -> AccountField {
    let mut field = [0; ACCOUNT_FIELD_BYTES];
    field[..GENERATION_BYTES].copy_from_slice(&encode_generation(set, generation));
    field[GENERATION_BYTES..].copy_from_slice(&encode_account_tail(row));
    field
}

pub fn encode_account_value(relationship: &Relationship) -> AccountValue {
    let to = encode_last_day(relationship.interval().to());
    [FORMAT_VERSION, to[0], to[1], to[2]]
}

pub fn decode_account(field: &[u8], value: &[u8]) -> Result<FoundAccount, IndexError> {
    let (generation, tail) =
        split_field::<ACCOUNT_TAIL_BYTES>(field).ok_or(IndexError::Format("account key"))?;
    let value: &AccountValue = value
        .try_into()
        .map_err(|_| IndexError::Format("account value"))?;
    let (set, generation) = decode_generation(generation)?;
    decode_account_of(set, generation, &tail, value)
}

/// Reads an account row of a generation that is known.
pub fn decode_account_of(
    set: SetId,
    generation: Generation,
    tail: &AccountTail,
    value: &AccountValue,
) -> Result<FoundAccount, IndexError> {
    if value[0] != FORMAT_VERSION {
        return Err(IndexError::Format("account version"));
    }
    Ok(FoundAccount {
        set,
        generation,
        interval: decode_interval([tail[4], tail[5], tail[6]], [value[1], value[2], value[3]])?,
    })
}

fn encode_day(day: NaiveDate) -> [u8; 3] {
    let n = day
        .num_days_from_ce()
        .unsigned_abs()
        .min(STILL_RUNNING - 1)
        .to_be_bytes();
    [n[1], n[2], n[3]]
}

fn encode_last_day(day: Option<NaiveDate>) -> [u8; 3] {
    day.map_or([0xff; 3], encode_day)
}

fn decode_interval(from: [u8; 3], to: [u8; 3]) -> Result<Interval, IndexError> {
    let day = |b: [u8; 3]| NaiveDate::from_num_days_from_ce_opt(i32::from_be_bytes([0, b[0], b[1], b[2]]));
    let from = day(from).ok_or(IndexError::Format("first day"))?;
    let to = match u32::from_be_bytes([0, to[0], to[1], to[2]]) {
        STILL_RUNNING => None,
        _ => Some(day(to).ok_or(IndexError::Format("last day"))?),
    };
    Interval::new(from, to).ok_or(IndexError::Format("interval"))
}

/// Which register, key and build an index belongs to. Its absence tells an emptied store from "no relationships".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marker {
    /// The id that the register's journal was born with.
    pub register_id: Uuid,
    /// The pseudonym key that the rows were made with.
    pub key: KeyFingerprint,
    /// Drawn anew by every rebuild, so that rows of two builds are never mixed.
    pub build: u64,
}

pub const MARKER_BYTES: usize = 1 + 16 + 8 + 8;
pub const STAMP_BYTES: usize = 1 + 16 + 8;

impl Marker {
    pub fn encode(&self) -> [u8; MARKER_BYTES] {
        let mut bytes = [FORMAT_VERSION; MARKER_BYTES];
        bytes[1..17].copy_from_slice(self.register_id.as_bytes());
        bytes[17..25].copy_from_slice(&self.key);
        bytes[25..].copy_from_slice(&self.build.to_be_bytes());
        bytes
    }

    /// What stands beside the rows: the marker without its key, since the rows of a build may be of two keys.
    pub fn stamp(&self) -> [u8; STAMP_BYTES] {
        let mut bytes = [FORMAT_VERSION; STAMP_BYTES];
        bytes[1..17].copy_from_slice(self.register_id.as_bytes());
        bytes[17..].copy_from_slice(&self.build.to_be_bytes());
        bytes
    }

    /// Reads a marker; one of another format version is refused, never guessed.
    pub fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        match bytes.first() {
            Some(&FORMAT_VERSION) if bytes.len() == MARKER_BYTES => {}
            _ => return Err(IndexError::Format("marker")),
        }
        let (mut key, mut build, mut id) = ([0; 8], [0; 8], [0; 16]);
        id.copy_from_slice(&bytes[1..17]);
        key.copy_from_slice(&bytes[17..25]);
        build.copy_from_slice(&bytes[25..]);
        Ok(Self {
            register_id: Uuid::from_bytes(id),
            key,
            build: u64::from_be_bytes(build),
        })
    }
}

/// Where the index stands with one bank's set.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct SetState {
    /// The pseudonym key of its rows.
    pub key: KeyFingerprint,
    /// The generation that answers.
    pub generation: Generation,
    /// The set's journal position up to which the generation is complete.
    pub position: u64,
    /// The journal that the last publication is in.
    pub journal: Uuid,
    /// Of the lease under which this state was written.
    pub fence: u64,
    /// The `Delivery-Sequence` that was published last, 0 without one.
    pub sequence: u64,
    /// About how many records run.
    pub running: u64,
    /// Publications are missing: they are in a journal that could not be had.
    pub gap: bool,
    /// What the index stood on when the generation was found complete up to there: [`Index::lineup`](super::Index::lineup).
    pub vouched: u64,
    /// When the bank's last delivery was published.
    pub last_delivery: DateTime<Utc>,
    /// Former generations whose rows are still to be removed.
    pub retired: Vec<Generation>,
}

impl SetState {
    pub fn encode(&self) -> Result<Vec<u8>, IndexError> {
        let mut bytes = vec![FORMAT_VERSION];
        bytes.extend(postcard::to_stdvec(self).map_err(|_| IndexError::Format("set state"))?);
        Ok(bytes)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, IndexError> {
        match bytes.split_first() {
            Some((&FORMAT_VERSION, rest)) => {
                postcard::from_bytes(rest).map_err(|_| IndexError::Format("set state"))
            }
            _ => Err(IndexError::Format("set state version")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arbitrary_relationship() -> impl Strategy<Value = Relationship> {
        let roles = prop_oneof![
            Just(Role::Owner),
            Just(Role::SecondaryOwner),
            Just(Role::Other),
            Just(Role::Unknown)
        ];
        (
            roles,
            any::<bool>(),
            any::<bool>(),
            1..3_652_000_i32,
            proptest::option::of(0..50_000_i32),
        )
            .prop_map(|(role, creditable, holds_funds, from, length)| {
                let day = |n| NaiveDate::from_num_days_from_ce_opt(n).unwrap();
                let interval = Interval::new(day(from), length.map(|length| day(from + length))).unwrap();
                Relationship::new(role, creditable, holds_funds, interval)
            })
    }

    proptest! {
        #[test]
        fn rows_survive_encoding(relationship in arbitrary_relationship(), agreement: [u8; 6], generation: u32, kar: bool) {
            let set = SetId {
                bank: OrganizationNumber::parse("988077917").unwrap(),
                register: if kar { Register::Kar } else { Register::Kfr },
            };
            let row = Row { customer: CustomerKey([3; 16]), agreement: AgreementKey(agreement), account: None, relationship };
            let found = decode_row(&encode_field(set, generation, &row), &encode_value(&relationship)).unwrap();
            prop_assert_eq!(found, FoundRow { set, generation, agreement: row.agreement, relationship });
            let account = decode_account(&encode_account_field(set, generation, &row), &encode_account_value(&relationship)).unwrap();
            prop_assert_eq!(account, FoundAccount { set, generation, interval: relationship.interval() });
        }
    }

    #[test]
    fn another_format_version_is_refused() {
        let marker = Marker {
            register_id: Uuid::nil(),
            key: [0; 8],
            build: 1,
        };
        let mut bytes = marker.encode();
        assert_eq!(Marker::decode(&bytes).unwrap(), marker);
        bytes[0] = FORMAT_VERSION + 1;
        assert!(matches!(Marker::decode(&bytes), Err(IndexError::Format(_))));
        assert!(matches!(
            SetState::decode(&[FORMAT_VERSION + 1, 0]),
            Err(IndexError::Format(_))
        ));
    }
}
