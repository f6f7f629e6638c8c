//! How days, sets and records stand in rows.
//!
//! `terms` of a row: two bits of format version, two of the kind of agreement, `holdsFunds`, `creditable`, and two
//! bits of role, from the most significant one on.

use super::StoreError;
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::relationship::{Interval, Register, Relationship, Role, SetId};
use crate::pseudonym::{Sealed, SealedAgreement};
use chrono::{DateTime, Datelike, NaiveDate, Utc};

/// Version of the format of a row. A row of another version is refused, never guessed.
const FORMAT_VERSION: u8 = 1;
const VERSION_SHIFT: u8 = 6;
const AGREEMENT_SHIFT: u8 = 4;
const HOLDS_FUNDS_BIT: u8 = 0b0000_1000;
const CREDITABLE_BIT: u8 = 0b0000_0100;
const ROLE_BITS: u8 = 0b0000_0011;
/// 1970-01-01 counted from 0001-01-01, which is day 1.
const EPOCH_DAY: i32 = 719_163;

pub(super) fn day_number(day: NaiveDate) -> i32 {
    day.num_days_from_ce() - EPOCH_DAY
}

pub(super) fn day_of(number: i32) -> Result<NaiveDate, StoreError> {
    let from_ce = number.checked_add(EPOCH_DAY);
    from_ce
        .and_then(NaiveDate::from_num_days_from_ce_opt)
        .ok_or(StoreError::Damaged("a day"))
}

pub(super) fn time_of(milliseconds: i64) -> Result<DateTime<Utc>, StoreError> {
    DateTime::from_timestamp_millis(milliseconds).ok_or(StoreError::Damaged("a time"))
}

pub(super) fn register_number(register: Register) -> u8 {
    match register {
        Register::Kar => 0,
        Register::Kfr => 1,
    }
}

pub(super) fn set_of(bank: u32, register: u8) -> Result<SetId, StoreError> {
    let register = match register {
        0 => Register::Kar,
        1 => Register::Kfr,
        _ => return Err(StoreError::Damaged("a register")),
    };
    let bank = OrganizationNumber::from_u32(bank).ok_or(StoreError::Damaged("a bank"))?;
    Ok(SetId { bank, register })
}

pub(super) fn role_bits(role: Role) -> u8 {
    match role {
        Role::Owner => 0,
        Role::SecondaryOwner => 1,
        Role::Other => 2,
        Role::Unknown => 3,
    }
}

pub(super) fn role_of(bits: u8) -> Role {
    match bits & ROLE_BITS {
        0 => Role::Owner,
        1 => Role::SecondaryOwner,
        2 => Role::Other,
        _ => Role::Unknown,
    }
}

/// All of a record but who, which agreement and which days.
pub(super) fn encode_terms(agreement: &SealedAgreement, relationship: &Relationship) -> u8 {
    let kind = match agreement {
        SealedAgreement::CustomerLevel => 0,
        SealedAgreement::Account(_) => 1,
        SealedAgreement::Reference(_) => 2,
    };
    let flag = |set: bool, bit: u8| if set { bit } else { 0 };
    FORMAT_VERSION << VERSION_SHIFT
        | kind << AGREEMENT_SHIFT
        | flag(relationship.holds_funds, HOLDS_FUNDS_BIT)
        | flag(relationship.creditable, CREDITABLE_BIT)
        | role_bits(relationship.role)
}

fn check_version(terms: u8) -> Result<(), StoreError> {
    match terms >> VERSION_SHIFT {
        FORMAT_VERSION => Ok(()),
        _ => Err(StoreError::Damaged("the format version of a row")),
    }
}

pub(super) fn decode_relationship(
    terms: u8,
    from_day: i32,
    to_day: Option<i32>,
) -> Result<Relationship, StoreError> {
    check_version(terms)?;
    let interval = decode_interval(from_day, to_day)?;
    let (creditable, holds_funds) = (terms & CREDITABLE_BIT != 0, terms & HOLDS_FUNDS_BIT != 0);
    Ok(Relationship::new(
        role_of(terms),
        creditable,
        holds_funds,
        interval,
    ))
}

fn decode_interval(from_day: i32, to_day: Option<i32>) -> Result<Interval, StoreError> {
    let to = to_day.map(day_of).transpose()?;
    Interval::new(day_of(from_day)?, to).ok_or(StoreError::Damaged("an interval"))
}

pub(super) fn decode_agreement(terms: u8, bytes: &[u8]) -> Result<SealedAgreement, StoreError> {
    check_version(terms)?;
    let sealed = || Sealed::from_bytes(bytes).ok_or(StoreError::Damaged("an agreement"));
    match terms >> AGREEMENT_SHIFT & 0b11 {
        0 if bytes.is_empty() => Ok(SealedAgreement::CustomerLevel),
        1 => Ok(SealedAgreement::Account(sealed()?)),
        2 => Ok(SealedAgreement::Reference(sealed()?)),
        _ => Err(StoreError::Damaged("a kind of agreement")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn arbitrary() -> impl Strategy<Value = (SealedAgreement, Relationship)> {
        let roles = prop_oneof![
            Just(Role::Owner),
            Just(Role::SecondaryOwner),
            Just(Role::Other),
            Just(Role::Unknown)
        ];
        let sealed = |length| proptest::collection::vec(any::<u8>(), length);
        let agreements = prop_oneof![
            Just(SealedAgreement::CustomerLevel),
            sealed(21).prop_map(|bytes| SealedAgreement::Account(Sealed::from_bytes(&bytes).unwrap())),
            sealed(40).prop_map(|bytes| SealedAgreement::Reference(Sealed::from_bytes(&bytes).unwrap())),
        ];
        let days = (1..3_652_000_i32, proptest::option::of(0..50_000_i32));
        (agreements, roles, any::<bool>(), any::<bool>(), days).prop_map(
            |(agreement, role, creditable, holds_funds, (from, length))| {
                let day = |n| NaiveDate::from_num_days_from_ce_opt(n).unwrap();
                let interval = Interval::new(day(from), length.map(|length| day(from + length))).unwrap();
                (
                    agreement,
                    Relationship::new(role, creditable, holds_funds, interval),
                )
            },
        )
    }

    proptest! {
        #[test]
        fn a_record_comes_back_as_it_was((agreement, relationship) in arbitrary()) {
            let terms = encode_terms(&agreement, &relationship);
            let interval = relationship.interval();
            let (from, to) = (day_number(interval.from()), interval.to().map(day_number));
            prop_assert_eq!(decode_relationship(terms, from, to).unwrap(), relationship);
            prop_assert_eq!(decode_agreement(terms, agreement.as_bytes()).unwrap(), agreement);
            let other_version = terms ^ (0b11 << VERSION_SHIFT);
            prop_assert!(decode_relationship(other_version, from, to).is_err());
            prop_assert!(decode_agreement(other_version, &[]).is_err());
        }
    }
}
