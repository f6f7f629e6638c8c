//! Writes: groups of entries, the list of heads, the search index.

use super::session::{Parameters, Session, execute, query};
use super::{ALONE, INSERT_HEAD, LAST, LIST_END, get, hash, list_end_of, number, small};
use crate::record::chain::Head;
use crate::record::engine::{Committed, Work};
use crate::record::fault::TableError;
use crate::record::heads::{Event, ListEnd, Mark};
use crate::record::index::{IndexStep, StepWork};
use crate::record::keys::RecordKey;
use crate::record::places::{batch_place, place, sequence_of};
use crate::store::PostgresServer;
use chrono::Utc;
use deadpool_postgres::ClientWrapper;
use std::time::{Duration, Instant};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// Longest wait for one transaction. Whoever waits for their record has long given up by then.
const WRITTEN_WITHIN: Duration = Duration::from_secs(4);
/// After a connection could not be made, the next attempt comes no sooner.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// Only behind the entry, or the beginning of the chain, that they are hashed over: nobody else's may come between, and a
/// database that has lost some gets no gap.
const INSERT_ENTRIES: &str = "
    INSERT INTO record.entries (place, entry, hash) SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])
    WHERE EXISTS (SELECT 1 FROM record.entries WHERE place = $4 AND hash = $5)
       OR EXISTS (SELECT 1 FROM record.heads WHERE chain = $6 AND sequence = $7 AND hash = $5 AND event <> 1)";
/// One that ended, or of which nothing was seen for a minute.
const CLAIM: &str = "
    UPDATE record_writers SET writer = $1, seen_at = now() WHERE chain = (
        SELECT chain FROM record_writers WHERE writer IS NULL OR seen_at < now() - interval '1 minute'
        ORDER BY chain DESC LIMIT 1 FOR UPDATE SKIP LOCKED)
    RETURNING chain";

/// The connection that writes entries.
pub(in crate::record) struct Table {
    server: PostgresServer,
    writer: Uuid,
    /// `None`: after a write that failed.
    session: Option<Session>,
    /// When it was tried in vain to connect.
    tried_at: Option<Instant>,
}

impl Table {
    pub(in crate::record) fn open(server: &PostgresServer, writer: Uuid) -> Result<Self, TableError> {
        server.runtime().block_on(server.migrate())?;
        Ok(Self {
            server: server.clone(),
            writer,
            session: Some(Session::open(server)?),
            tried_at: None,
        })
    }

    pub(in crate::record) fn claim(&mut self) -> Result<Option<u32>, TableError> {
        let writer = self.writer;
        let claimed = self.session()?.query(CLAIM, &[&writer])?;
        claimed.first().map(|row| small(row, 0)).transpose()
    }

    pub(in crate::record) fn begin(
        &mut self,
        instance: Uuid,
        key: &RecordKey,
    ) -> Result<(Mark, ListEnd), TableError> {
        let writer = self.writer;
        let begun = self.session()?.transact(WRITTEN_WITHIN, async |client| {
            client.batch_execute(ALONE).await?;
            let begun = "SELECT count(*) FROM record.heads WHERE event = $1";
            let begun = query(client, begun, &[&i16::from(Event::Begun.number())]).await?;
            let chains = begun.first().map_or(Ok(0), |row| small(row, 0))?;
            let mark = Mark {
                event: Event::Begun,
                chain: chains + 1,
                instance,
                head: Head::birth(instance),
                at: Utc::now().timestamp(),
            };
            let written = "INSERT INTO record_writers (chain, writer, seen_at) VALUES ($1, $2, now())";
            execute(client, written, &[&i64::from(mark.chain), &writer]).await?;
            Ok((mark, append_head(client, mark, key).await?))
        });
        self.after(begun)
    }

    /// After a failed write a new connection is needed.
    pub(in crate::record) fn recover(&mut self) -> Result<(), TableError> {
        if self.session.is_some() {
            return Ok(());
        }
        if self.tried_at.is_some_and(|at| at.elapsed() < RETRY_AFTER) {
            return Err(TableError::Unavailable(
                "no connection could be made just now".to_owned(),
            ));
        }
        self.tried_at = Some(Instant::now());
        self.session = Some(Session::connect(&self.server)?);
        self.tried_at = None;
        Ok(())
    }

