//! What lookups read: a state, one snapshot of the file, and the filters of the generations that answer.

use super::failed;
use super::filter::{Layer, Needle};
use super::generations::Generations;
use super::tables::{
    ACCOUNT_BYTES, ACCOUNT_ROW_KEY_BYTES, AccountRowKey, AccountRowValue, CUSTOMER_BYTES, Names,
    ROW_KEY_BYTES, RowKey, RowValue, Stored, if_there, split_account_row_key, split_row_key,
};
use crate::domain::relationship::SetId;
use crate::index::layout::{
    FoundAccount, FoundRow, Generation, IndexState, decode_account_of, decode_row_of,
};
use crate::index::{IndexError, ScannedRow};
use crate::pseudonym::{AccountKey, CustomerKey};
use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable};
use std::ops::Bound;
use std::sync::{Arc, OnceLock};

type Relationships = ReadOnlyTable<Stored<RowKey>, Stored<RowValue>>;
type Accounts = ReadOnlyTable<Stored<AccountRowKey>, Stored<AccountRowValue>>;

/// A state and a snapshot that belong together. Every write that changes either publishes another; a view
/// that is held on to keeps the pages alive that were freed since.
pub struct View {
    pub state: Arc<IndexState>,
    transaction: ReadTransaction,
    answering: Vec<Answering>,
    /// The filters of all that answers, with the place of what they are of.
    customers: Vec<(usize, Layer)>,
    accounts: Vec<(usize, Layer)>,
}

/// A generation that answers. Its tables are opened by the first lookup that needs them.
struct Answering {
    set: SetId,
    generation: Generation,
    /// `None`: there is no such table, so it has no rows.
    relationships: OnceLock<Option<Relationships>>,
    accounts: OnceLock<Option<Accounts>>,
}

impl View {
    /// Takes a snapshot. Called by the one writer, so nothing is committed between state and snapshot.
    pub fn new(
        database: &Database,
        state: IndexState,
        generations: &Generations,
    ) -> Result<Self, IndexError> {
        let mut view = Self {
            transaction: database.begin_read().map_err(failed)?,
            answering: Vec::with_capacity(state.sets.len()),
            customers: Vec::with_capacity(state.sets.len()),
            accounts: Vec::with_capacity(state.sets.len()),
            state: Arc::default(),
        };
        for (set, known) in &state.sets {
            let Some(filters) = generations.get(&(*set, known.generation)) else {
                continue;
            };
            let at = view.answering.len();
            let layers = filters
                .customers
                .layers()
                .iter()
                .map(|layer| (at, Arc::clone(layer)));
            view.customers.extend(layers);
            let layers = filters
                .accounts
                .layers()
                .iter()
                .map(|layer| (at, Arc::clone(layer)));
            view.accounts.extend(layers);
            view.answering.push(Answering {
                set: *set,
                generation: known.generation,
                relationships: OnceLock::new(),
                accounts: OnceLock::new(),
            });
        }
        view.state = Arc::new(state);
        Ok(view)
    }

    /// All rows of a customer in the generations that answer.
    pub fn relationships(&self, customer: &CustomerKey) -> Result<Vec<FoundRow>, IndexError> {
        self.state.answerable().ok_or(IndexError::NotBuilt)?;
        let mut found = Vec::new();
        for at in may_know(&self.customers, &Needle::of(&customer.0)) {
            let part = &self.answering[at];
            let open = || open_relationships(&self.transaction, part.set, part.generation);
            if let Some(table) = opened(&part.relationships, open)? {
                rows_under(table, customer, part.set, part.generation, &mut found)?;
            }
        }
        Ok(found)
    }

    /// All rows of an account in the generations that answer.
    pub fn accounts(&self, account: &AccountKey) -> Result<Vec<FoundAccount>, IndexError> {
        self.state.answerable().ok_or(IndexError::NotBuilt)?;
        let mut found = Vec::new();
        for at in may_know(&self.accounts, &Needle::of(&account.0)) {
            let part = &self.answering[at];
            let open = || open_accounts(&self.transaction, part.set, part.generation);
            if let Some(table) = opened(&part.accounts, open)? {
                accounts_under(table, account, part.set, part.generation, &mut found)?;
            }
        }
        Ok(found)
    }
}

