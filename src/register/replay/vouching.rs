//! A set made complete again in a store that may have lost what it took last, since one of its primaries was replaced.

use super::{
    ReplayError, changes_at, customer_level_row, generation_at, load, next_chunk, resolve, write_changes,
};
use crate::domain::relationship::SetId;
use crate::index::layout::{Generation, Marker, RowWrite, SetState, Side, position_of};
use crate::index::{Checkpoints, Index, IndexError};
use crate::journal::{Changes, Journal, Kind, SetChange};
use crate::pseudonym::{AgreementKey, CustomerKey};
use std::collections::HashSet;
use std::ops::RangeInclusive;

/// Customers whose rows are read together.
const CHUNK_CUSTOMERS: usize = 10_000;

/// What a store is known to hold, and what it stood on before that was asked.
pub struct Proven {
    lineup: u64,
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

/// Brings a set to where the journal stood before the next whole set, from where all of the store is known to be: rows
/// of later publications may be there or not. What is published after that is for [`catch_up`](super::catch_up).
pub async fn vouch(journal: &Journal, index: &Index, set: SetId, proven: &Proven) -> Result<(), ReplayError> {
    let present = index.state().under(journal.key(), set).cloned();
    let bases = journal.bases(set);
    let side = Side::of(generation_at(journal, 0)?);
    let known = proven.checkpoints.get(&(set, side));
    let known = known.map(|known| (position_of(known.generation), known.position));
    let known = known.filter(|(base, _)| *base == 0 || bases.contains(base));
    let (base, from) = match known {
        Some(known) => known,
        None => {
            let base = bases.last().copied().unwrap_or(0);
            if base > 0 {
                let journalled = journal.published_at(set, base)?;
                load(
                    journal,
                    index,
                    set,
                    generation_at(journal, base)?,
                    journalled.publication(),
                )
                .await?;
            }
            (base, base)
        }
    };
    let next = bases.into_iter().find(|next| *next > base);
    let last = next.map_or(journal.position(set), |next| next - 1);
    if last == 0 {
        return Ok(());
    }
    let generation = generation_at(journal, base)?;
    apply_again(journal, index, set, generation, from + 1..=last).await?;
    let last_delivery = journal.published_at(set, last)?.publication().published_at;
    let state = SetState {
        key: journal.key(),
        generation,
        position: last,
        vouched: proven.lineup,
        last_delivery,
        retired: retired(present, generation),
    };
    Ok(index.write(set, generation, Vec::new(), Some(state)).await?)
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
