//! The embedded engine: redb, one file, one process.

use super::layout::{
    ACCOUNT_FIELD_BYTES, ACCOUNT_VALUE_BYTES, FIELD_BYTES, FoundAccount, FoundRow, Generation, IndexState,
    Marker, Row, RowWrite, SetState, Side, VALUE_BYTES, decode_account, decode_row, decode_state_key,
    encode_account_field, encode_account_value, encode_field, encode_state_key, encode_value,
};
use super::owner::Owner;
use super::{CustomerRows, IndexError, ScannedRow};
use crate::domain::relationship::SetId;
use crate::pseudonym::{AccountKey, CustomerKey, Sought};
use arc_swap::ArcSwap;
use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

const CUSTOMER_BYTES: usize = 16;
const ACCOUNT_BYTES: usize = 10;
const ROW_KEY_BYTES: usize = CUSTOMER_BYTES + FIELD_BYTES;
const ACCOUNT_KEY_BYTES: usize = ACCOUNT_BYTES + ACCOUNT_FIELD_BYTES;

const RELATIONSHIPS: TableDefinition<[u8; ROW_KEY_BYTES], [u8; VALUE_BYTES]> =
    TableDefinition::new("relationships");
const ACCOUNTS: TableDefinition<[u8; ACCOUNT_KEY_BYTES], [u8; ACCOUNT_VALUE_BYTES]> =
    TableDefinition::new("accounts");
const SETS: TableDefinition<[u8; 4], &[u8]> = TableDefinition::new("sets");
const MARKER: TableDefinition<(), &[u8]> = TableDefinition::new("marker");

/// An index in a redb file.
pub struct Embedded {
    database: Database,
    state: ArcSwap<IndexState>,
    /// Held from reading the state to publishing its successor: redb lets the next writer in at the commit,
    /// which is a moment too early.
    writing: Mutex<()>,
    owner: OnceLock<Owner>,
}

impl From<redb::Error> for IndexError {
    fn from(cause: redb::Error) -> Self {
        Self::Unavailable(cause.to_string())
    }
}

/// redb has an error type for every step; the index has one.
fn failed(cause: impl Into<redb::Error>) -> IndexError {
    cause.into().into()
}

