//! The tables of the file. Each generation has three of its own, so that a whole set is appended to its end
//! and removed by dropping them: rows by customer, rows by account, and the pages of their filters.

use super::failed;
use super::filter::{Address, Filter, Needle};
use crate::domain::relationship::SetId;
use crate::index::IndexError;
use crate::index::layout::{
    ACCOUNT_TAIL_BYTES, ACCOUNT_VALUE_BYTES, AccountTail, Generation, IndexState, Marker, Row, RowWrite,
    SetState, TAIL_BYTES, Tail, VALUE_BYTES, decode_generation, decode_set, encode_account_tail,
    encode_account_value, encode_generation, encode_tail, encode_value,
};
use crate::pseudonym::{AccountKey, CustomerKey};
use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, TableHandle, WriteTransaction};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// Of the arrangement of the tables. A file of another is refused.
const FILE_VERSION: u8 = 2;

pub const CUSTOMER_BYTES: usize = 16;
pub const ACCOUNT_BYTES: usize = 10;
pub const ROW_KEY_BYTES: usize = CUSTOMER_BYTES + TAIL_BYTES;
pub const ACCOUNT_ROW_KEY_BYTES: usize = ACCOUNT_BYTES + ACCOUNT_TAIL_BYTES;
pub type RowKey = [u8; ROW_KEY_BYTES];
pub type RowValue = [u8; VALUE_BYTES];
pub type AccountRowKey = [u8; ACCOUNT_ROW_KEY_BYTES];
pub type AccountRowValue = [u8; ACCOUNT_VALUE_BYTES];
/// Of a filter's page: kind (1) | layer (1) | page (4).
type PageKey = [u8; 6];

const FORMAT: TableDefinition<(), u8> = TableDefinition::new("format");
pub const SETS: TableDefinition<[u8; 4], &[u8]> = TableDefinition::new("sets");
pub const MARKER: TableDefinition<(), &[u8]> = TableDefinition::new("marker");
/// Every generation that has tables, with its [`Shape`].
const GENERATIONS: TableDefinition<[u8; 8], &[u8]> = TableDefinition::new("generations");

/// What is stored of a generation beside its rows.
#[derive(Serialize, Deserialize)]
struct Shape {
    loaded: bool,
    customer_pages: Vec<u32>,
    account_pages: Vec<u32>,
}

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

    pub fn relationships(&self) -> TableDefinition<'_, RowKey, RowValue> {
        TableDefinition::new(&self.relationships)
    }

    pub fn accounts(&self) -> TableDefinition<'_, AccountRowKey, AccountRowValue> {
        TableDefinition::new(&self.accounts)
    }

    fn filters(&self) -> TableDefinition<'_, PageKey, &'static [u8]> {
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
    transaction.open_table(GENERATIONS).map_err(failed)?;
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
    let mut state = IndexState {
        marker: marker.transpose()?,
        ..IndexState::default()
    };
    let sets = transaction.open_table(SETS).map_err(failed)?;
    for entry in sets.iter().map_err(failed)? {
        let (set, bytes) = entry.map_err(failed)?;
        let (set, known) = (decode_set(set.value())?, SetState::decode(bytes.value())?);
        state.sets.insert(set, known);
    }
    Ok(state)
}

/// What the writer knows of a generation.
pub struct Filters {
    /// False from the beginning of a load to its end: rows may be missing, and the filters do not know them.
    pub loaded: bool,
    pub customers: Filter,
    pub accounts: Filter,
}

/// Every generation that has tables.
pub type Generations = HashMap<(SetId, Generation), Filters>;

impl Filters {
    pub fn empty(loaded: bool) -> Self {
        Self {
            loaded,
            customers: Filter::default(),
            accounts: Filter::default(),
        }
    }

    fn filter(&mut self, kind: Kind) -> &mut Filter {
        match kind {
            Kind::Customers => &mut self.customers,
            Kind::Accounts => &mut self.accounts,
        }
    }
}

/// Which filter a page belongs to.
#[derive(Clone, Copy)]
pub enum Kind {
    Customers = 0,
    Accounts = 1,
}

pub fn read_generations(transaction: &ReadTransaction) -> Result<Generations, IndexError> {
    let table = transaction.open_table(GENERATIONS).map_err(failed)?;
    let mut generations = Generations::new();
    for entry in table.iter().map_err(failed)? {
        let (key, shape) = entry.map_err(failed)?;
        let key = decode_generation(key.value())?;
        let shape: Shape =
            postcard::from_bytes(shape.value()).map_err(|_| IndexError::Format("generation"))?;
        generations.insert(key, read_filters(transaction, key, &shape)?);
    }
    Ok(generations)
}

pub fn list_generations(transaction: &ReadTransaction) -> Result<Vec<(SetId, Generation)>, IndexError> {
    let table = transaction.open_table(GENERATIONS).map_err(failed)?;
    let generations = table.iter().map_err(failed)?;
    let key = |entry: redb::Result<(redb::AccessGuard<[u8; 8]>, _)>| {
        decode_generation(entry.map_err(failed)?.0.value())
    };
    generations.map(key).collect()
}

