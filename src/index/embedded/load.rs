//! A whole set on its way into a generation: appended to tables of its own in short transactions, between
//! which others write.

use super::filter::{Filter, Needle};
use super::generations::{Filters, Kind, write_pages, write_shape};
use super::tables::{
    ACCOUNT_ROW_KEY_BYTES, AccountRowKey, AccountRowValue, Names, RowKey, RowValue, Stored, account_row_key,
    row_key,
};
use super::{Embedded, Step, failed};
use crate::domain::relationship::SetId;
use crate::index::layout::{
    ACCOUNT_VALUE_BYTES, Generation, Row, SetState, Side, encode_account_value, encode_value,
};
use crate::index::{Expected, IndexError};
use crate::spill::{Merged, Sorter};
use redb::{CursorError, Durability, Table, TableDefinition, WriteTransaction};
use std::io;
use std::ops::Bound;
use std::sync::Arc;

/// Rows in one transaction: short enough that others wait little for their turn.
const TRANSACTION_ROWS: usize = 25_000;
/// Every so many transactions of rows one is durable, so that none has much to wait for.
const DURABLE_EVERY: u64 = 4;
/// Of the sorter of account rows.
const SORTER_BYTES: usize = 32 << 20;
/// Room in a filter beyond what is expected: for what changes later.
const SPARE: u64 = 16;

/// A whole set that is being loaded. Dropped unfinished, it leaves rows that never answer and that the next
/// load of the set removes.
pub struct Load {
    engine: Arc<Embedded>,
    set: SetId,
    generation: Generation,
    pending: Vec<Row>,
    /// Transactions so far.
    steps: u64,
    customers: Filter,
    accounts: Filter,
    /// Rows come in the order of customers; those by account are appended when all have come.
    account_rows: Sorter,
}

impl Load {
    /// Begins a generation anew. What no state names any more goes: loads of this set that were cut off.
    pub async fn begin(
        engine: Arc<Embedded>,
        set: SetId,
        generation: Generation,
        expected: Expected,
    ) -> Result<Self, IndexError> {
        let begun = Arc::clone(&engine);
        let begin = move || {
            begun.step(Durability::None, |step| {
                for unnamed in unnamed_generations(step, set, Side::of(generation)) {
                    step.remove(set, unnamed)?;
                }
                if !step.generations.contains_key(&(set, generation)) {
                    let filters = Filters::empty(false);
                    write_shape(step.transaction, set, generation, &filters)?;
                    step.generations.insert((set, generation), filters);
                }
                Ok(())
            })
        };
        engine.workers.run(begin).await??;
        let room = |keys: u64| Filter::for_keys(keys + keys / SPARE);
        Ok(Self {
            account_rows: Sorter::new(&engine.directory, SORTER_BYTES),
            customers: room(expected.customers),
            accounts: room(expected.accounts),
            pending: Vec::new(),
            steps: 0,
            engine,
            set,
            generation,
        })
    }

    /// Takes rows; fastest in the order of customer, agreement and first day.
    pub async fn write(mut self, rows: Vec<Row>) -> Result<Self, IndexError> {
        self.pending.extend(rows);
        if self.pending.len() < TRANSACTION_ROWS {
            return Ok(self);
        }
        let workers = self.engine.workers.clone();
        workers.run(move || self.append_rows().map(|()| self)).await?
    }

    /// Ends the load: all is durable, and the generation may be switched to.
    pub async fn finish(mut self) -> Result<(), IndexError> {
        let workers = self.engine.workers.clone();
        let finish = move || {
            self.append_rows()?;
            let sorter = std::mem::replace(&mut self.account_rows, Sorter::new(&self.engine.directory, 0));
            let mut merged = sorter.finish().map_err(spill_failed)?;
            let mut rows = next_accounts(&mut merged)?;
            while rows.len() == TRANSACTION_ROWS {
                rows = self.append_accounts(&rows, &mut merged)?;
            }
            self.end(&rows)
        };
        workers.run(finish).await?
    }

    /// Appends account rows; while they are written, the next are merged.
    fn append_accounts(
        &mut self,
        rows: &[(AccountRowKey, AccountRowValue)],
        merged: &mut Merged,
    ) -> Result<Vec<(AccountRowKey, AccountRowValue)>, IndexError> {
        let names = Names::of(self.set, self.generation);
        let append = |step: &mut Step| append(step.transaction, names.accounts(), rows);
        let durability = self.next_durability();
        std::thread::scope(|scope| {
            let next = scope.spawn(|| next_accounts(merged));
            self.engine.step(durability, append)?;
            next.join().unwrap_or_else(|_| Err(merge_panicked()))
        })
    }

    /// The last transaction: the last account rows, and the filters by which all is found.
    fn end(self, rows: &[(AccountRowKey, AccountRowValue)]) -> Result<(), IndexError> {
        let Self {
            engine,
            set,
            generation,
            customers,
            accounts,
            ..
        } = self;
        let names = Names::of(set, generation);
        engine.step(Durability::Immediate, |step| {
            let transaction = step.transaction;
            append(transaction, names.accounts(), rows)?;
            let filters = step.filters(set, generation)?;
            let added = filters.customers.join(customers);
            write_pages(transaction, &names, Kind::Customers, &filters.customers, added)?;
            let added = filters.accounts.join(accounts);
            write_pages(transaction, &names, Kind::Accounts, &filters.accounts, added)?;
            filters.loaded = true;
            write_shape(transaction, set, generation, filters)
        })
    }

