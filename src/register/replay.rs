//! From the journal to the index: the one way rows come to be, whether a delivery has just been published,
//! the index is behind, or it is built anew.

use crate::domain::relationship::{Interval, Relationship, SetId};
use crate::index::layout::{Generation, Row, RowWrite, SetState};
use crate::index::{CustomerRows, Index, IndexError};
use crate::journal::{
    Changes, Journal, JournalError, Journalled, Kind, Publication, SealedRecord, SetChange,
};
use crate::pseudonym::{AgreementKey, CustomerKey, Sealed};
use chrono::NaiveDate;
use std::collections::{BTreeMap, BTreeSet, HashMap};

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

/// What a change did to a customer, for the answer to a KFR call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    Stored,
    Registered,
    AlreadyRunning,
    Deregistered,
    NothingRuns,
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
            write_changes(index, set, generation, journal.changes(publication)?).await?;
            for carried in journal.published_after(set, carries_after)? {
                // Another whole set that was published meanwhile is replaced, not joined.
                if carried.publication().kind == Kind::Changes
                    && carried.publication().position < publication.position
                {
                    write_changes(index, set, generation, journal.changes(carried.publication())?).await?;
                }
            }
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
    if matches!(publication.kind, Kind::WholeSet { .. }) {
        index.settle().await;
    }
    Ok(())
}

fn generation_of(publication: &Publication) -> Result<Generation, ReplayError> {
    Generation::try_from(publication.position).map_err(|_| ReplayError::TooManyPublications)
}

/// Applies everything the index has not seen of a set. A whole set makes what came before it needless.
pub async fn catch_up(journal: &Journal, index: &Index, set: SetId) -> Result<(), ReplayError> {
    let position = index.state().sets.get(&set).map_or(0, |state| state.position);
    let missing = journal.published_after(set, position)?;
    let last_whole = missing
        .iter()
        .rposition(|m| matches!(m.publication().kind, Kind::WholeSet { .. }));
    for journalled in &missing[last_whole.unwrap_or(0)..] {
        apply(journal, index, set, journalled).await?;
    }
    Ok(())
}