impl Embedded {
    /// Opens the file, or makes it. One process at a time. `cache_bytes` bounds the page cache.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<Self, IndexError> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(|cause| {
                IndexError::Unfit(format!("{} cannot be made: {cause}", directory.display()))
            })?;
        }
        let file = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path);
        let unfit = |cause| IndexError::Unfit(format!("{} cannot be opened: {cause}", path.display()));
        let file = file.map_err(unfit)?;
        let database = Database::builder()
            .set_cache_size(cache_bytes)
            .create_file(file)
            .map_err(failed)?;
        let transaction = database.begin_write().map_err(failed)?;
        let state = read_state(&transaction)?;
        transaction.open_table(RELATIONSHIPS).map_err(failed)?;
        transaction.open_table(ACCOUNTS).map_err(failed)?;
        transaction.commit().map_err(failed)?;
        Ok(Self {
            database,
            state: ArcSwap::from_pointee(state),
            writing: Mutex::new(()),
            owner: OnceLock::new(),
        })
    }

    /// From now on nothing is answered from another's index, or from one that lacks what it has to hold.
    pub fn claim(&self, owner: Owner) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let owner = self.owner.get_or_init(|| owner);
        let state = IndexState::clone(&self.state.load());
        self.state.store(Arc::new(state.judged_by(owner)));
    }

    pub fn state(&self) -> Arc<IndexState> {
        self.state.load_full()
    }

    pub fn find_relationships<T>(
        &self,
        customer: &Sought<CustomerKey>,
        held: impl Fn(&IndexState, Vec<FoundRow>) -> T,
    ) -> Result<T, IndexError> {
        self.read_consistently(|state, transaction| {
            let table = transaction.open_table(RELATIONSHIPS).map_err(failed)?;
            Ok(held(state, rows_under(&table, under_marker(customer, state)?)?))
        })
    }

    pub fn find_accounts<T>(
        &self,
        account: &Sought<AccountKey>,
        held: impl Fn(&IndexState, Vec<FoundAccount>) -> T,
    ) -> Result<T, IndexError> {
        self.read_consistently(|state, transaction| {
            let table = transaction.open_table(ACCOUNTS).map_err(failed)?;
            Ok(held(
                state,
                accounts_under(&table, under_marker(account, state)?)?,
            ))
        })
    }

    /// Reads by one state and one snapshot that belong together: rows of a generation are removed only
    /// after another state has taken its place, so if the state is the same after the snapshot was taken
    /// as before, the snapshot holds all the rows that the state names.
    fn read_consistently<T>(
        &self,
        read: impl Fn(&IndexState, &redb::ReadTransaction) -> Result<T, IndexError>,
    ) -> Result<T, IndexError> {
        loop {
            let state = self.state.load();
            state.answerable().ok_or(IndexError::NotBuilt)?;
            let transaction = self.database.begin_read().map_err(failed)?;
            if Arc::ptr_eq(&state, &self.state.load()) {
                return read(&state, &transaction);
            }
        }
    }

    pub fn rows_of(
        &self,
        set: SetId,
        generation: Generation,
        customers: &[CustomerKey],
    ) -> Result<Vec<CustomerRows>, IndexError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let table = transaction.open_table(RELATIONSHIPS).map_err(failed)?;
        let in_generation = |row: &FoundRow| row.set == set && row.generation == generation;
        customers
            .iter()
            .map(|customer| {
                let rows = rows_under(&table, customer)?.into_iter().filter(in_generation);
                Ok(rows.map(|row| (row.agreement, row.relationship)).collect())
            })
            .collect()
    }

    pub async fn write(
        self: &Arc<Self>,
        set: SetId,
        generation: Generation,
        writes: Vec<RowWrite>,
        then: Option<SetState>,
    ) -> Result<(), IndexError> {
        self.transact(move |transaction, state| {
            write_rows(transaction, set, generation, &writes)?;
            if let Some(set_state) = then {
                let mut sets = transaction.open_table(SETS).map_err(failed)?;
                let key = encode_state_key(set, Side::of(set_state.generation));
                sets.insert(key, set_state.encode()?.as_slice()).map_err(failed)?;
                state.put(set, set_state);
            }
            Ok(())
        })
        .await
    }

    pub async fn clear(self: &Arc<Self>) -> Result<(), IndexError> {
        self.transact(|transaction, state| {
            *state = IndexState::default();
            transaction.delete_table(MARKER).map_err(failed)?;
            transaction.delete_table(SETS).map_err(failed)?;
            transaction.delete_table(RELATIONSHIPS).map_err(failed)?;
            transaction.delete_table(ACCOUNTS).map_err(failed)?;
            transaction.open_table(RELATIONSHIPS).map_err(failed)?;
            transaction.open_table(ACCOUNTS).map_err(failed)?;
            Ok(())
        })
        .await
    }

    pub async fn complete(self: &Arc<Self>, marker: Marker) -> Result<(), IndexError> {
        self.transact(move |transaction, state| {
            let mut table = transaction.open_table(MARKER).map_err(failed)?;
            table.insert((), marker.encode().as_slice()).map_err(failed)?;
            state.marker = Some(marker);
            Ok(())
        })
        .await
    }

    pub async fn answer_by(self: &Arc<Self>, marker: Marker) -> Result<(), IndexError> {
        self.transact(move |transaction, state| {
            let present = state.marker.filter(|present| present.stamp() == marker.stamp());
            present.ok_or(IndexError::NotBuilt)?;
            let mut table = transaction.open_table(MARKER).map_err(failed)?;
            table.insert((), marker.encode().as_slice()).map_err(failed)?;
            *state = std::mem::take(state).marked_anew(marker);
            Ok(())
        })
        .await
    }

    /// In steps, so that deliveries come in between.
    pub async fn remove_side(self: &Arc<Self>, side: Side) -> Result<(), IndexError> {
        for first in 0..=u8::MAX {
            self.transact(move |transaction, _| remove_rows_under(transaction, first, side))
                .await?;
        }
        self.transact(move |transaction, state| {
            let mut sets = transaction.open_table(SETS).map_err(failed)?;
            let gone = |known: &SetState| Side::of(known.generation) == side;
            for (set, _) in state.others.iter().filter(|(_, known)| gone(known)) {
                sets.remove(encode_state_key(*set, side)).map_err(failed)?;
            }
            state.others.retain(|_, known| !gone(known));
            Ok(())
        })
        .await
    }

    pub fn scan(&self, visit: &mut (dyn FnMut(ScannedRow) + Send)) -> Result<(), IndexError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        for entry in transaction
            .open_table(RELATIONSHIPS)
            .map_err(failed)?
            .iter()
            .map_err(failed)?
        {
            let (key, value) = entry.map_err(failed)?;
            let (customer, field) = split::<CUSTOMER_BYTES>(&key.value())?;
            visit(ScannedRow::Relationship(
                CustomerKey(customer),
                decode_row(field.as_slice(), &value.value())?,
            ));
        }
        for entry in transaction
            .open_table(ACCOUNTS)
            .map_err(failed)?
            .iter()
            .map_err(failed)?
        {
            let (key, value) = entry.map_err(failed)?;
            let (account, field) = split::<ACCOUNT_BYTES>(&key.value())?;
            visit(ScannedRow::Account(
                AccountKey(account),
                decode_account(field.as_slice(), &value.value())?,
            ));
        }
        Ok(())
    }

    /// Runs one durable write transaction off the async threads; the state changes when it has committed.
    async fn transact(
        self: &Arc<Self>,
        change: impl FnOnce(&WriteTransaction, &mut IndexState) -> Result<(), IndexError> + Send + 'static,
    ) -> Result<(), IndexError> {
        let engine = Arc::clone(self);
        let work = move || {
            let _one_at_a_time = engine.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let transaction = engine.database.begin_write().map_err(failed)?;
            let mut state = IndexState::clone(&engine.state.load());
            change(&transaction, &mut state)?;
            if let Some(owner) = engine.owner.get() {
                state = state.judged_by(owner);
            }
            let state_changed = state != **engine.state.load();
            if state_changed {
                commit_and_publish(&engine.state, transaction, state)
            } else {
                transaction.commit().map_err(failed)
            }
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|cause| IndexError::Unavailable(cause.to_string()))?
    }
}