    fn next_durability(&mut self) -> Durability {
        self.steps += 1;
        if self.steps.is_multiple_of(DURABLE_EVERY) {
            Durability::Immediate
        } else {
            Durability::None
        }
    }

    fn append_rows(&mut self) -> Result<(), IndexError> {
        let pending = std::mem::take(&mut self.pending);
        for row in &pending {
            self.customers.add(&Needle::of(&row.customer.0));
            if let (Some(account), Some(key)) = (row.account, account_row_key(row)) {
                self.accounts.add(&Needle::of(&account.0));
                let value = encode_account_value(&row.relationship);
                let mut record = [0; ACCOUNT_ROW_KEY_BYTES + ACCOUNT_VALUE_BYTES];
                record[..ACCOUNT_ROW_KEY_BYTES].copy_from_slice(&key);
                record[ACCOUNT_ROW_KEY_BYTES..].copy_from_slice(&value);
                self.account_rows.push(&record).map_err(spill_failed)?;
            }
        }
        let rows = pending
            .iter()
            .map(|row| (row_key(row), encode_value(&row.relationship)));
        let rows: Vec<(RowKey, RowValue)> = rows.collect();
        let names = Names::of(self.set, self.generation);
        let append = |step: &mut Step| append(step.transaction, names.relationships(), &rows);
        let durability = self.next_durability();
        self.engine.step(durability, append)
    }
}

/// The generations of a set on a side that no state names. The other side is another load's.
fn unnamed_generations(step: &Step, set: SetId, side: Side) -> Vec<Generation> {
    let states = [step.state.sets.get(&set), step.state.others.get(&set)];
    let named = |generation: &Generation| {
        let names = |known: &SetState| known.generation == *generation || known.retired.contains(generation);
        states.into_iter().flatten().any(names)
    };
    let generations = step
        .generations
        .keys()
        .filter(|(of, generation)| *of == set && Side::of(*generation) == side);
    let generations = generations.map(|(_, generation)| *generation);
    generations.filter(|generation| !named(generation)).collect()
}

fn merge_panicked() -> IndexError {
    IndexError::Unavailable("account rows could not be merged".to_owned())
}

fn spill_failed(cause: io::Error) -> IndexError {
    IndexError::Unavailable(format!("account rows cannot be sorted: {cause}"))
}

/// The account rows of the next transaction. Of several with one key the last stands.
fn next_accounts(merged: &mut Merged) -> Result<Vec<(AccountRowKey, AccountRowValue)>, IndexError> {
    let mut rows: Vec<(AccountRowKey, AccountRowValue)> = Vec::with_capacity(TRANSACTION_ROWS);
    while rows.len() < TRANSACTION_ROWS
        && let Some(record) = merged.next_record().map_err(spill_failed)?
    {
        let (mut key, mut value) = ([0; ACCOUNT_ROW_KEY_BYTES], [0; ACCOUNT_VALUE_BYTES]);
        key.copy_from_slice(&record[..ACCOUNT_ROW_KEY_BYTES]);
        value.copy_from_slice(&record[ACCOUNT_ROW_KEY_BYTES..]);
        match rows.last_mut() {
            Some(last) if last.0 == key => last.1 = value,
            _ => rows.push((key, value)),
        }
    }
    Ok(rows)
}

/// Appends rows to a table; one that belongs before its end is put where it belongs.
fn append<const K: usize, const V: usize>(
    transaction: &WriteTransaction,
    table: TableDefinition<Stored<[u8; K]>, Stored<[u8; V]>>,
    rows: &[([u8; K], [u8; V])],
) -> Result<(), IndexError> {
    let mut table = transaction.open_table(table).map_err(failed)?;
    let mut rest = rows;
    while !rest.is_empty() {
        let appended = append_ascending(&mut table, rest)?;
        rest = &rest[appended..];
        if let Some(((key, value), others)) = rest.split_first() {
            table.insert(key, value).map_err(failed)?;
            rest = others;
        }
    }
    Ok(())
}

/// Appends rows for as long as they ascend; gives how many.
fn append_ascending<const K: usize, const V: usize>(
    table: &mut Table<Stored<[u8; K]>, Stored<[u8; V]>>,
    rows: &[([u8; K], [u8; V])],
) -> Result<usize, IndexError> {
    let mut end = table
        .upper_bound_mut(Bound::<&[u8; K]>::Unbounded)
        .map_err(failed)?;
    let mut appended = 0;
    for (key, value) in rows {
        match end.insert_before(key, value) {
            Ok(()) => appended += 1,
            Err(CursorError::UnorderedKey) => break,
            Err(CursorError::Storage(cause)) => return Err(failed(cause)),
            Err(cause) => return Err(IndexError::Unavailable(cause.to_string())),
        }
    }
    end.close().map_err(failed)?;
    Ok(appended)
}
