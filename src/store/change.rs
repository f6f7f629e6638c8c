//! What a delivery does to a bank's set, record by record, with identifiers sealed.

use super::StoreError;
use super::format::{role_bits, role_of};
use crate::domain::relationship::{Interval, Relationship, Role};
use crate::pseudonym::{Sealed, SealedAgreement};
use chrono::{Datelike, NaiveDate};
use std::io::Read;

/// A relationship record with pseudonyms in place of identifiers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRecord {
    pub customer: Sealed,
    pub agreement: SealedAgreement,
    pub relationship: Relationship,
}

impl SealedRecord {
    /// The order of rows: customer, agreement, first day.
    pub fn cmp_identity(&self, other: &Self) -> std::cmp::Ordering {
        let first_day = |record: &Self| record.relationship.interval().from();
        let customers = self.customer.as_bytes().cmp(other.customer.as_bytes());
        customers
            .then_with(|| self.agreement.as_bytes().cmp(other.agreement.as_bytes()))
            .then_with(|| first_day(self).cmp(&first_day(other)))
    }
}

/// Which record of a set is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedIdentity {
    pub customer: Sealed,
    pub agreement: SealedAgreement,
    pub from: NaiveDate,
}

/// One step of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetChange {
    /// The record stands, in place of one of the same identity.
    Put(SealedRecord),
    /// The record of an identity ends on a day, not before it began.
    End { identity: SealedIdentity, to: NaiveDate },
    /// There is no record of an identity.
    Remove(SealedIdentity),
    /// KFR: the customer has a relationship from a day on. What runs on day `on` gets the earlier start and no end.
    Register {
        customer: Sealed,
        from: NaiveDate,
        on: NaiveDate,
        role: Role,
    },
    /// KFR: what runs at customer level on day `on` ends with day `to`; what would end before it began goes, unless the
    /// bank named the day.
    Deregister {
        customer: Sealed,
        to: NaiveDate,
        on: NaiveDate,
        /// The bank named the day.
        is_explicit: bool,
    },
}

/// A change ends before its end.
const CUT: StoreError = StoreError::Damaged("a change that is cut off");

const TAG_PUT: u8 = 1;
const TAG_REGISTER: u8 = 2;
const TAG_DEREGISTER: u8 = 3;
const TAG_END: u8 = 4;
const TAG_REMOVE: u8 = 5;

const FLAG_CREDITABLE: u8 = 0b0000_0100;
const FLAG_HOLDS_FUNDS: u8 = 0b0000_1000;
const FLAG_ENDS: u8 = 0b0001_0000;
const AGREEMENT_SHIFT: u8 = 5;

impl SetChange {
    pub fn customer(&self) -> &Sealed {
        match self {
            Self::Put(record) => &record.customer,
            Self::End { identity, .. } | Self::Remove(identity) => &identity.customer,
            Self::Register { customer, .. } | Self::Deregister { customer, .. } => customer,
        }
    }

    /// The agreement of the records that it concerns; KFR knows customers only.
    pub fn agreement(&self) -> &SealedAgreement {
        match self {
            Self::Put(record) => &record.agreement,
            Self::End { identity, .. } | Self::Remove(identity) => &identity.agreement,
            Self::Register { .. } | Self::Deregister { .. } => &SealedAgreement::CustomerLevel,
        }
    }