/// Where the filters do not deny the key, each place once: the layers of one place follow each other.
fn may_know(filters: &[(usize, Layer)], key: &Needle) -> Vec<usize> {
    let known = filters.iter().filter(|(_, layer)| key.may_be_in(layer));
    let mut places: Vec<usize> = known.map(|(at, _)| *at).collect();
    places.dedup();
    places
}

fn opened<T>(
    table: &OnceLock<Option<T>>,
    open: impl FnOnce() -> Result<Option<T>, IndexError>,
) -> Result<Option<&T>, IndexError> {
    if table.get().is_none() {
        let opened = open()?;
        return Ok(table.get_or_init(|| opened).as_ref());
    }
    Ok(table.get().and_then(Option::as_ref))
}

pub fn open_relationships(
    transaction: &ReadTransaction,
    set: SetId,
    generation: Generation,
) -> Result<Option<Relationships>, IndexError> {
    if_there(transaction.open_table(Names::of(set, generation).relationships()))
}

pub fn open_accounts(
    transaction: &ReadTransaction,
    set: SetId,
    generation: Generation,
) -> Result<Option<Accounts>, IndexError> {
    if_there(transaction.open_table(Names::of(set, generation).accounts()))
}

/// Adds a customer's rows in one generation.
pub fn rows_under(
    table: &Relationships,
    customer: &CustomerKey,
    set: SetId,
    generation: Generation,
    found: &mut Vec<FoundRow>,
) -> Result<(), IndexError> {
    let mut first = [0; ROW_KEY_BYTES];
    first[..CUSTOMER_BYTES].copy_from_slice(&customer.0);
    // One way down the tree; a range would go down twice, once for its end.
    let mut cursor = table.lower_bound(Bound::Included(&first)).map_err(failed)?;
    while let Some((key, value)) = cursor.next().map_err(failed)? {
        let (of, tail) = split_row_key(key.value());
        if of != *customer {
            break;
        }
        found.push(decode_row_of(set, generation, &tail, value.value())?);
    }
    Ok(())
}

fn accounts_under(
    table: &Accounts,
    account: &AccountKey,
    set: SetId,
    generation: Generation,
    found: &mut Vec<FoundAccount>,
) -> Result<(), IndexError> {
    let mut first = [0; ACCOUNT_ROW_KEY_BYTES];
    first[..ACCOUNT_BYTES].copy_from_slice(&account.0);
    let mut cursor = table.lower_bound(Bound::Included(&first)).map_err(failed)?;
    while let Some((key, value)) = cursor.next().map_err(failed)? {
        let (of, tail) = split_account_row_key(key.value());
        if of != *account {
            break;
        }
        found.push(decode_account_of(set, generation, &tail, value.value())?);
    }
    Ok(())
}

/// Shows every row of a generation.
pub fn scan_generation(
    transaction: &ReadTransaction,
    set: SetId,
    generation: Generation,
    visit: &mut (dyn FnMut(ScannedRow) + Send),
) -> Result<(), IndexError> {
    if let Some(table) = open_relationships(transaction, set, generation)? {
        for entry in table.iter().map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            let (customer, tail) = split_row_key(key.value());
            let row = decode_row_of(set, generation, &tail, value.value())?;
            visit(ScannedRow::Relationship(customer, row));
        }
    }
    if let Some(table) = open_accounts(transaction, set, generation)? {
        for entry in table.iter().map_err(failed)? {
            let (key, value) = entry.map_err(failed)?;
            let (account, tail) = split_account_row_key(key.value());
            let row = decode_account_of(set, generation, &tail, value.value())?;
            visit(ScannedRow::Account(account, row));
        }
    }
    Ok(())
}
