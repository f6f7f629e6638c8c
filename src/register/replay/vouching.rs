//! A set made complete again in a store that may have lost what it took last, since one of its primaries was replaced.

use super::standing::state_at;
use super::{
    ReplayError, changes_at, customer_level_row, generation_at, load, next_chunk, resolve, write_changes,
};
use crate::domain::relationship::SetId;
use crate::index::layout::{Generation, Marker, RowWrite, SetState, Side, position_of};
use crate::index::{Checkpoint, Checkpoints, Index, IndexError};
use crate::journal::{Changes, Journal, JournalError, Journalled, Kind, SetChange};
use crate::pseudonym::{AgreementKey, CustomerKey};
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// Customers whose rows are read together.
const CHUNK_CUSTOMERS: usize = 10_000;

/// What a store is known to hold, and what it stood on before that was asked.
pub struct Proven {
    pub lineup: u64,
    checkpoints: Checkpoints,
}

impl Proven {
    /// [`IndexError::NotBuilt`]: a part of the store was emptied.
    pub async fn ask(index: &Index, marker: Option<&Marker>) -> Result<Self, IndexError> {
        let lineup = index.lineup();
        let checkpoints = index.checkpoints(marker).await?;
        Ok(Self { lineup, checkpoints })
    }
}

/// Whether a set was vouched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vouched {
    Done,
    /// A part of what it is made of is in another journal.
    NotWhole,
}

/// Brings a set to where the journal stood before the next whole set, from where all of the store is known to be: rows
/// of later publications may be there or not. What is published after that is for [`catch_up`](super::catch_up). No
/// other journal has a later publication of the set.
pub async fn vouch(
    journal: &Journal,
    index: &Index,
    set: SetId,
    proven: &Proven,
) -> Result<Vouched, ReplayError> {
    if journal.position(set) == 0 {
        return Ok(Vouched::Done);
    }
    let present = index.state().under(journal.key(), set).cloned();
    let side = Side::of(generation_at(journal, 0)?);
    let Some(from) = beginning(journal, set, proven.checkpoints.get(&(set, side))) else {
        return Ok(Vouched::NotWhole);
    };
    let generation = generation_at(journal, from.base)?;
    if let Some(anew) = from.loads_anew(journal, set)? {
        load(journal, index, set, generation, anew.publication()).await?;
    }
    let (position, lineup) = (last_of(journal, set, from.base), proven.lineup);
    apply_again(journal, index, set, generation, from.complete_to + 1..=position).await?;
    let state = SetState {
        generation,
        vouched: lineup,
        retired: retired(present.clone(), generation),
        ..state_at(journal, set, position, present.as_ref())?
    };
    index.write(set, generation, Vec::new(), Some(state)).await?;
    Ok(Vouched::Done)
}

/// From where a set is made complete again.
struct Beginning {
    /// The position that the generation began with.
    base: u64,
    /// All of the store is known to hold the generation up to here.
    complete_to: u64,
    is_loaded: bool,
}

impl Beginning {
    fn loads_anew(&self, journal: &Journal, set: SetId) -> Result<Option<Journalled>, JournalError> {
        match self.is_loaded || self.base == 0 {
            true => Ok(None),
            false => journal.published_at(set, self.base).map(Some),
        }
    }
}

/// The generation that is known to be there, or else the last one; `None`: it is not in this journal wholly.
fn beginning(journal: &Journal, set: SetId, known: Option<&Checkpoint>) -> Option<Beginning> {
    if known.is_some_and(|known| known.position > journal.position(set)) {
        return None;
    }
    let bases = journal.bases(set);
    let known = known.map(|known| Beginning {
        base: position_of(known.generation),
        complete_to: known.position,
        is_loaded: true,
    });
    let known = known.filter(|known| known.base == 0 || bases.contains(&known.base));
    let is_whole = |from: &Beginning| {
        let last = last_of(journal, set, from.base);
        last > 0 && !journal.lineage(set, last).is_partial
    };
    let base = bases.last().copied().unwrap_or(0);
    let anew = Beginning {
        base,
        complete_to: base,
        is_loaded: false,
    };
    known.filter(is_whole).or(Some(anew).filter(is_whole))
}

