//! From the journal to the index: the one way rows come to be, whether a delivery has just been published,
//! the index is behind, or it is built anew.

mod resolution;

pub use resolution::{Effect, Resolution};

use crate::domain::relationship::{Interval, Relationship, SetId};
use crate::index::layout::{Generation, Row, RowWrite, SetState};
use crate::index::{Expected, Index, IndexError, Load, Removal};
use crate::journal::{
    Changes, Journal, JournalError, Journalled, Kind, Publication, SealedRecord, SetChange,
};
use crate::pseudonym::{AgreementKey, CustomerKey};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Changes that are resolved and written together.
const CHUNK_CHANGES: usize = 20_000;

/// Why the index could not follow the journal.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    #[error(transparent)]
    Index(#[from] IndexError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("a set has more publications than generations can count")]
    TooManyPublications,
}

/// Brings one publication into the index: loads a whole set into a generation of its own and switches to it,
/// or changes the generation in force.
pub async fn apply(
    journal: &Journal,
    index: &Index,
    set: SetId,
    journalled: &Journalled,
) -> Result<(), ReplayError> {
    let publication = journalled.publication();
    let present = index.state().sets.get(&set).cloned();
    let mut retired = present
        .as_ref()
        .map_or_else(Vec::new, |state| state.retired.clone());
    let current = present.as_ref().map_or(0, |state| state.generation);
    let generation = match publication.kind {
        Kind::Changes => current,
        Kind::WholeSet { carries_after } => {
            let generation = generation_of(publication)?;
            load(journal, index, set, publication, carries_after).await?;
            if present.is_some() && generation != current {
                retired.push(current);
            }
            generation
        }
    };
    let state = SetState {
        generation,
        position: publication.position,
        last_delivery: publication.published_at,
        retired,
    };
    let last = match publication.kind {
        Kind::Changes => resolve_all(index, set, generation, journal.changes(publication)?).await?,
        Kind::WholeSet { .. } => Vec::new(),
    };
    index.write(set, generation, last, Some(state)).await?;
    if generation != current || present.is_none() {
        // Other instances have to learn of the generation before anybody is told that it answers.
        index.settle().await;
    }
    Ok(())
}

/// Loads a whole set into its generation, and after it the KFR calls that were published while it was received.
/// Another whole set published meanwhile is replaced like all that came before.
async fn load(
    journal: &Journal,
    index: &Index,
    set: SetId,
    whole: &Publication,
    carries_after: u64,
) -> Result<(), ReplayError> {
    let generation = generation_of(whole)?;
    let mut carried = journal.published_in(set, carries_after + 1..=whole.position - 1)?;
    carried.retain(|later| later.publication().kind == Kind::Changes);
    for calls in &carried {
        remove_customer_level(index, set, generation, journal.changes(calls.publication())?).await?;
    }
    let counts = whole.counts;
    let expected = Expected {
        customers: counts.customers,
        accounts: counts.accounts,
    };
    let load = index.begin_load(set, generation, expected).await?;
    load_records(load, journal.changes(whole)?).await?;
    for calls in &carried {
        write_changes(index, set, generation, journal.changes(calls.publication())?).await?;
    }
    Ok(())
}

/// Loads the records of a whole set.
async fn load_records(mut load: Load, mut records: Changes) -> Result<(), ReplayError> {
    loop {
        let (chunk, rest) = next_chunk(records).await?;
        if chunk.is_empty() {
            return Ok(load.finish().await?);
        }
        let rows = chunk.iter().map(|change| match change {
            SetChange::Put(record) => Ok(row(record)),
            _ => Err(JournalError::Corrupt("whole set")),
        });
        load = load.write(rows.collect::<Result<_, _>>()?).await?;
        records = rest;
    }
}

/// Removes what an attempt to load a generation that was cut off may have left of the customers of KFR calls:
/// the calls are resolved against what stands, so they need to find what they found then.
async fn remove_customer_level(
    index: &Index,
    set: SetId,
    generation: Generation,
    mut calls: Changes,
) -> Result<(), ReplayError> {
    loop {
        let (chunk, rest) = next_chunk(calls).await?;
        if chunk.is_empty() {
            return Ok(());
        }
        let customers = customers_of_calls(&chunk);
        let found = index.rows_of(set, generation, &customers).await?;
        let rows = customers.iter().zip(found).flat_map(|(customer, rows)| {
            let customer_level = |(agreement, _): &_| *agreement == AgreementKey::CUSTOMER_LEVEL;
            let rows = rows.into_iter().filter(customer_level);
            rows.map(|(_, relationship)| RowWrite::Delete(customer_level_row(*customer, relationship)))
        });
        index.write(set, generation, rows.collect(), None).await?;
        calls = rest;
    }
}

fn generation_of(publication: &Publication) -> Result<Generation, ReplayError> {
    Generation::try_from(publication.position).map_err(|_| ReplayError::TooManyPublications)
}

/// Applies everything the index has not seen of a set. A whole set makes what came before it needless.
pub async fn catch_up(journal: &Journal, index: &Index, set: SetId) -> Result<(), ReplayError> {
    let position = index.state().sets.get(&set).map_or(0, |state| state.position);
    let whole_sets = journal.whole_sets(set);
    let last_whole = whole_sets.last().map_or(0, |whole| whole.position);
    for journalled in journal.published_in(set, last_whole.max(position + 1)..=u64::MAX)? {
        apply(journal, index, set, &journalled).await?;
    }
    Ok(())
}

