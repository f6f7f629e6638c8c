//! The embedded engine: redb, one file, one process.
//!
//! Each generation of a set has [tables](tables) of its own. Lookups read by a [`view`]; whole sets come in
//! by a [`load`].

mod filter;
mod generations;
mod load;
mod tables;
mod view;

pub use load::Load;

use super::layout::{
    FoundAccount, FoundRow, Generation, IndexState, Marker, RowWrite, SetState, Side, encode_state_key,
};
use super::owner::Owner;
use super::{CustomerRows, IndexError, ScannedRow};
use crate::domain::relationship::SetId;
use crate::pseudonym::{AccountKey, CustomerKey, Sought};
use crate::workers::Workers;
use arc_swap::ArcSwap;
use generations::{Filters, Generations};
use redb::{Database, Durability, ReadableDatabase, WriteTransaction};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use tables::{MARKER, SETS};
use view::View;

/// An index in a redb file.
pub struct Embedded {
    database: Database,
    /// Of the file; what does not fit into memory during a load is put here too.
    directory: PathBuf,
    view: ArcSwap<View>,
    /// Held from reading the state to publishing its successor: redb lets the next writer in at the commit,
    /// which is a moment too early.
    writing: Mutex<Generations>,
    owner: OnceLock<Owner>,
    /// Loads go on them.
    pub(super) workers: Workers,
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

/// Opens or makes the file, for its owner only.
fn open_file(path: &Path, directory: &Path) -> Result<File, IndexError> {
    std::fs::create_dir_all(directory)
        .map_err(|cause| IndexError::Unfit(format!("{} cannot be made: {cause}", directory.display())))?;
    let mut options = std::fs::OpenOptions::new();
    options
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600);
    let unfit = |cause| IndexError::Unfit(format!("{} cannot be opened: {cause}", path.display()));
    options.open(path).map_err(unfit)
}

