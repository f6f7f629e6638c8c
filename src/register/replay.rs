//! From the journal to the index: the one way rows come to be, whether a delivery has just been published,
//! the index is behind, or it is built anew.

mod closed;
mod resolution;
mod standing;
mod vouching;

pub use closed::without_closed;
pub use resolution::{Effect, Resolution};
pub use vouching::{Proven, Vouched, vouch};

use crate::domain::relationship::{Interval, Relationship, SetId};
use crate::index::layout::{Generation, Row, RowWrite, SetState, Side, position_of};
use crate::index::{Expected, Index, IndexError, Load, Removal};
use crate::journal::{
    Changes, Counts, Journal, JournalError, Journalled, Kind, Publication, SealedRecord, SetChange,
};
use crate::pseudonym::{AgreementKey, CustomerKey};
use standing::state_after;
use std::collections::BTreeSet;

/// Changes that are resolved and written together.
const CHUNK_CHANGES: usize = 20_000;
const READER_PANICKED: JournalError = JournalError::Corrupt("body: its reader panicked");

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
    let present = index.state().under(journal.key(), set).cloned();
    let vouched = index.lineup();
    if present.as_ref().is_some_and(|state| state.vouched != vouched) {
        // What is published is written on top of what is known to be there.
        return Err(IndexError::NotBuilt.into());
    }
    let current = match &present {
        Some(state) => state.generation,
        None => generation_at(journal, 0)?,
    };
    let generation = if publication.kind.is_base() {
        let generation = generation_at(journal, publication.position)?;
        load(journal, index, set, generation, publication).await?;
        generation
    } else {
        current
    };
    let state = SetState {
        generation,
        vouched,
        retired: vouching::retired(present.clone(), generation),
        ..state_after(journal, set, publication, present.as_ref())
    };
    let last = if publication.kind.is_base() {
        Vec::new()
    } else {
        resolve_all(index, set, generation, journal.changes(publication)?).await?
    };
    index.write(set, generation, last, Some(state)).await?;
    let answers = index
        .state()
        .sets
        .get(&set)
        .is_some_and(|state| state.key == journal.key());
    // An index that is being built answers nobody.
    let built = index.state().marker.is_some();
    if built && answers && (generation != current || present.is_none()) {
        // Other instances have to learn of the generation before anybody is told that it answers.
        index.settle().await;
    }
    Ok(())
}

/// Loads what a set consists of after a publication that makes it anew into a generation of its own: the
/// whole set, the KFR calls that were published while it was received, and, where a rollback goes back to it,
/// what was published after it then.
async fn load(
    journal: &Journal,
    index: &Index,
    set: SetId,
    generation: Generation,
    publication: &Publication,
) -> Result<(), ReplayError> {
    let position = match publication.kind {
        Kind::Rollback { to } => to,
        Kind::WholeSet { .. } | Kind::Changes | Kind::Calls => publication.position,
    };
    let (whole, later) = parts_of(journal, set, position)?;
    let load = begin_load(index, set, generation, whole.as_ref()).await?;
    for at in &later {
        remove_what_is_changed(index, set, generation, changes_at(journal, set, *at)?).await?;
    }
    match &whole {
        Some(whole) => load_records(index, load, journal.changes(whole.publication())?).await?,
        None => load.finish().await?,
    }
    for at in &later {
        write_changes(index, set, generation, changes_at(journal, set, *at)?).await?;
    }
    Ok(())
}

fn changes_at(journal: &Journal, set: SetId, position: u64) -> Result<Changes, JournalError> {
    journal.changes(journal.published_at(set, position)?.publication())
}

async fn begin_load(
    index: &Index,
    set: SetId,
    generation: Generation,
    whole: Option<&Journalled>,
) -> Result<Load, IndexError> {
    let counts = whole.map_or_else(Counts::default, |whole| whole.publication().summary.counts);
    let expected = Expected {
        customers: counts.customers,
        accounts: counts.accounts,
    };
    index.begin_load(set, generation, expected).await
}

/// Loads the records of a whole set; while some are written, the next are read.
async fn load_records(index: &Index, mut load: Load, records: Changes) -> Result<(), ReplayError> {
    let (mut rows, mut rest) = next_rows(index, records).await?;
    while !rows.is_empty() {
        let (written, next) = tokio::join!(load.write(rows), next_rows(index, rest));
        load = written?;
        (rows, rest) = next?;
    }
    Ok(load.finish().await?)
}

/// Reads on in a whole set, where lookups do not wait for it.
async fn next_rows(index: &Index, mut changes: Changes) -> Result<(Vec<Row>, Changes), ReplayError> {
    let row = |change: &SetChange| match change {
        SetChange::Put(record) => Ok(row(record)),
        _ => Err(JournalError::Corrupt("whole set")),
    };
    let read = move || {
        let chunk = changes.next_chunk(CHUNK_CHANGES)?;
        let rows = chunk.iter().map(row).collect::<Result<_, _>>()?;
        Ok::<_, JournalError>((rows, changes))
    };
    let read = index.workers().run(read).await;
    Ok(read.map_err(|_| READER_PANICKED)??)
}