    /// Appends the change in its stored form.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Put(record) => encode_put(record, out),
            Self::End { identity, to } => {
                out.push(TAG_END);
                encode_identity(identity, out);
                out.extend(day_bytes(*to));
            }
            Self::Remove(identity) => {
                out.push(TAG_REMOVE);
                encode_identity(identity, out);
            }
            Self::Register {
                customer,
                from,
                on,
                role,
            } => {
                out.push(TAG_REGISTER);
                encode_sealed(customer, out);
                out.extend(day_bytes(*from));
                out.extend(day_bytes(*on));
                out.push(role_bits(*role));
            }
            Self::Deregister {
                customer,
                to,
                on,
                is_explicit,
            } => {
                out.push(TAG_DEREGISTER);
                encode_sealed(customer, out);
                out.extend(day_bytes(*to));
                out.extend(day_bytes(*on));
                out.push(u8::from(*is_explicit));
            }
        }
    }

    /// Reads the next change; `None` at the end.
    pub fn decode(input: &mut impl Read) -> Result<Option<Self>, StoreError> {
        let mut tag = [0];
        if input.read(&mut tag).map_err(|_| CUT)? == 0 {
            return Ok(None);
        }
        let change = match tag[0] {
            TAG_PUT => Self::Put(decode_put(input)?),
            TAG_END => Self::End {
                identity: decode_identity(input)?,
                to: decode_day(input)?,
            },
            TAG_REMOVE => Self::Remove(decode_identity(input)?),
            TAG_REGISTER => {
                let (customer, from, on) = (decode_sealed(input)?, decode_day(input)?, decode_day(input)?);
                Self::Register {
                    customer,
                    from,
                    on,
                    role: role_of(byte(input)?),
                }
            }
            TAG_DEREGISTER => Self::Deregister {
                customer: decode_sealed(input)?,
                to: decode_day(input)?,
                on: decode_day(input)?,
                is_explicit: byte(input)? != 0,
            },
            _ => return Err(StoreError::Damaged("a kind of change")),
        };
        Ok(Some(change))
    }
}

/// The number that stands for the kind of agreement, and its pseudonym.
fn agreement_parts(agreement: &SealedAgreement) -> (u8, Option<&Sealed>) {
    match agreement {
        SealedAgreement::CustomerLevel => (0, None),
        SealedAgreement::Account(sealed) => (1, Some(sealed)),
        SealedAgreement::Reference(sealed) => (2, Some(sealed)),
    }
}

fn decode_agreement(kind: u8, input: &mut impl Read) -> Result<SealedAgreement, StoreError> {
    match kind {
        0 => Ok(SealedAgreement::CustomerLevel),
        1 => Ok(SealedAgreement::Account(decode_sealed(input)?)),
        2 => Ok(SealedAgreement::Reference(decode_sealed(input)?)),
        _ => Err(StoreError::Damaged("an agreement")),
    }
}

fn encode_identity(identity: &SealedIdentity, out: &mut Vec<u8>) {
    let (kind, sealed) = agreement_parts(&identity.agreement);
    out.push(kind);
    encode_sealed(&identity.customer, out);
    if let Some(sealed) = sealed {
        encode_sealed(sealed, out);
    }
    out.extend(day_bytes(identity.from));
}

fn decode_identity(input: &mut impl Read) -> Result<SealedIdentity, StoreError> {
    let kind = byte(input)?;
    Ok(SealedIdentity {
        customer: decode_sealed(input)?,
        agreement: decode_agreement(kind, input)?,
        from: decode_day(input)?,
    })
}

fn encode_put(record: &SealedRecord, out: &mut Vec<u8>) {
    let relationship = &record.relationship;
    let (agreement, sealed) = agreement_parts(&record.agreement);
    let mut flags = role_bits(relationship.role) | agreement << AGREEMENT_SHIFT;
    for (bit, set) in [
        (FLAG_CREDITABLE, relationship.creditable),
        (FLAG_HOLDS_FUNDS, relationship.holds_funds),
        (FLAG_ENDS, relationship.interval().to().is_some()),
    ] {
        flags |= if set { bit } else { 0 };
    }
    out.extend([TAG_PUT, flags]);
    encode_sealed(&record.customer, out);
    if let Some(sealed) = sealed {
        encode_sealed(sealed, out);
    }
    out.extend(day_bytes(relationship.interval().from()));
    if let Some(to) = relationship.interval().to() {
        out.extend(day_bytes(to));
    }
}

fn decode_put(input: &mut impl Read) -> Result<SealedRecord, StoreError> {
    let flags = byte(input)?;
    let customer = decode_sealed(input)?;
    let agreement = decode_agreement(flags >> AGREEMENT_SHIFT, input)?;
    let from = decode_day(input)?;
    let to = if flags & FLAG_ENDS != 0 {
        Some(decode_day(input)?)
    } else {
        None
    };
    let interval = Interval::new(from, to).ok_or(StoreError::Damaged("an interval"))?;
    let (creditable, holds_funds) = (flags & FLAG_CREDITABLE != 0, flags & FLAG_HOLDS_FUNDS != 0);
    let relationship = Relationship::new(role_of(flags), creditable, holds_funds, interval);
    Ok(SealedRecord {
        customer,
        agreement,
        relationship,
    })
}

