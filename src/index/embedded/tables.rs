//! The tables of the file. Each generation has three of its own, so that a whole set is appended to its end
//! and removed by dropping them: rows by customer, rows by account, and the pages of their filters.

use super::{failed, generations};
use crate::domain::relationship::SetId;
use crate::index::IndexError;
use crate::index::layout::{
    ACCOUNT_TAIL_BYTES, ACCOUNT_VALUE_BYTES, AccountTail, Generation, IndexState, Marker, Row, RowWrite,
    SetState, TAIL_BYTES, Tail, VALUE_BYTES, decode_state_key, encode_account_tail, encode_account_value,
    encode_tail, encode_value,
};
use crate::pseudonym::{AccountKey, CustomerKey};
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, TableHandle, WriteTransaction};

/// Of the arrangement of the tables. A file of another is refused.
const FILE_VERSION: u8 = 3;

pub const CUSTOMER_BYTES: usize = 16;
pub const ACCOUNT_BYTES: usize = 10;
pub const ROW_KEY_BYTES: usize = CUSTOMER_BYTES + TAIL_BYTES;
pub const ACCOUNT_ROW_KEY_BYTES: usize = ACCOUNT_BYTES + ACCOUNT_TAIL_BYTES;
pub type RowKey = [u8; ROW_KEY_BYTES];
pub type RowValue = [u8; VALUE_BYTES];
pub type AccountRowKey = [u8; ACCOUNT_ROW_KEY_BYTES];
pub type AccountRowValue = [u8; ACCOUNT_VALUE_BYTES];
/// As redb has it: an array by value would be read and compared byte by byte.
pub type Stored<T> = &'static T;
/// Of a filter's page: kind (1) | layer (1) | page (4).
pub type PageKey = [u8; 6];

const FORMAT: TableDefinition<(), u8> = TableDefinition::new("format");
pub const SETS: TableDefinition<[u8; 4], &[u8]> = TableDefinition::new("sets");
pub const MARKER: TableDefinition<(), &[u8]> = TableDefinition::new("marker");
/// The names of a generation's tables.
pub struct Names {
    relationships: String,
    accounts: String,
    filters: String,
}

impl Names {
    pub fn of(set: SetId, generation: Generation) -> Self {
        let name = |kind| format!("{kind}/{set}/{generation}");
        Self {
            relationships: name("relationships"),
            accounts: name("accounts"),
            filters: name("filters"),
        }
    }

    pub fn relationships(&self) -> TableDefinition<'_, Stored<RowKey>, Stored<RowValue>> {
        TableDefinition::new(&self.relationships)
    }

    pub fn accounts(&self) -> TableDefinition<'_, Stored<AccountRowKey>, Stored<AccountRowValue>> {
        TableDefinition::new(&self.accounts)
    }

    pub fn filters(&self) -> TableDefinition<'_, PageKey, &'static [u8]> {
        TableDefinition::new(&self.filters)
    }
}

/// A table that is not there has no rows.
pub fn if_there<T>(opened: Result<T, TableError>) -> Result<Option<T>, IndexError> {
    match opened {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(cause) => Err(failed(cause)),
    }
}

pub fn row_key(row: &Row) -> RowKey {
    let mut key = [0; ROW_KEY_BYTES];
    key[..CUSTOMER_BYTES].copy_from_slice(&row.customer.0);
    key[CUSTOMER_BYTES..].copy_from_slice(&encode_tail(row));
    key
}

pub fn account_row_key(row: &Row) -> Option<AccountRowKey> {
    let mut key = [0; ACCOUNT_ROW_KEY_BYTES];
    key[..ACCOUNT_BYTES].copy_from_slice(&row.account?.0);
    key[ACCOUNT_BYTES..].copy_from_slice(&encode_account_tail(row));
    Some(key)
}