/// The position before the set was next made anew in this journal.
fn last_of(journal: &Journal, set: SetId, base: u64) -> u64 {
    let next = journal.bases(set).into_iter().find(|next| *next > base);
    next.map_or(journal.position(set), |next| next - 1)
}

/// Former generations, without the one in force.
pub(super) fn retired(present: Option<SetState>, generation: Generation) -> Vec<Generation> {
    let Some(present) = present else { return Vec::new() };
    let mut retired = present.retired;
    if present.generation < generation && !retired.contains(&present.generation) {
        retired.push(present.generation);
    }
    retired.retain(|former| *former != generation);
    retired
}

/// Applies publications in order, to rows that may have seen any number of the first of them. Rows that are named by
/// identity become what they were. KFR calls are held against what runs, which has moved on since: customers
/// that they name are made anew.
async fn apply_again(
    journal: &Journal,
    index: &Index,
    set: SetId,
    generation: Generation,
    missing: RangeInclusive<u64>,
) -> Result<(), ReplayError> {
    let mut called = HashSet::new();
    let last = *missing.end();
    for position in missing {
        let journalled = journal.published_at(set, position)?;
        let changes = journal.changes(journalled.publication())?;
        match journalled.publication().kind {
            Kind::Calls => called.extend(customers_of(changes).await?),
            Kind::Changes | Kind::WholeSet { .. } | Kind::Rollback { .. } => {
                write_changes(index, set, generation, changes).await?;
            }
        }
    }
    if called.is_empty() {
        return Ok(());
    }
    remake(journal, index, set, generation, last, &called).await
}

async fn customers_of(mut changes: Changes) -> Result<Vec<CustomerKey>, ReplayError> {
    let mut customers = Vec::new();
    loop {
        let (chunk, rest) = next_chunk(changes).await?;
        if chunk.is_empty() {
            return Ok(customers);
        }
        customers.extend(chunk.iter().map(|change| change.customer().customer_key()));
        changes = rest;
    }
}

/// Removes what customers have at customer level, and makes it again from all that the set consists of.
async fn remake(
    journal: &Journal,
    index: &Index,
    set: SetId,
    generation: Generation,
    position: u64,
    customers: &HashSet<CustomerKey>,
) -> Result<(), ReplayError> {
    let all: Vec<CustomerKey> = customers.iter().copied().collect();
    for chunk in all.chunks(CHUNK_CUSTOMERS) {
        let found = index.rows_of(set, generation, chunk).await?;
        let rows = chunk.iter().zip(found).flat_map(|(customer, rows)| {
            let rows = rows
                .into_iter()
                .filter(|(agreement, _)| *agreement == AgreementKey::CUSTOMER_LEVEL);
            rows.map(|(_, relationship)| RowWrite::Delete(customer_level_row(*customer, relationship)))
        });
        index.write(set, generation, rows.collect(), None).await?;
    }
    for position in journal.made_of(set, position) {
        let mut changes = changes_at(journal, set, position)?;
        loop {
            let (mut chunk, rest) = next_chunk(changes).await?;
            if chunk.is_empty() {
                break;
            }
            chunk.retain(|change| customers.contains(&change.customer().customer_key()));
            write_chunk(index, set, generation, &chunk).await?;
            changes = rest;
        }
    }
    Ok(())
}

async fn write_chunk(
    index: &Index,
    set: SetId,
    generation: Generation,
    chunk: &[SetChange],
) -> Result<(), ReplayError> {
    if chunk.is_empty() {
        return Ok(());
    }
    let writes = resolve(index, set, generation, chunk).await?.into_writes();
    Ok(index.write(set, generation, writes, None).await?)
}
