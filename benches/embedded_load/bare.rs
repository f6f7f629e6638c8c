//! What redb does with the same rows alone.

use super::population::Population;
use kundeforhold::index::layout::{
    Row, encode_account_tail, encode_account_value, encode_tail, encode_value,
};
use redb::{Database, TableDefinition};
use std::path::Path;
use std::time::{Duration, Instant};

const BARE_TRANSACTION_ROWS: usize = 200_000;

pub const BARE_ROWS: TableDefinition<[u8; 25], [u8; 4]> = TableDefinition::new("rows");
const BARE_ACCOUNTS: TableDefinition<[u8; 17], [u8; 4]> = TableDefinition::new("accounts");

/// Loads the rows of a population, and those by account after them; the time without that of making them.
pub fn load_bare(file: &Path, population: Population, cache_bytes: usize) -> Duration {
    let database = Database::builder()
        .set_cache_size(cache_bytes)
        .create(file)
        .unwrap();
    let mut took = Duration::ZERO;
    let by_customer: Vec<u64> = (0..population.rows).collect();
    for numbers in by_customer.chunks(BARE_TRANSACTION_ROWS) {
        let key = |row: &Row| {
            [&row.customer.0[..], &encode_tail(row)]
                .concat()
                .try_into()
                .unwrap()
        };
        let rows = numbers.iter().map(|n| population.row(*n));
        let rows: Vec<_> = rows
            .map(|row| (key(&row), encode_value(&row.relationship)))
            .collect();
        took += insert(&database, BARE_ROWS, &rows);
    }
    let mut by_account = by_customer;
    by_account.sort_by_cached_key(|n| population.row(*n).account);
    for numbers in by_account.chunks(BARE_TRANSACTION_ROWS) {
        let key = |row: &Row| {
            let key = [&row.account.unwrap().0[..], &encode_account_tail(row)].concat();
            key.try_into().unwrap()
        };
        let rows = numbers.iter().map(|n| population.row(*n));
        let rows: Vec<_> = rows
            .map(|row| (key(&row), encode_account_value(&row.relationship)))
            .collect();
        took += insert(&database, BARE_ACCOUNTS, &rows);
    }
    took
}

fn insert<const N: usize>(
    database: &Database,
    table: TableDefinition<[u8; N], [u8; 4]>,
    rows: &[([u8; N], [u8; 4])],
) -> Duration {
    let began = Instant::now();
    let transaction = database.begin_write().unwrap();
    {
        let mut table = transaction.open_table(table).unwrap();
        for (key, value) in rows {
            table.insert(*key, *value).unwrap();
        }
    }
    transaction.commit().unwrap();
    began.elapsed()
}