fn read_filters(
    transaction: &ReadTransaction,
    (set, generation): (SetId, Generation),
    shape: &Shape,
) -> Result<Filters, IndexError> {
    let mut filters = Filters {
        loaded: shape.loaded,
        customers: Filter::with_pages(&shape.customer_pages),
        accounts: Filter::with_pages(&shape.account_pages),
    };
    let names = Names::of(set, generation);
    let Some(table) = if_there(transaction.open_table(names.filters()))? else {
        return Ok(filters);
    };
    for entry in table.iter().map_err(failed)? {
        let (key, bytes) = entry.map_err(failed)?;
        let [kind, layer, page @ ..] = key.value();
        let kind = if kind == 0 {
            Kind::Customers
        } else {
            Kind::Accounts
        };
        let at = Address {
            layer,
            page: u32::from_be_bytes(page),
        };
        if !filters.filter(kind).put_page(at, bytes.value()) {
            return Err(IndexError::Format("page of a filter"));
        }
    }
    Ok(filters)
}

pub fn write_shape(
    transaction: &WriteTransaction,
    set: SetId,
    generation: Generation,
    filters: &Filters,
) -> Result<(), IndexError> {
    let shape = Shape {
        loaded: filters.loaded,
        customer_pages: filters.customers.pages(),
        account_pages: filters.accounts.pages(),
    };
    let shape = postcard::to_stdvec(&shape).map_err(|_| IndexError::Format("generation"))?;
    let mut table = transaction.open_table(GENERATIONS).map_err(failed)?;
    let key = encode_generation(set, generation);
    table.insert(key, shape.as_slice()).map(drop).map_err(failed)
}

pub fn write_pages(
    transaction: &WriteTransaction,
    names: &Names,
    kind: Kind,
    filter: &Filter,
    changed: impl IntoIterator<Item = Address>,
) -> Result<(), IndexError> {
    let mut table = transaction.open_table(names.filters()).map_err(failed)?;
    for at in changed {
        let [a, b, c, d] = at.page.to_be_bytes();
        let key = [kind as u8, at.layer, a, b, c, d];
        table.insert(key, filter.page(at).as_slice()).map_err(failed)?;
    }
    Ok(())
}

pub fn drop_generation(
    transaction: &WriteTransaction,
    set: SetId,
    generation: Generation,
) -> Result<(), IndexError> {
    let names = Names::of(set, generation);
    transaction.delete_table(names.relationships()).map_err(failed)?;
    transaction.delete_table(names.accounts()).map_err(failed)?;
    transaction.delete_table(names.filters()).map_err(failed)?;
    let mut table = transaction.open_table(GENERATIONS).map_err(failed)?;
    table
        .remove(encode_generation(set, generation))
        .map(drop)
        .map_err(failed)
}

/// Writes rows anywhere in a generation, with the bits that announce them.
pub fn write_rows(
    transaction: &WriteTransaction,
    set: SetId,
    generation: Generation,
    filters: &mut Filters,
    writes: &[RowWrite],
) -> Result<(), IndexError> {
    let names = Names::of(set, generation);
    write_relationships(transaction, &names, writes)?;
    write_accounts(transaction, &names, writes)?;
    let shape = (filters.customers.pages(), filters.accounts.pages());
    let put = |write: &RowWrite| matches!(write, RowWrite::Put(_)).then_some(*write.row());
    let rows = || writes.iter().filter_map(put);
    let customers = rows().map(|row| Needle::of(&row.customer.0));
    let changed: BTreeSet<_> = customers.filter_map(|key| filters.customers.add(&key)).collect();
    write_pages(transaction, &names, Kind::Customers, &filters.customers, changed)?;
    let accounts = rows().filter_map(|row| Some(Needle::of(&row.account?.0)));
    let changed: BTreeSet<_> = accounts.filter_map(|key| filters.accounts.add(&key)).collect();
    write_pages(transaction, &names, Kind::Accounts, &filters.accounts, changed)?;
    if shape != (filters.customers.pages(), filters.accounts.pages()) {
        write_shape(transaction, set, generation, filters)?;
    }
    Ok(())
}

fn write_relationships(
    transaction: &WriteTransaction,
    names: &Names,
    writes: &[RowWrite],
) -> Result<(), IndexError> {
    let mut table = transaction.open_table(names.relationships()).map_err(failed)?;
    for write in writes {
        let key = row_key(write.row());
        match write {
            RowWrite::Put(row) => table
                .insert(key, encode_value(&row.relationship))
                .map_err(failed)?,
            RowWrite::Delete(_) => table.remove(key).map_err(failed)?,
        };
    }
    Ok(())
}

fn write_accounts(
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
                .insert(key, encode_account_value(&row.relationship))
                .map_err(failed)?,
            RowWrite::Delete(_) => table.remove(key).map_err(failed)?,
        };
    }
    Ok(())
}