impl Embedded {
    /// Opens the file, or makes it. One process at a time. `cache_bytes` bounds the page cache.
    pub fn open(path: &Path, cache_bytes: usize) -> Result<Self, IndexError> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let database = Database::builder()
            .set_cache_size(cache_bytes)
            .create_file(open_file(path, directory)?)
            .map_err(failed)?;
        let transaction = database.begin_write().map_err(failed)?;
        tables::check_format(&transaction)?;
        tables::make(&transaction)?;
        transaction.commit().map_err(failed)?;
        let snapshot = database.begin_read().map_err(failed)?;
        let state = tables::read_state(&snapshot)?;
        let generations = generations::read_all(&snapshot)?;
        Ok(Self {
            view: ArcSwap::from_pointee(View::new(&database, state, &generations)?),
            database,
            directory: directory.to_owned(),
            writing: Mutex::new(generations),
            owner: OnceLock::new(),
            workers: super::workers()?,
        })
    }

    /// From now on nothing is answered from another's index, or from one that lacks what it has to hold.
    pub fn claim(&self, owner: Owner) -> Result<(), IndexError> {
        let generations = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.owner.get_or_init(|| owner);
        self.publish(IndexState::clone(&self.view.load().state), &generations)
    }

    pub fn state(&self) -> Arc<IndexState> {
        Arc::clone(&self.view.load().state)
    }

    /// Reads at once, on the caller's thread, and as long as that takes.
    pub fn find_relationships<T>(
        &self,
        customer: &Sought<CustomerKey>,
        held: impl Fn(&IndexState, Vec<FoundRow>) -> T,
    ) -> Result<T, IndexError> {
        let view = self.view.load();
        Ok(held(
            &view.state,
            view.relationships(answering(&view.state, customer)?)?,
        ))
    }

    /// The same of an account.
    pub fn find_accounts<T>(
        &self,
        account: &Sought<AccountKey>,
        held: impl Fn(&IndexState, Vec<FoundAccount>) -> T,
    ) -> Result<T, IndexError> {
        let view = self.view.load();
        Ok(held(
            &view.state,
            view.accounts(answering(&view.state, account)?)?,
        ))
    }

    pub fn rows_of(
        &self,
        set: SetId,
        generation: Generation,
        customers: &[CustomerKey],
    ) -> Result<Vec<CustomerRows>, IndexError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        let Some(table) = view::open_relationships(&transaction, set, generation)? else {
            return Ok(vec![CustomerRows::new(); customers.len()]);
        };
        let of_customer = |customer| {
            let mut found = Vec::new();
            view::rows_under(&table, customer, set, generation, &mut found)?;
            Ok(found
                .into_iter()
                .map(|row| (row.agreement, row.relationship))
                .collect())
        };
        customers.iter().map(of_customer).collect()
    }

    pub async fn write(
        self: &Arc<Self>,
        set: SetId,
        generation: Generation,
        writes: Vec<RowWrite>,
        then: Option<SetState>,
    ) -> Result<(), IndexError> {
        self.transact(move |step| {
            if !writes.is_empty() {
                let transaction = step.transaction;
                let filters = step.filters(set, generation)?;
                generations::write_rows(transaction, set, generation, filters, &writes)?;
            }
            then.map_or(Ok(()), |known| step.switch(set, known))
        })
        .await
    }

    /// Drops the tables of a generation that answers no more.
    pub async fn remove_generation(
        self: &Arc<Self>,
        set: SetId,
        generation: Generation,
    ) -> Result<(), IndexError> {
        self.transact(move |step| step.remove(set, generation)).await
    }

    pub async fn clear(self: &Arc<Self>) -> Result<(), IndexError> {
        self.transact(|step| {
            step.state = IndexState::default();
            step.generations.clear();
            tables::drop_all(step.transaction)?;
            tables::make(step.transaction)
        })
        .await
    }

    pub async fn complete(self: &Arc<Self>, marker: Marker) -> Result<(), IndexError> {
        self.transact(move |step| {
            let mut table = step.transaction.open_table(MARKER).map_err(failed)?;
            table.insert((), marker.encode().as_slice()).map_err(failed)?;
            step.state.marker = Some(marker);
            Ok(())
        })
        .await
    }

    pub async fn answer_by(self: &Arc<Self>, marker: Marker) -> Result<(), IndexError> {
        self.transact(move |step| {
            let present = step
                .state
                .marker
                .filter(|present| present.stamp() == marker.stamp());
            present.ok_or(IndexError::NotBuilt)?;
            let mut table = step.transaction.open_table(MARKER).map_err(failed)?;
            table.insert((), marker.encode().as_slice()).map_err(failed)?;
            step.state = std::mem::take(&mut step.state).marked_anew(marker);
            Ok(())
        })
        .await
    }

    /// Drops the tables of a side, generation by generation, so that deliveries come in between.
    pub async fn remove_side(self: &Arc<Self>, side: Side) -> Result<(), IndexError> {
        let snapshot = self.database.begin_read().map_err(failed)?;
        let mut generations = generations::list(&snapshot)?;
        drop(snapshot);
        generations.retain(|(_, generation)| Side::of(*generation) == side);
        for (set, generation) in generations {
            self.remove_generation(set, generation).await?;
        }
        self.transact(move |step| step.forget_side(side)).await
    }

    pub fn scan(&self, visit: &mut (dyn FnMut(ScannedRow) + Send)) -> Result<(), IndexError> {
        let transaction = self.database.begin_read().map_err(failed)?;
        for (set, generation) in generations::list(&transaction)? {
            view::scan_generation(&transaction, set, generation, visit)?;
        }
        Ok(())
    }

    /// Runs one durable write transaction off the async threads.
    async fn transact(
        self: &Arc<Self>,
        change: impl FnOnce(&mut Step) -> Result<(), IndexError> + Send + 'static,
    ) -> Result<(), IndexError> {
        let engine = Arc::clone(self);
        blocking(move || engine.step(Durability::Immediate, change)).await
    }

    /// Runs one write transaction. When this returns, lookups see it.
    fn step(
        &self,
        durability: Durability,
        change: impl FnOnce(&mut Step) -> Result<(), IndexError>,
    ) -> Result<(), IndexError> {
        let mut generations = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut transaction = self.database.begin_write().map_err(failed)?;
        transaction.set_durability(durability).map_err(failed)?;
        // Without it the whole file that a killed process leaves is read before it opens: a second a gigabyte from
        // memory, far more from a disk.
        transaction.set_quick_repair(true);
        let mut step = Step {
            transaction: &transaction,
            state: IndexState::clone(&self.view.load().state),
            generations: &mut generations,
        };
        let changed = change(&mut step);
        let state = step.state;
        let committed = changed.and_then(|()| transaction.commit().map_err(failed));
        if let Err(cause) = committed {
            // Bits may have been added whose pages were not: the next writer would take them for stored.
            let snapshot = self.database.begin_read().map_err(failed)?;
            *generations = generations::read_all(&snapshot)?;
            return Err(cause);
        }
        self.publish(state, &generations)
    }

    fn publish(&self, state: IndexState, generations: &Generations) -> Result<(), IndexError> {
        let state = match self.owner.get() {
            Some(owner) => state.judged_by(owner),
            None => state,
        };
        self.view
            .store(Arc::new(View::new(&self.database, state, generations)?));
        Ok(())
    }
}