/// What is looked for, by the key whose rows answer.
fn under_marker<'a, K>(sought: &'a Sought<K>, state: &IndexState) -> Result<&'a K, IndexError> {
    let marker = state.answerable().ok_or(IndexError::NotBuilt)?;
    sought.under(marker.key).ok_or(IndexError::NotBuilt)
}

/// Removes the rows of a side whose keys begin with a byte.
fn remove_rows_under(transaction: &WriteTransaction, first: u8, side: Side) -> Result<(), IndexError> {
    let stands_there = |field: &[u8]| {
        let generation = field.get(4..8).and_then(|bytes| bytes.try_into().ok());
        generation.is_some_and(|bytes| Side::of(u32::from_be_bytes(bytes)) == side)
    };
    let mut relationships = transaction.open_table(RELATIONSHIPS).map_err(failed)?;
    relationships
        .retain_in(keys_under(first), |key, _| !stands_there(&key[CUSTOMER_BYTES..]))
        .map_err(failed)?;
    let mut accounts = transaction.open_table(ACCOUNTS).map_err(failed)?;
    accounts
        .retain_in(keys_under(first), |key, _| !stands_there(&key[ACCOUNT_BYTES..]))
        .map_err(failed)
}

/// All keys that begin with a byte.
fn keys_under<const N: usize>(first: u8) -> std::ops::RangeInclusive<[u8; N]> {
    let (mut from, mut to) = ([0x00; N], [0xff; N]);
    (from[0], to[0]) = (first, first);
    from..=to
}

/// Commits, then lets lookups see the new state. Readers hold no lock: see `read_consistently`.
fn commit_and_publish(
    published: &ArcSwap<IndexState>,
    transaction: WriteTransaction,
    state: IndexState,
) -> Result<(), IndexError> {
    if state.marker.is_none() {
        // What is about to be cleared may not be read as "no relationships" for even an instant.
        published.store(Arc::new(state));
        return transaction.commit().map_err(failed);
    }
    transaction.commit().map_err(failed)?;
    published.store(Arc::new(state));
    Ok(())
}