/// What a set is made of at a position: a whole set, and the positions of what changed it, oldest first. KFR calls
/// carried into the whole set are among the changes; another whole set published meanwhile is replaced like all
/// before it.
fn parts_of(
    journal: &Journal,
    set: SetId,
    position: u64,
) -> Result<(Option<Journalled>, Vec<u64>), JournalError> {
    let mut parts = journal.made_of(set, position);
    let Some(first) = parts.first() else {
        return Ok((None, parts));
    };
    let first = journal.published_at(set, *first)?;
    match first.publication().kind {
        Kind::WholeSet { .. } => Ok((Some(first), parts.split_off(1))),
        Kind::Changes | Kind::Calls | Kind::Rollback { .. } => Ok((None, parts)),
    }
}

/// Removes what an attempt to load a generation that was cut off may have left of what changes are resolved
/// against: they need to find what they found then.
async fn remove_what_is_changed(
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
        let customers = customers_resolved(&chunk);
        let found = index.rows_of(set, generation, &customers).await?;
        let rows = customers.iter().zip(found).flat_map(|(customer, rows)| {
            let rows = rows.into_iter();
            rows.map(|(agreement, relationship)| {
                RowWrite::Delete(Row {
                    customer: *customer,
                    agreement,
                    account: None,
                    relationship,
                })
            })
        });
        index.write(set, generation, rows.collect(), None).await?;
        changes = rest;
    }
}

/// The generation that begins with a position of a journal, on the side of the journal's key.
pub fn generation_at(journal: &Journal, position: u64) -> Result<Generation, ReplayError> {
    let side = Side::after_rekeyings(journal.rekeyings());
    side.generation(position).ok_or(ReplayError::TooManyPublications)
}

/// What is done where the next publication of a set is in another journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtGap {
    Wait,
    /// It cannot be had: the set goes on without it, and says so.
    Pass,
}

/// Applies everything the index has not seen of a set, up to what is in another journal.
pub async fn catch_up(journal: &Journal, index: &Index, set: SetId) -> Result<(), ReplayError> {
    catch_up_over(journal, index, set, AtGap::Wait).await
}

/// The same; what makes the set anew makes what came before it needless, wherever that is.
pub async fn catch_up_over(
    journal: &Journal,
    index: &Index,
    set: SetId,
    at_gap: AtGap,
) -> Result<(), ReplayError> {
    let state = index.state();
    let present = state.under(journal.key(), set);
    if present.is_some_and(|present| present.vouched != index.lineup()) {
        let proven = Proven::ask(index, state.marker.as_ref()).await?;
        if vouch(journal, index, set, &proven).await? == Vouched::NotWhole {
            return Err(IndexError::NotBuilt.into());
        }
    }
    let position = position_in(journal, index, set);
    let last_base = journal.bases(set).last().copied().unwrap_or(0);
    for journalled in journal.published_in(set, last_base.max(position + 1)..=u64::MAX)? {
        let publication = journalled.publication();
        let follows = publication.position == position_in(journal, index, set) + 1;
        if !follows && !publication.kind.is_base() && at_gap == AtGap::Wait {
            return Ok(());
        }
        apply(journal, index, set, &journalled).await?;
    }
    Ok(())
}

fn position_in(journal: &Journal, index: &Index, set: SetId) -> u64 {
    let state = index.state();
    state.under(journal.key(), set).map_or(0, |state| state.position)
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
    for journalled in publications_in(journal, set, generation)? {
        let mut changes = journal.changes(journalled.publication())?;
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

/// The publications that wrote rows of a generation: what it was loaded from, and the changes up to the next.
fn publications_in(
    journal: &Journal,
    set: SetId,
    generation: Generation,
) -> Result<Vec<Journalled>, JournalError> {
    let base = position_of(generation);
    let next = journal.bases(set).into_iter().find(|position| *position > base);
    let made_of = journal.made_of(set, base).into_iter();
    let mut publications = made_of
        .map(|at| journal.published_at(set, at))
        .collect::<Result<Vec<_>, _>>()?;
    publications.extend(journal.published_in(set, base + 1..=next.map_or(u64::MAX, |next| next - 1))?);
    Ok(publications)
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
        // What these leave was put before them, by what is in the journal too.
        SetChange::End { .. } | SetChange::Remove(_) | SetChange::Deregister { .. } => None,
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
pub(super) async fn next_chunk(mut changes: Changes) -> Result<(Vec<SetChange>, Changes), ReplayError> {
    let read = move || {
        let chunk = changes.next_chunk(CHUNK_CHANGES)?;
        Ok::<_, JournalError>((chunk, changes))
    };
    let read = tokio::task::spawn_blocking(read).await;
    Ok(read.map_err(|_| READER_PANICKED)??)
}

/// Resolves changes against the rows that stand.
pub async fn resolve(
    index: &Index,
    set: SetId,
    generation: Generation,
    changes: &[SetChange],
) -> Result<Resolution, ReplayError> {
    let customers = customers_resolved(changes);
    let rows = if customers.is_empty() {
        Vec::new()
    } else {
        index.rows_of(set, generation, &customers).await?
    };
    let mut resolution = Resolution::new(customers.into_iter().zip(rows));
    changes.iter().for_each(|change| resolution.apply(change));
    Ok(resolution)
}

/// The customers of whom it matters what stands, each once.
fn customers_resolved(changes: &[SetChange]) -> Vec<CustomerKey> {
    let customer = |change: &SetChange| match change {
        SetChange::Put(_) => None,
        SetChange::End { .. }
        | SetChange::Remove(_)
        | SetChange::Register { .. }
        | SetChange::Deregister { .. } => Some(change.customer().customer_key()),
    };
    let customers: BTreeSet<CustomerKey> = changes.iter().filter_map(customer).collect();
    customers.into_iter().collect()
}
