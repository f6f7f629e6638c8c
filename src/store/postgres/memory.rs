//! What the process knows of the register without asking the database: how the sets stood at the publications of late,
//! and which customers and accounts those changed. It follows the publications of all instances.

use super::Store;
use super::sets;
use crate::domain::delivery::PublicationId;
use crate::domain::relationship::SetId;
use crate::store::format::set_of;
use crate::store::{Changed, KeyId, Publications, SetState, Sets, StoreError};
use arc_swap::ArcSwap;
use chrono::{TimeDelta, Utc};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio_postgres::Row;

/// Publications that are known from the start.
const RECALLED: TimeDelta = TimeDelta::days(1);
/// Longest wait for what is to be known anew.
const RECALLED_WITHIN: Duration = Duration::from_secs(30);
/// Publications whose sets are remembered: more do not come between a read and its judgement.
const REMEMBERED: usize = 64;
/// Publications that are read at a time: each may list half a megabyte of what it changed.
const MOST_READ: i64 = 200;

/// What is known, as of the last publication that was read.
pub(super) struct Memory {
    known: ArcSwap<Known>,
    pub(super) publications: Publications,
    /// Publications that are read at the start, at most.
    remembered: usize,
    /// One reads at a time.
    following: tokio::sync::Mutex<()>,
}

/// How the sets stood at the publications of late, the last one last.
#[derive(Clone, Default)]
struct Known(VecDeque<(Option<PublicationId>, Arc<Sets>)>);

impl Known {
    fn last(&self) -> Option<PublicationId> {
        self.0.back().and_then(|(id, _)| *id)
    }

    fn sets(&self) -> Arc<Sets> {
        self.0
            .back()
            .map(|(_, sets)| Arc::clone(sets))
            .unwrap_or_default()
    }

    fn sets_at(&self, at: Option<PublicationId>) -> Option<Arc<Sets>> {
        let found = self.0.iter().rev().find(|(id, _)| *id == at);
        found.map(|(_, sets)| Arc::clone(sets))
    }

    fn with(&self, id: PublicationId, set: SetId, state: SetState) -> Self {
        let mut known = self.clone();
        known
            .0
            .push_back((Some(id), Arc::new(self.sets().with(set, state))));
        if known.0.len() > REMEMBERED {
            known.0.pop_front();
        }
        known
    }
}

impl Memory {
    pub(super) fn new(remembered: usize) -> Self {
        Self {
            known: ArcSwap::default(),
            publications: Publications::new(remembered),
            remembered,
            following: tokio::sync::Mutex::default(),
        }
    }

    pub(super) fn sets(&self) -> Arc<Sets> {
        self.known.load().sets()
    }

    pub(super) fn last(&self) -> Option<PublicationId> {
        self.known.load().last()
    }
}

impl Store {
    /// How the sets stood at a publication that was read just now.
    pub(super) async fn sets_at(&self, at: Option<PublicationId>) -> Result<Arc<Sets>, StoreError> {
        let known = self.0.memory.known.load();
        if known.last() == at {
            return Ok(known.sets());
        }
        // One that came before the last may be of a database that was put back.
        // Apart, so that the usual way stays small.
        Box::pin(self.follow()).await?;
        let sets = self.0.memory.known.load().sets_at(at);
        sets.ok_or_else(|| StoreError::Unavailable("publications come faster than they are read".to_owned()))
    }

    /// Takes note of how the sets stand, where no publication tells.
    pub(super) async fn recount(&self) -> Result<(), StoreError> {
        let _alone = self.0.memory.following.lock().await;
        let sets = sets::load(&self.read_apart(sets::ALL, &[]).await?)?;
        self.0.memory.known.rcu(|known| {
            let mut known = Known::clone(known);
            if let Some((_, last)) = known.0.back_mut() {
                *last = Arc::new(last.recounted(&sets));
            }
            known
        });
        Ok(())
    }