/// Removes a retired generation; row by row, those that the journal says it was made of, if there is no
/// quicker way.
pub async fn remove_generation(
    journal: &Journal,
    index: &Index,
    set: SetId,
    generation: Generation,
) -> Result<(), ReplayError> {
    if index.remove_generation(set, generation).await? == Removal::Done {
        return Ok(());
    }
    for journalled in journal.published_in(set, positions_of(journal, set, generation))? {
        let publication = journalled.publication();
        if matches!(publication.kind, Kind::WholeSet { .. }) && generation_of(publication)? != generation {
            continue;
        }
        let mut changes = journal.changes(publication)?;
        loop {
            let (chunk, rest) = next_chunk(changes).await?;
            if chunk.is_empty() {
                break;
            }
            let rows: BTreeSet<Row> = chunk.iter().filter_map(row_put).collect();
            index
                .write(
                    set,
                    generation,
                    rows.into_iter().map(RowWrite::Delete).collect(),
                    None,
                )
                .await?;
            changes = rest;
        }
    }
    Ok(())
}

/// The publications that wrote rows of a generation, other whole sets among them aside: from the whole set
/// it began with, what was carried into that one included, to the next whole set.
fn positions_of(journal: &Journal, set: SetId, generation: Generation) -> RangeInclusive<u64> {
    let (wholes, generation) = (journal.whole_sets(set), u64::from(generation));
    let first = wholes.iter().find(|whole| whole.position == generation);
    let next = wholes.iter().find(|whole| whole.position > generation);
    first.map_or(1, |whole| whole.carries_after + 1)..=next.map_or(u64::MAX, |whole| whole.position - 1)
}

/// A row that a change may have put, by its identity.
fn row_put(change: &SetChange) -> Option<Row> {
    match change {
        SetChange::Put(record) => Some(row(record)),
        SetChange::Register {
            customer, from, role, ..
        } => {
            let interval = Interval::new(*from, None)?;
            Some(customer_level_row(
                customer.customer_key(),
                Relationship::new(*role, false, false, interval),
            ))
        }
        SetChange::Deregister { .. } => None,
    }
}

/// The index row of a record.
pub fn row(record: &SealedRecord) -> Row {
    Row {
        customer: record.customer.customer_key(),
        agreement: record.agreement.key(),
        account: record.agreement.account_key(),
        relationship: record.relationship,
    }
}

fn customer_level_row(customer: CustomerKey, relationship: Relationship) -> Row {
    Row {
        customer,
        agreement: AgreementKey::CUSTOMER_LEVEL,
        account: None,
        relationship,
    }
}

async fn write_changes(
    index: &Index,
    set: SetId,
    generation: Generation,
    mut changes: Changes,
) -> Result<(), ReplayError> {
    loop {
        let (chunk, rest) = next_chunk(changes).await?;
        if chunk.is_empty() {
            return Ok(());
        }
        let writes = resolve(index, set, generation, &chunk).await?.into_writes();
        index.write(set, generation, writes, None).await?;
        changes = rest;
    }
}

/// Resolves all chunks but the last into the index and gives the writes of the last, so that a small
/// delivery is one step together with its position.
async fn resolve_all(
    index: &Index,
    set: SetId,
    generation: Generation,
    mut changes: Changes,
) -> Result<Vec<RowWrite>, ReplayError> {
    let mut last = Vec::new();
    loop {
        let (chunk, rest) = next_chunk(changes).await?;
        if chunk.is_empty() {
            return Ok(last);
        }
        if !last.is_empty() {
            index
                .write(set, generation, std::mem::take(&mut last), None)
                .await?;
        }
        last = resolve(index, set, generation, &chunk).await?.into_writes();
        changes = rest;
    }
}

/// Reads on off the async threads.
async fn next_chunk(mut changes: Changes) -> Result<(Vec<SetChange>, Changes), ReplayError> {
    let read = move || {
        let chunk = changes
            .by_ref()
            .take(CHUNK_CHANGES)
            .collect::<Result<Vec<_>, _>>()?;
        Ok::<_, JournalError>((chunk, changes))
    };
    let read = tokio::task::spawn_blocking(read).await;
    Ok(read.map_err(|_| JournalError::Corrupt("body: its reader panicked"))??)
}

/// Resolves changes against the rows that stand.
pub async fn resolve(
    index: &Index,
    set: SetId,
    generation: Generation,
    changes: &[SetChange],
) -> Result<Resolution, ReplayError> {
    let customers = customers_of_calls(changes);
    let rows = if customers.is_empty() {
        Vec::new()
    } else {
        index.rows_of(set, generation, &customers).await?
    };
    let mut resolution = Resolution::new(customers.into_iter().zip(rows));
    changes.iter().for_each(|change| resolution.apply(change));
    Ok(resolution)
}

/// The customers of KFR calls among changes, each once: what stands of them decides what the calls do.
fn customers_of_calls(changes: &[SetChange]) -> Vec<CustomerKey> {
    let customer = |change: &SetChange| match change {
        SetChange::Put(_) => None,
        SetChange::Register { customer, .. } | SetChange::Deregister { customer, .. } => {
            Some(customer.customer_key())
        }
    };
    let customers: BTreeSet<CustomerKey> = changes.iter().filter_map(customer).collect();
    customers.into_iter().collect()
}