fn read_state(transaction: &WriteTransaction) -> Result<IndexState, IndexError> {
    let marker = transaction.open_table(MARKER).map_err(failed)?;
    let marker = marker
        .get(())
        .map_err(failed)?
        .map(|bytes| Marker::decode(bytes.value()))
        .transpose()?;
    let mut state = IndexState::marked(marker);
    for entry in transaction
        .open_table(SETS)
        .map_err(failed)?
        .iter()
        .map_err(failed)?
    {
        let (set, bytes) = entry.map_err(failed)?;
        state.put(decode_state_key(set.value())?, SetState::decode(bytes.value())?);
    }
    Ok(state)
}

fn write_rows(
    transaction: &WriteTransaction,
    set: SetId,
    generation: Generation,
    writes: &[RowWrite],
) -> Result<(), IndexError> {
    let mut relationships = transaction.open_table(RELATIONSHIPS).map_err(failed)?;
    for write in writes {
        let key = row_key(set, generation, write.row());
        match write {
            RowWrite::Put(row) => relationships
                .insert(key, encode_value(&row.relationship))
                .map_err(failed)?,
            RowWrite::Delete(_) => relationships.remove(key).map_err(failed)?,
        };
    }
    let mut accounts = transaction.open_table(ACCOUNTS).map_err(failed)?;
    for write in writes {
        let Some(key) = account_row_key(set, generation, write.row()) else {
            continue;
        };
        match write {
            RowWrite::Put(row) => accounts
                .insert(key, encode_account_value(&row.relationship))
                .map_err(failed)?,
            RowWrite::Delete(_) => accounts.remove(key).map_err(failed)?,
        };
    }
    Ok(())
}

fn row_key(set: SetId, generation: Generation, row: &Row) -> [u8; ROW_KEY_BYTES] {
    let mut key = [0; ROW_KEY_BYTES];
    key[..CUSTOMER_BYTES].copy_from_slice(&row.customer.0);
    key[CUSTOMER_BYTES..].copy_from_slice(&encode_field(set, generation, row));
    key
}

fn account_row_key(set: SetId, generation: Generation, row: &Row) -> Option<[u8; ACCOUNT_KEY_BYTES]> {
    let mut key = [0; ACCOUNT_KEY_BYTES];
    key[..ACCOUNT_BYTES].copy_from_slice(&row.account?.0);
    key[ACCOUNT_BYTES..].copy_from_slice(&encode_account_field(set, generation, row));
    Some(key)
}

fn rows_under(
    table: &impl ReadableTable<[u8; ROW_KEY_BYTES], [u8; VALUE_BYTES]>,
    customer: &CustomerKey,
) -> Result<Vec<FoundRow>, IndexError> {
    let (mut first, mut last) = ([0x00; ROW_KEY_BYTES], [0xff; ROW_KEY_BYTES]);
    first[..CUSTOMER_BYTES].copy_from_slice(&customer.0);
    last[..CUSTOMER_BYTES].copy_from_slice(&customer.0);
    table
        .range(first..=last)
        .map_err(failed)?
        .map(|entry| {
            let (key, value) = entry.map_err(failed)?;
            decode_row(&key.value()[CUSTOMER_BYTES..], &value.value())
        })
        .collect()
}

fn accounts_under(
    table: &impl ReadableTable<[u8; ACCOUNT_KEY_BYTES], [u8; ACCOUNT_VALUE_BYTES]>,
    account: &AccountKey,
) -> Result<Vec<FoundAccount>, IndexError> {
    let (mut first, mut last) = ([0x00; ACCOUNT_KEY_BYTES], [0xff; ACCOUNT_KEY_BYTES]);
    first[..ACCOUNT_BYTES].copy_from_slice(&account.0);
    last[..ACCOUNT_BYTES].copy_from_slice(&account.0);
    table
        .range(first..=last)
        .map_err(failed)?
        .map(|entry| {
            let (key, value) = entry.map_err(failed)?;
            decode_account(&key.value()[ACCOUNT_BYTES..], &value.value())
        })
        .collect()
}

fn split<const N: usize>(key: &[u8]) -> Result<([u8; N], Vec<u8>), IndexError> {
    let (head, tail) = key
        .split_first_chunk::<N>()
        .ok_or(IndexError::Format("row key"))?;
    Ok((*head, tail.to_vec()))
}
