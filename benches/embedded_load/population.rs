//! Rows to load: spread evenly over the keys, as pseudonyms are.

use chrono::NaiveDate;
use kundeforhold::domain::relationship::{Interval, Relationship, Role};
use kundeforhold::index::layout::Row;
use kundeforhold::pseudonym::{AccountKey, AgreementKey, CustomerKey};

pub const ROWS_PER_CUSTOMER: u64 = 2;
/// A population of customers.
#[derive(Clone, Copy)]
pub struct Population {
    pub rows: u64,
    /// Coprime to `rows`: accounts are in another order than customers.
    stride: u64,
}

/// Well-mixed bits (splitmix64).
pub fn mix(n: u64) -> u64 {
    let mut z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// The n-th of so many keys that are spread evenly.
fn spread<const N: usize>(n: u64, of: u64) -> [u8; N] {
    let step = (u64::MAX / of).max(1);
    let mut key = [0; N];
    key[..8].copy_from_slice(&(n * step + mix(n) % step).to_be_bytes());
    let rest = mix(!n).to_be_bytes();
    key[8..].copy_from_slice(&rest[..N - 8]);
    key
}

fn coprime(rows: u64) -> u64 {
    let greatest_common = |mut a: u64, mut b: u64| {
        while b > 0 {
            (a, b) = (b, a % b);
        }
        a
    };
    (rows * 6 / 10..rows)
        .find(|n| greatest_common(*n, rows) == 1)
        .unwrap_or(1)
}

impl Population {
    pub fn new(rows: u64) -> Self {
        let stride = coprime(rows);
        Self { rows, stride }
    }

    pub fn customers(&self) -> u64 {
        self.rows / ROWS_PER_CUSTOMER
    }

    pub fn customer(&self, n: u64) -> CustomerKey {
        CustomerKey(spread(n, self.customers()))
    }

    pub fn row(&self, n: u64) -> Row {
        let mut agreement = [(n % ROWS_PER_CUSTOMER) as u8 + 1; 6];
        agreement[1..].copy_from_slice(&mix(n).to_be_bytes()[..5]);
        let from = NaiveDate::from_num_days_from_ce_opt(730_000 + (mix(n) % 9_000) as i32).unwrap();
        let interval = Interval::new(from, None).unwrap();
        let account = (u128::from(n) * u128::from(self.stride) % u128::from(self.rows)) as u64;
        Row {
            customer: self.customer(n / ROWS_PER_CUSTOMER),
            agreement: AgreementKey(agreement),
            account: Some(AccountKey(spread(account, self.rows))),
            relationship: Relationship::new(Role::Owner, true, true, interval),
        }
    }
}