/// One write transaction, and what will be in force after it.
struct Step<'a> {
    transaction: &'a WriteTransaction,
    state: IndexState,
    generations: &'a mut Generations,
}

impl Step<'_> {
    /// The filters of a generation that is about to be written to.
    fn filters(&mut self, set: SetId, generation: Generation) -> Result<&mut Filters, IndexError> {
        let known = self.generations.contains_key(&(set, generation));
        let filters = self
            .generations
            .entry((set, generation))
            .or_insert_with(|| Filters::empty(true));
        if !known {
            generations::write_shape(self.transaction, set, generation, filters)?;
        }
        Ok(filters)
    }

    fn switch(&mut self, set: SetId, known: SetState) -> Result<(), IndexError> {
        let generation = self.generations.get(&(set, known.generation));
        if generation.is_some_and(|generation| !generation.loaded) {
            return Err(IndexError::NotBuilt);
        }
        let mut sets = self.transaction.open_table(SETS).map_err(failed)?;
        let key = encode_state_key(set, Side::of(known.generation));
        sets.insert(key, known.encode()?.as_slice()).map_err(failed)?;
        self.state.put(set, known);
        Ok(())
    }

    /// Removes the states of a side that does not answer.
    fn forget_side(&mut self, side: Side) -> Result<(), IndexError> {
        let mut sets = self.transaction.open_table(SETS).map_err(failed)?;
        let stands_there = |known: &SetState| Side::of(known.generation) == side;
        for (set, _) in self.state.others.iter().filter(|(_, known)| stands_there(known)) {
            sets.remove(encode_state_key(*set, side)).map_err(failed)?;
        }
        self.state.others.retain(|_, known| !stands_there(known));
        Ok(())
    }

    /// A generation that answers stays.
    fn remove(&mut self, set: SetId, generation: Generation) -> Result<(), IndexError> {
        if self.state.answers(set, generation) {
            return Ok(());
        }
        self.generations.remove(&(set, generation));
        generations::drop_generation(self.transaction, set, generation)
    }
}

/// What is looked for, by the key whose rows answer.
fn answering<'a, K>(state: &IndexState, sought: &'a Sought<K>) -> Result<&'a K, IndexError> {
    let marker = state.answerable().ok_or(IndexError::NotBuilt)?;
    sought.under(marker.key).ok_or(IndexError::NotBuilt)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, IndexError> + Send + 'static,
) -> Result<T, IndexError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|cause| IndexError::Unavailable(cause.to_string()))?
}