pub fn split_row_key(key: &RowKey) -> (CustomerKey, Tail) {
    let (mut customer, mut tail) = ([0; CUSTOMER_BYTES], [0; TAIL_BYTES]);
    customer.copy_from_slice(&key[..CUSTOMER_BYTES]);
    tail.copy_from_slice(&key[CUSTOMER_BYTES..]);
    (CustomerKey(customer), tail)
}

pub fn split_account_row_key(key: &AccountRowKey) -> (AccountKey, AccountTail) {
    let (mut account, mut tail) = ([0; ACCOUNT_BYTES], [0; ACCOUNT_TAIL_BYTES]);
    account.copy_from_slice(&key[..ACCOUNT_BYTES]);
    tail.copy_from_slice(&key[ACCOUNT_BYTES..]);
    (AccountKey(account), tail)
}

/// Refuses a file of another arrangement, and marks a new one.
pub fn check_format(transaction: &WriteTransaction) -> Result<(), IndexError> {
    let mut tables = transaction.list_tables().map_err(failed)?;
    let new = tables.next().is_none();
    drop(tables);
    let mut table = transaction.open_table(FORMAT).map_err(failed)?;
    let found = table.get(()).map_err(failed)?.map(|version| version.value());
    match found {
        Some(FILE_VERSION) => Ok(()),
        None if new => table.insert((), FILE_VERSION).map(drop).map_err(failed),
        _ => Err(IndexError::Format(
            "file (remove it, and it is built anew from the journal)",
        )),
    }
}

/// Makes the tables that every file has.
pub fn make(transaction: &WriteTransaction) -> Result<(), IndexError> {
    transaction.open_table(SETS).map_err(failed)?;
    transaction.open_table(MARKER).map_err(failed)?;
    generations::make(transaction)?;
    Ok(())
}

/// Drops every table but the one that names the format.
pub fn drop_all(transaction: &WriteTransaction) -> Result<(), IndexError> {
    let tables: Vec<_> = transaction.list_tables().map_err(failed)?.collect();
    for table in tables.into_iter().filter(|table| table.name() != FORMAT.name()) {
        transaction.delete_table(table).map_err(failed)?;
    }
    Ok(())
}

pub fn read_state(transaction: &ReadTransaction) -> Result<IndexState, IndexError> {
    let marker = transaction.open_table(MARKER).map_err(failed)?;
    let marker = marker
        .get(())
        .map_err(failed)?
        .map(|bytes| Marker::decode(bytes.value()));
    let mut state = IndexState::marked(marker.transpose()?);
    let sets = transaction.open_table(SETS).map_err(failed)?;
    for entry in sets.iter().map_err(failed)? {
        let (set, bytes) = entry.map_err(failed)?;
        state.put(decode_state_key(set.value())?, SetState::decode(bytes.value())?);
    }
    Ok(state)
}

/// Writes the rows that customers are found by.
pub fn write_relationships(
    transaction: &WriteTransaction,
    names: &Names,
    writes: &[RowWrite],
) -> Result<(), IndexError> {
    let mut table = transaction.open_table(names.relationships()).map_err(failed)?;
    for write in writes {
        let key = row_key(write.row());
        match write {
            RowWrite::Put(row) => table
                .insert(&key, &encode_value(&row.relationship))
                .map_err(failed)?,
            RowWrite::Delete(_) => table.remove(&key).map_err(failed)?,
        };
    }
    Ok(())
}

/// Writes the rows that accounts are found by.
pub fn write_accounts(
    transaction: &WriteTransaction,
    names: &Names,
    writes: &[RowWrite],
) -> Result<(), IndexError> {
    let mut table = transaction.open_table(names.accounts()).map_err(failed)?;
    for write in writes {
        let Some(key) = account_row_key(write.row()) else {
            continue;
        };
        match write {
            RowWrite::Put(row) => table
                .insert(&key, &encode_account_value(&row.relationship))
                .map_err(failed)?,
            RowWrite::Delete(_) => table.remove(&key).map_err(failed)?,
        };
    }
    Ok(())
}