/// Removes the rows of a retired generation: those that the journal says it was made of.
pub async fn remove_generation(
    journal: &Journal,
    index: &Index,
    set: SetId,
    generation: Generation,
) -> Result<(), ReplayError> {
    for journalled in journal.published_after(set, 0)? {
        let publication = journalled.publication();
        if !contributed(journal, set, generation, publication)? {
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

/// Whether a publication wrote rows of a generation: the whole set it began with, or what changed it
/// before the next whole set, what was carried into it included.
fn contributed(
    journal: &Journal,
    set: SetId,
    generation: Generation,
    publication: &Publication,
) -> Result<bool, ReplayError> {
    let wholes = journal.whole_sets(set);
    let first = wholes
        .iter()
        .find(|whole| whole.position == u64::from(generation));
    let from = first.map_or(1, |whole| whole.carries_after + 1);
    let next = wholes
        .iter()
        .map(|whole| whole.position)
        .find(|position| *position > u64::from(generation));
    let in_span = publication.position >= from && next.is_none_or(|next| publication.position < next);
    let another_whole_set =
        matches!(publication.kind, Kind::WholeSet { .. }) && generation_of(publication)? != generation;
    Ok(in_span && !another_whole_set)
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
    let asks = |change: &SetChange| match change {
        SetChange::Put(_) => None,
        SetChange::Register { customer, .. } | SetChange::Deregister { customer, .. } => {
            Some(customer.customer_key())
        }
    };
    let customers: Vec<CustomerKey> = changes
        .iter()
        .filter_map(asks)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let rows = if customers.is_empty() {
        Vec::new()
    } else {
        index.rows_of(set, generation, &customers).await?
    };
    let mut resolution = Resolution::new(customers.into_iter().zip(rows));
    changes.iter().for_each(|change| resolution.apply(change));
    Ok(resolution)
}

/// Changes turned into blind writes: the rules of KFR calls, applied to the rows that stand.
pub struct Resolution {
    /// First and last day of what stands at customer level, by customer and first day.
    standing: HashMap<CustomerKey, BTreeMap<NaiveDate, Relationship>>,
    writes: BTreeMap<(CustomerKey, AgreementKey, NaiveDate), RowWrite>,
    effects: Vec<Effect>,
}

impl Resolution {
    pub fn new(rows: impl Iterator<Item = (CustomerKey, CustomerRows)>) -> Self {
        let customer_level = |rows: CustomerRows| {
            rows.into_iter()
                .filter(|(agreement, _)| *agreement == AgreementKey::CUSTOMER_LEVEL)
                .map(|(_, relationship)| (relationship.interval().from(), relationship))
                .collect()
        };
        Self {
            standing: rows
                .map(|(customer, rows)| (customer, customer_level(rows)))
                .collect(),
            writes: BTreeMap::new(),
            effects: Vec::new(),
        }
    }

    pub fn apply(&mut self, change: &SetChange) {
        let effect = match change {
            SetChange::Put(record) => {
                self.put(row(record));
                Effect::Stored
            }
            SetChange::Register {
                customer,
                from,
                on,
                role,
            } => self.register(customer, *from, *on, *role),
            SetChange::Deregister { customer, to, on } => self.deregister(customer, *to, *on),
        };
        self.effects.push(effect);
    }

    fn register(
        &mut self,
        customer: &Sealed,
        from: NaiveDate,
        on: NaiveDate,
        role: crate::domain::relationship::Role,
    ) -> Effect {
        let customer = customer.customer_key();
        let running = self.running(customer, on).into_iter().next();
        let relationship = match running {
            Some(running) if running.interval().from() <= from => return Effect::AlreadyRunning,
            Some(running) => {
                self.delete(customer_level_row(customer, running));
                Interval::new(from, running.interval().to()).map(|interval| running.over(interval))
            }
            None => {
                let holds_funds =
                    crate::domain::relationship::RelationshipRecord::holds_funds_by_default(role);
                Interval::new(from, None)
                    .map(|interval| Relationship::new(role, false, holds_funds, interval))
            }
        };
        if let Some(relationship) = relationship {
            self.put(customer_level_row(customer, relationship));
        }
        if running.is_some() {
            Effect::AlreadyRunning
        } else {
            Effect::Registered
        }
    }

    fn deregister(&mut self, customer: &Sealed, to: NaiveDate, on: NaiveDate) -> Effect {
        let customer = customer.customer_key();
        let running = self.running(customer, on);
        for relationship in &running {
            match Interval::new(relationship.interval().from(), Some(to)) {
                Some(interval) => self.put(customer_level_row(customer, relationship.over(interval))),
                None => self.delete(customer_level_row(customer, *relationship)),
            }
        }
        if running.is_empty() {
            Effect::NothingRuns
        } else {
            Effect::Deregistered
        }
    }

    /// What runs at customer level on a day, earliest first.
    fn running(&self, customer: CustomerKey, day: NaiveDate) -> Vec<Relationship> {
        let standing = self.standing.get(&customer);
        let running = standing
            .into_iter()
            .flat_map(BTreeMap::values)
            .filter(|r| r.interval().runs_on(day));
        running.copied().collect()
    }

    fn put(&mut self, row: Row) {
        let from = row.relationship.interval().from();
        if row.agreement == AgreementKey::CUSTOMER_LEVEL {
            self.standing
                .entry(row.customer)
                .or_default()
                .insert(from, row.relationship);
        }
        self.writes
            .insert((row.customer, row.agreement, from), RowWrite::Put(row));
    }

    fn delete(&mut self, row: Row) {
        let from = row.relationship.interval().from();
        if let Some(standing) = self.standing.get_mut(&row.customer) {
            standing.remove(&from);
        }
        self.writes
            .insert((row.customer, row.agreement, from), RowWrite::Delete(row));
    }

    /// What each change did, in order.
    pub fn effects(&self) -> &[Effect] {
        &self.effects
    }

    /// One write a row, in order of customer.
    pub fn into_writes(self) -> Vec<RowWrite> {
        self.writes.into_values().collect()
    }
}