    /// Takes note of what was published since.
    pub(super) async fn follow(&self) -> Result<(), StoreError> {
        let memory = &self.0.memory;
        let _alone = memory.following.lock().await;
        loop {
            let last = memory.last();
            let from = last.map_or(0, |last| last.number).cast_signed();
            // Bounded, since others wait for their turn.
            let rows = self.in_time(self.read(SINCE, &[&from, &MOST_READ])).await?;
            let mut rows = rows.iter();
            if last.is_some() && rows.next().map(publication).transpose()? != last {
                // The database was put back to an earlier state: nothing that is known need be true.
                tracing::warn!(
                    event = "store_restored",
                    "the store is not the one that was read before"
                );
                let recalled = tokio::time::timeout(RECALLED_WITHIN, Box::pin(self.recall())).await;
                return recalled.unwrap_or(Err(StoreError::TimedOut));
            }
            let mut read = 0;
            for row in rows {
                self.note(row)?;
                read += 1;
            }
            if read + 1 < MOST_READ {
                return Ok(());
            }
        }
    }

    fn note(&self, row: &Row) -> Result<(), StoreError> {
        let (memory, id) = (&self.0.memory, publication(row)?);
        let changed: Option<&[u8]> = row.try_get(2)?;
        let set = set_of(
            row.try_get::<_, i32>(3)?.cast_unsigned(),
            sets::small(row.try_get(4)?)?,
        )?;
        let version = row.try_get::<_, i64>(6)?.cast_unsigned();
        let known = memory.known.load();
        let standing: &str = row.try_get(8)?;
        let state = SetState {
            id: row.try_get::<_, i32>(5)?.into(),
            version,
            kept_from: known.sets().get(set).map_or(0, |state| state.kept_from),
            sequence: row.try_get::<_, i64>(7)?.cast_unsigned(),
            standing: serde_json::from_str(standing).map_err(|_| StoreError::Damaged("how a set stands"))?,
            key: KeyId(sets::small(row.try_get(9)?)?),
            merging: false,
        };
        // First: what is judged by these sets is held against a list that is as new.
        memory.publications.note(id, &Changed::decode(changed));
        memory.known.store(Arc::new(known.with(id, set, state)));
        Ok(())
    }

    /// Reads anew what is to be known.
    pub(super) async fn recall(&self) -> Result<(), StoreError> {
        let memory = &self.0.memory;
        let mut client = self.0.connector.connect().await?;
        let of_one_moment = client.build_transaction();
        let of_one_moment = of_one_moment
            .isolation_level(tokio_postgres::IsolationLevel::RepeatableRead)
            .read_only(true);
        let transaction = of_one_moment.start().await?;
        let sets = sets::load(&transaction.query(sets::ALL, &[]).await?)?;
        let since = (Utc::now() - RECALLED).timestamp_millis();
        let most = i64::try_from(memory.remembered).unwrap_or(i64::MAX);
        let first = transaction.query_one(FIRST_RECALLED, &[&since, &most]).await?;
        let mut next: i64 = first.try_get(0)?;
        let mut last = None;
        memory.publications.forget();
        loop {
            let rows = transaction.query(RECALL, &[&next, &MOST_READ]).await?;
            for row in &rows {
                let id = publication(row)?;
                memory.publications.note(id, &Changed::decode(row.try_get(2)?));
                (last, next) = (Some(id), id.number.cast_signed() + 1);
            }
            if (rows.len() as i64) < MOST_READ {
                break;
            }
        }
        memory
            .known
            .store(Arc::new(Known(VecDeque::from([(last, Arc::new(sets))]))));
        Ok(())
    }
}

/// What is known already comes first, to be told from another of the same number.
const SINCE: &str = "
    SELECT p.number, p.drawn, CASE WHEN p.number > $1 THEN p.changed END, s.bank, s.register, s.id, p.version, p.sequence,
           p.standing, s.key
    FROM publications p JOIN sets s ON s.id = p.set_id WHERE p.number >= $1 ORDER BY p.number LIMIT $2";
const FIRST_RECALLED: &str = "
    SELECT greatest(coalesce((SELECT max(number) FROM publications WHERE at < $1), 1),
                    coalesce((SELECT max(number) FROM publications), 0) - $2)";
const RECALL: &str =
    "SELECT number, drawn, changed FROM publications WHERE number >= $1 ORDER BY number LIMIT $2";

/// Reads `number, drawn`.
pub(super) fn publication(row: &Row) -> Result<PublicationId, StoreError> {
    let drawn: &[u8] = row.try_get(1)?;
    Ok(PublicationId {
        number: row.try_get::<_, i64>(0)?.cast_unsigned(),
        drawn: drawn
            .try_into()
            .map_err(|_| StoreError::Damaged("a publication"))?,
    })
}
