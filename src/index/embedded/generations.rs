//! What the writer knows of each generation: whether it is whole, and its filters. Beside the rows they are
//! stored in pages, so that a change stores little.

use super::failed;
use super::filter::{Address, Filter, Needle};
use super::tables::{Names, if_there, write_accounts, write_relationships};
use crate::domain::relationship::SetId;
use crate::index::IndexError;
use crate::index::layout::{Generation, RowWrite, decode_generation, encode_generation};
use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, HashMap};

/// Every generation that has tables, with its [`Shape`].
const GENERATIONS: TableDefinition<[u8; 8], &[u8]> = TableDefinition::new("generations");

/// What is stored of a generation beside its rows.
#[derive(Serialize, Deserialize)]
struct Shape {
    loaded: bool,
    customer_pages: Vec<u32>,
    account_pages: Vec<u32>,
}

pub fn make(transaction: &WriteTransaction) -> Result<(), IndexError> {
    transaction.open_table(GENERATIONS).map(drop).map_err(failed)
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

pub fn read_all(transaction: &ReadTransaction) -> Result<Generations, IndexError> {
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

pub fn list(transaction: &ReadTransaction) -> Result<Vec<(SetId, Generation)>, IndexError> {
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
