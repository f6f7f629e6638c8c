//! A record as bytes that sort in the order of rows: customer, agreement, first day, and then the line it stood on.
//!
//! `customer | 0 at customer level, else 1 | agreement | first day (4) | line (8) | terms (1) | last day (4) |
//! length of customer (1) | length of agreement (1)`. Synthetic IVs differ in their 16 bytes, so neither a customer nor
//! an agreement is the beginning of another.

use super::format::{day_number, decode_agreement, decode_relationship, encode_terms};
use super::{SealedRecord, StoreError};
use crate::pseudonym::Sealed;

/// The last day of what still runs.
const RUNNING: i32 = i32::MAX;
/// What comes after the identity.
const TAIL_BYTES: usize = 8 + 1 + 4 + 2;

impl SealedRecord {
    /// Appends the record, and the line that it stood on.
    pub fn encode_sorted(&self, line: u64, out: &mut Vec<u8>) {
        let interval = self.relationship.interval();
        let (customer, agreement) = (self.customer.as_bytes(), self.agreement.as_bytes());
        out.extend_from_slice(customer);
        out.push(u8::from(!agreement.is_empty()));
        out.extend_from_slice(agreement);
        out.extend(sortable(day_number(interval.from())));
        out.extend(line.to_be_bytes());
        out.push(encode_terms(&self.agreement, &self.relationship));
        out.extend(interval.to().map_or(RUNNING, day_number).to_be_bytes());
        // At most Sealed::MAX_BYTES (80).
        out.extend([customer.len() as u8, agreement.len() as u8]);
    }

    /// Reads back what [`encode_sorted`](Self::encode_sorted) wrote: the line, and the record.
    pub fn decode_sorted(bytes: &[u8]) -> Result<(u64, Self), StoreError> {
        const CUT: StoreError = StoreError::Damaged("a sorted record");
        let (identity, tail) = bytes
            .len()
            .checked_sub(TAIL_BYTES)
            .map(|at| bytes.split_at(at))
            .ok_or(CUT)?;
        let (customer_bytes, agreement_bytes) = (usize::from(tail[13]), usize::from(tail[14]));
        let (customer, rest) = identity.split_at_checked(customer_bytes).ok_or(CUT)?;
        let (agreement, from) = rest
            .split_first()
            .and_then(|(_, rest)| rest.split_at_checked(agreement_bytes))
            .ok_or(CUT)?;
        let from = day_of_sortable(from.try_into().map_err(|_| CUT)?);
        let (line, tail) = tail.split_first_chunk().ok_or(CUT)?;
        let terms = tail[0];
        let to = i32::from_be_bytes([tail[1], tail[2], tail[3], tail[4]]);
        let record = Self {
            customer: Sealed::from_bytes(customer).ok_or(CUT)?,
            agreement: decode_agreement(terms, agreement)?,
            relationship: decode_relationship(terms, from, (to != RUNNING).then_some(to))?,
        };
        Ok((u64::from_be_bytes(*line), record))
    }
}

/// Most significant byte first, with the days before 1970 before those after.
fn sortable(day: i32) -> [u8; 4] {
    (day.cast_unsigned() ^ 1 << 31).to_be_bytes()
}

fn day_of_sortable(bytes: [u8; 4]) -> i32 {
    (u32::from_be_bytes(bytes) ^ 1 << 31).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::relationship::{Interval, Relationship, Role};
    use crate::pseudonym::SealedAgreement;
    use chrono::NaiveDate;
    use proptest::prelude::*;

    fn arbitrary() -> impl Strategy<Value = SealedRecord> {
        // Few values, so that identities agree in part.
        let sealed = |kind: u8, length: usize| {
            (0..3_u8).prop_map(move |n| {
                let mut bytes = vec![n * 100; length];
                bytes[0] = kind;
                Sealed::from_bytes(&bytes).unwrap()
            })
        };
        let customers = prop_oneof![sealed(1, 22), sealed(200, 20)];
        let agreements = prop_oneof![
            Just(SealedAgreement::CustomerLevel),
            sealed(0, 21).prop_map(SealedAgreement::Account),
            sealed(255, 40).prop_map(SealedAgreement::Reference),
        ];
        let days = (
            prop_oneof![Just(1), 719_000..719_300_i32],
            proptest::option::of(0..3_i32),
        );
        (customers, agreements, days).prop_map(|(customer, agreement, (from, length))| {
            let day = |n| NaiveDate::from_num_days_from_ce_opt(n).unwrap();
            let interval = Interval::new(day(from), length.map(|length| day(from + length))).unwrap();
            SealedRecord {
                customer,
                agreement,
                relationship: Relationship::new(Role::Other, true, false, interval),
            }
        })
    }

    fn encoded(record: &SealedRecord, line: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        record.encode_sorted(line, &mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn bytes_sort_as_rows_do_and_come_back(one in arbitrary(), other in arbitrary(), lines: (u8, u8)) {
            let (first, second) = (encoded(&one, lines.0.into()), encoded(&other, lines.1.into()));
            let expected = one.cmp_identity(&other).then(lines.0.cmp(&lines.1));
            if expected.is_ne() {
                prop_assert_eq!(first.cmp(&second), expected);
            }
            prop_assert_eq!(SealedRecord::decode_sorted(&first).unwrap(), (lines.0.into(), one));
        }
    }

    #[test]
    fn what_is_cut_off_is_an_error() {
        for bytes in [&[][..], &[0; 14], &[255; 30]] {
            assert!(SealedRecord::decode_sorted(bytes).is_err());
        }
    }
}