fn encode_sealed(sealed: &Sealed, out: &mut Vec<u8>) {
    // At most Sealed::MAX_BYTES (80), so one byte holds the length.
    out.push(sealed.as_bytes().len() as u8);
    out.extend_from_slice(sealed.as_bytes());
}

fn decode_sealed(input: &mut impl Read) -> Result<Sealed, StoreError> {
    let mut bytes = [0; Sealed::MAX_BYTES];
    let bytes = bytes
        .get_mut(..usize::from(byte(input)?))
        .ok_or(StoreError::Damaged("a pseudonym"))?;
    input.read_exact(bytes).map_err(|_| CUT)?;
    Sealed::from_bytes(bytes).ok_or(StoreError::Damaged("a pseudonym"))
}

/// Three bytes reach past the year 9999, the last that a delivery can write.
fn day_bytes(day: NaiveDate) -> [u8; 3] {
    let n = day.num_days_from_ce().to_be_bytes();
    [n[1], n[2], n[3]]
}

fn decode_day(input: &mut impl Read) -> Result<NaiveDate, StoreError> {
    let mut b = [0; 3];
    input.read_exact(&mut b).map_err(|_| CUT)?;
    NaiveDate::from_num_days_from_ce_opt(i32::from_be_bytes([0, b[0], b[1], b[2]]))
        .ok_or(StoreError::Damaged("a day"))
}

fn byte(input: &mut impl Read) -> Result<u8, StoreError> {
    let mut byte = [0];
    input.read_exact(&mut byte).map_err(|_| CUT)?;
    Ok(byte[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_survive_encoding() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        let sealed = |n: u8, length: usize| Sealed::from_bytes(&vec![n; length]).unwrap();
        let interval = |to| Interval::new(day("0001-01-01"), to).unwrap();
        let put = |agreement, role, creditable, to| {
            let relationship = Relationship::new(role, creditable, !creditable, interval(to));
            SetChange::Put(SealedRecord {
                customer: sealed(1, 22),
                agreement,
                relationship,
            })
        };
        let changes = [
            put(SealedAgreement::CustomerLevel, Role::Unknown, false, None),
            put(
                SealedAgreement::Account(sealed(2, 21)),
                Role::Owner,
                true,
                Some(day("9999-12-31")),
            ),
            put(
                SealedAgreement::Reference(sealed(3, 80)),
                Role::SecondaryOwner,
                false,
                Some(day("2026-02-28")),
            ),
            SetChange::End {
                identity: SealedIdentity {
                    customer: sealed(6, 22),
                    agreement: SealedAgreement::Account(sealed(7, 27)),
                    from: day("2020-02-29"),
                },
                to: day("2021-01-01"),
            },
            SetChange::Remove(SealedIdentity {
                customer: sealed(8, 25),
                agreement: SealedAgreement::CustomerLevel,
                from: day("2020-02-29"),
            }),
            SetChange::Register {
                customer: sealed(4, 22),
                from: day("2020-01-01"),
                on: day("2026-11-20"),
                role: Role::Owner,
            },
            SetChange::Deregister {
                customer: sealed(5, 22),
                to: day("2026-11-19"),
                on: day("2026-11-20"),
                is_explicit: true,
            },
        ];
        let mut bytes = Vec::new();
        changes.iter().for_each(|change| change.encode(&mut bytes));
        let mut input = bytes.as_slice();
        for change in &changes {
            assert_eq!(SetChange::decode(&mut input).unwrap().as_ref(), Some(change));
        }
        assert_eq!(SetChange::decode(&mut input).unwrap(), None);
    }

    #[test]
    fn a_cut_or_unknown_change_is_an_error() {
        for bytes in [
            &[TAG_REGISTER, 22, 1][..],
            &[99],
            &[TAG_PUT, 0b111 << AGREEMENT_SHIFT, 0],
            &[TAG_PUT, 0, 200],
        ] {
            assert!(SetChange::decode(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }
}