    pub(in crate::record) fn commit(&mut self, work: &Work) -> Result<Committed, TableError> {
        let list = match (work.entries.is_empty(), &work.mark) {
            (true, None) => None,
            (false, None) => self.append(work)?,
            (_, Some((mark, key))) => Some(self.append_with_head(work, *mark, key)?),
        };
        // Apart, so that nobody's answer hangs on it.
        let indexed = work.index.map(|step| self.index(step));
        if let Some(Err(cause)) = &indexed {
            tracing::warn!(%cause, "a batch of the record of use is not indexed yet");
        }
        Ok(Committed {
            list,
            is_indexed: matches!(indexed, Some(Ok(()))),
        })
    }

    fn append(&mut self, work: &Work) -> Result<Option<ListEnd>, TableError> {
        let rows = Rows::of(work);
        let session = self.session()?;
        let done = session.transact_one(WRITTEN_WITHIN, INSERT_ENTRIES, &rows.parameters());
        let done = done.and_then(|inserted| rows.check(inserted));
        self.after(done).map(|()| None)
    }

    fn append_with_head(&mut self, work: &Work, mark: Mark, key: &RecordKey) -> Result<ListEnd, TableError> {
        let rows = Rows::of(work);
        let done = self.session()?.transact(WRITTEN_WITHIN, async |client| {
            client.batch_execute(ALONE).await?;
            match work.entries.is_empty() {
                true => require_last(client, work.chain, &mark.head).await?,
                false => rows.check(execute(client, INSERT_ENTRIES, &rows.parameters()).await?)?,
            }
            append_head(client, mark, key).await
        });
        self.after(done)
    }

    fn index(&mut self, step: &IndexStep) -> Result<(), TableError> {
        let writer = self.writer;
        let done = self.session()?.transact(WRITTEN_WITHIN, async |client| {
            let own = "SELECT coalesce((SELECT batches FROM record_indexed WHERE chain = $1), 0)
                FROM record_writers WHERE chain = $1 AND writer = $2 FOR UPDATE";
            let own = query(client, own, &[&i64::from(step.batch.chain), &writer]).await?;
            match own.first().map(|row| number(row, 0)).transpose()? {
                Some(batches) if batches <= step.batch.number => write_step(client, step).await,
                // Whoever goes on with the chain does that too.
                Some(_) | None => Err(TableError::OtherEnd),
            }
        });
        self.after(done)
    }

    pub(in crate::record) fn last(&mut self, chain: u32) -> Result<Option<Head>, TableError> {
        let last = last(self.session()?, chain);
        self.after(last)
    }

    pub(in crate::record) fn starts_at(&mut self, chain: u32, head: &Head) -> Result<bool, TableError> {
        let (chain, sequence) = (i64::from(chain), head.sequence.cast_signed());
        let start =
            "SELECT 1 FROM record.heads WHERE chain = $1 AND sequence = $2 AND hash = $3 AND event <> 1";
        let found =
            self.session()?
                .query_within(WRITTEN_WITHIN, start, &[&chain, &sequence, &head.hash.as_slice()]);
        self.after(found).map(|found| !found.is_empty())
    }

    pub(in crate::record) fn forget(&mut self, chain: u32) -> Result<(), TableError> {
        let forget = "DELETE FROM record_writers WHERE chain = $1";
        let forgotten = self
            .session()?
            .query_within(WRITTEN_WITHIN, forget, &[&i64::from(chain)]);
        self.after(forgotten).map(|_| ())
    }

    pub(in crate::record) fn release(&mut self) -> Result<(), TableError> {
        let writer = self.writer;
        let ended = "UPDATE record_writers SET writer = NULL WHERE writer = $1";
        self.session()?
            .query_within(WRITTEN_WITHIN, ended, &[&writer])
            .map(|_| ())
    }

    fn session(&mut self) -> Result<&Session, TableError> {
        self.recover()?;
        self.session.as_ref().ok_or(TableError::OtherEnd)
    }

    /// What a connection has left under way when something failed over it is not known.
    fn after<T>(&mut self, done: Result<T, TableError>) -> Result<T, TableError> {
        if done.is_err() {
            self.session = None;
        }
        done
    }
}

/// Entries as parameters of `INSERT_ENTRIES`.
struct Rows<'w> {
    places: Vec<i64>,
    entries: Vec<&'w [u8]>,
    hashes: Vec<&'w [u8]>,
    /// Where the entry before them is, its hash, its chain and its number.
    before: (i64, &'w [u8], i64, i64),
}

