//! Writes: groups of entries, the list of heads, the search index.

use super::session::{Parameters, Session, execute, query};
use super::{ALONE, INSERT_HEAD, LAST, LIST_END, list_end_of, number, small};
use crate::record::chain::Head;
use crate::record::engine::Work;
use crate::record::fault::TableError;
use crate::record::heads::{Event, ListEnd, Mark};
use crate::record::index::{IndexStep, StepWork};
use crate::record::keys::RecordKey;
use crate::record::places::{batch_place, place, sequence_of};
use crate::store::PostgresServer;
use chrono::Utc;
use deadpool_postgres::ClientWrapper;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Longest wait for one transaction. Whoever waits for their record has long given up by then.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);
/// After a connection could not be made, the next attempt comes no sooner.
const RETRY_AFTER: Duration = Duration::from_millis(500);

const INSERT_ENTRIES: &str = "
    INSERT INTO record.entries (place, entry, hash) SELECT * FROM unnest($1::bigint[], $2::bytea[], $3::bytea[])";
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

    pub(in crate::record) fn commit(&mut self, work: &Work) -> Result<Option<ListEnd>, TableError> {
        let session = self.session()?;
        let places: Vec<i64> = (work.first..)
            .map(|sequence| place(work.chain, sequence))
            .take(work.entries.len())
            .collect();
        let entries: Vec<&[u8]> = work.entries.iter().map(|(entry, _)| entry.as_slice()).collect();
        let hashes: Vec<&[u8]> = work.entries.iter().map(|(_, hash)| hash.as_slice()).collect();
        let rows: Parameters = &[&places, &entries, &hashes];
        let done = match (&work.mark, work.index) {
            (None, None) => session
                .transact_one(WRITTEN_WITHIN, INSERT_ENTRIES, rows)
                .map(|()| None),
            (mark, index) => session.transact(WRITTEN_WITHIN, async |client| {
                execute(client, INSERT_ENTRIES, rows).await?;
                if let Some(step) = index {
                    write_step(client, step).await?;
                }
                let Some((mark, key)) = mark else {
                    return Ok(None);
                };
                client.batch_execute(ALONE).await?;
                append_head(client, *mark, key).await.map(Some)
            }),
        };
        self.after(done)
    }

    pub(in crate::record) fn last(&mut self, chain: u32) -> Result<Option<Head>, TableError> {
        let last = last(self.session()?, chain);
        self.after(last)
    }

    pub(in crate::record) fn is_taken(&mut self, chain: u32) -> Result<bool, TableError> {
        let (writer, chain) = (self.writer, i64::from(chain));
        let own = "SELECT 1 FROM record_writers WHERE chain = $1 AND writer = $2";
        let own = self.session()?.query(own, &[&chain, &writer]);
        self.after(own).map(|own| own.is_empty())
    }

    pub(in crate::record) fn release(&mut self) -> Result<(), TableError> {
        let writer = self.writer;
        let ended = "UPDATE record_writers SET writer = NULL WHERE writer = $1";
        self.session()?.execute(ended, &[&writer]).map(|_| ())
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
                ON CONFLICT (chain) DO UPDATE SET batches = excluded.batches";
            let batches = (step.batch.number + 1).cast_signed();
            execute(client, sql, &[&i64::from(step.batch.chain), &batches]).await?;
        }
    }
    Ok(())
}

pub(super) fn last(session: &Session, chain: u32) -> Result<Option<Head>, TableError> {
    let found = session.query(LAST, &[&place(chain, 0), &place(chain + 1, 0)])?;
    let head = found.first().map(|row| {
        Ok(Head {
            sequence: sequence_of(number(row, 0)?.cast_signed()),
            hash: super::hash(row, 1)?,
        })
    });
    head.transpose()
}