impl<'w> Rows<'w> {
    fn of(work: &'w Work) -> Self {
        let (chain, before) = (work.chain, &work.before);
        let sequences = (before.sequence + 1..).take(work.entries.len());
        Self {
            places: sequences.map(|sequence| place(chain, sequence)).collect(),
            entries: work.entries.iter().map(|(entry, _)| entry.as_slice()).collect(),
            hashes: work.entries.iter().map(|(_, hash)| hash.as_slice()).collect(),
            before: (
                place(chain, before.sequence),
                &before.hash,
                chain.into(),
                before.sequence.cast_signed(),
            ),
        }
    }

    fn parameters(&self) -> [&(dyn ToSql + Sync); 7] {
        let (place, hash, chain, sequence) = &self.before;
        [
            &self.places,
            &self.entries,
            &self.hashes,
            place,
            hash,
            chain,
            sequence,
        ]
    }

    fn check(&self, inserted: u64) -> Result<(), TableError> {
        match inserted == self.places.len() as u64 {
            true => Ok(()),
            false => Err(TableError::OtherEnd),
        }
    }
}

/// A head without entries before it is listed only where the chain ends.
async fn require_last(client: &ClientWrapper, chain: u32, head: &Head) -> Result<(), TableError> {
    let last = query(client, LAST, &[&place(chain, 0), &place(chain + 1, 0)]).await?;
    match last.first().map(head_of).transpose()? {
        Some(last) if last != *head => Err(TableError::OtherEnd),
        Some(_) | None => Ok(()),
    }
}

/// Puts a head to the end of the list, which nobody else adds to meanwhile.
pub(super) async fn append_head(
    client: &ClientWrapper,
    mark: Mark,
    key: &RecordKey,
) -> Result<ListEnd, TableError> {
    let end = query(client, LIST_END, &[]).await?;
    let listed = mark.list(end.first().map(list_end_of).transpose()?, key);
    let row: Parameters = &[
        &listed.number.cast_signed(),
        &i16::from(mark.event.number()),
        &i64::from(mark.chain),
        &mark.instance,
        &mark.head.sequence.cast_signed(),
        &mark.head.hash.as_slice(),
        &mark.at,
        &listed.key.as_slice(),
        &listed.mac.as_slice(),
    ];
    execute(client, INSERT_HEAD, row).await?;
    Ok(listed.end())
}

async fn write_step(client: &ClientWrapper, step: &IndexStep) -> Result<(), TableError> {
    let batch = batch_place(step.batch);
    match &step.work {
        StepWork::Begin => {
            execute(client, "DELETE FROM record_found_by WHERE batch = $1", &[&batch]).await?;
        }
        StepWork::Rows(rows) => {
            let sql = "INSERT INTO record_found_by (batch, key, sequence)
                SELECT $1, * FROM unnest($2::bigint[], $3::bigint[])";
            let keys: Vec<i64> = rows.iter().map(|(key, _)| i64::from(*key)).collect();
            let sequences: Vec<i64> = rows.iter().map(|(_, sequence)| sequence.cast_signed()).collect();
            execute(client, sql, &[&batch, &keys, &sequences]).await?;
        }
        StepWork::End(days) => {
            let sql = "INSERT INTO record_days (day, consumer, batch)
                SELECT *, $3 FROM unnest($1::integer[], $2::bigint[]) ON CONFLICT DO NOTHING";
            let consumers: Vec<i64> = days.iter().map(|(_, consumer)| i64::from(*consumer)).collect();
            let days: Vec<i32> = days.iter().map(|(day, _)| *day).collect();
            execute(client, sql, &[&days, &consumers, &batch]).await?;
            let sql = "INSERT INTO record_indexed (chain, batches) VALUES ($1, $2)
                ON CONFLICT (chain) DO UPDATE SET batches = greatest(record_indexed.batches, excluded.batches)";
            let batches = (step.batch.number + 1).cast_signed();
            execute(client, sql, &[&i64::from(step.batch.chain), &batches]).await?;
        }
    }
    Ok(())
}

pub(super) fn last(session: &Session, chain: u32) -> Result<Option<Head>, TableError> {
    let found = session.query_within(WRITTEN_WITHIN, LAST, &[&place(chain, 0), &place(chain + 1, 0)])?;
    found.first().map(head_of).transpose()
}

/// Of `LAST`.
fn head_of(row: &Row) -> Result<Head, TableError> {
    Ok(Head {
        sequence: sequence_of(get(row, 0)?),
        hash: hash(row, 1)?,
    })
}
