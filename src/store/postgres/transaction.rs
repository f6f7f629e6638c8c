//! Transactions, and what becomes of one whose end nobody has heard of.

use super::Store;
use crate::store::StoreError;
use chrono::Utc;
use deadpool_postgres::{ClientWrapper, Object, Timeouts};
use std::time::{Duration, Instant};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

/// Longest that a statement of a transaction takes, but for those of merges.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(60);
/// An instance that does nothing with its transaction for so long has lost it.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest wait to hear of a commit: a synchronous standby that is away holds it up.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest that an attempt to settle a commit waits for its end.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
/// Between two such attempts.
const SETTLE_AGAIN_AFTER: Duration = Duration::from_millis(250);

pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A transaction, on a connection that it has to itself. Dropped before it is committed, it is rolled back.
pub(super) struct Transaction {
    store: Store,
    connection: Option<Object>,
    /// By which it is asked for later whether it was committed.
    id: Uuid,
    is_noted: bool,
}

impl Transaction {
    /// Begins one that waits so long for a connection, and for each lock.
    pub(super) async fn begin(store: &Store, wait: Duration) -> Result<Self, StoreError> {
        let since = Instant::now();
        let mut transaction = Self::open(store, wait).await?;
        let settings = begin_with(wait.saturating_sub(since.elapsed()));
        if transaction.client()?.batch_execute(&settings).await.is_err() {
            // The server may have closed it while nobody used it.
            transaction.give_up();
            transaction = Self::open(store, wait).await?;
            let begun = transaction.client()?.batch_execute(&settings).await;
            if let Err(cause) = begun {
                transaction.give_up();
                store.note_write(false);
                return Err(cause.into());
            }
        }
        Ok(transaction)
    }

    async fn open(store: &Store, wait: Duration) -> Result<Self, StoreError> {
        let timeouts = Timeouts {
            wait: Some(wait),
            ..store.0.pool.timeouts()
        };
        let connection = store.0.pool.timeout_get(&timeouts).await;
        if connection.is_err() {
            store.note_write(false);
        }
        Ok(Self {
            store: store.clone(),
            connection: Some(connection?),
            id: Uuid::now_v7(),
            is_noted: false,
        })
    }

    pub(super) fn client(&self) -> Result<&ClientWrapper, StoreError> {
        match &self.connection {
            Some(connection) if !self.store.is_closed() => Ok(connection),
            Some(_) | None => Err(StoreError::Closed),
        }
    }

    pub(super) async fn query(&self, sql: &str, parameters: Parameters<'_>) -> Result<Vec<Row>, StoreError> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query(&statement, parameters).await?)
    }

    pub(super) async fn query_opt(
        &self,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Option<Row>, StoreError> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.query_opt(&statement, parameters).await?)
    }

    /// Gives how many rows it concerned.
    pub(super) async fn execute(&self, sql: &str, parameters: Parameters<'_>) -> Result<u64, StoreError> {
        let client = self.client()?;
        let statement = client.prepare_cached(sql).await?;
        Ok(client.execute(&statement, parameters).await?)
    }

    /// Statements that are not used often enough to be kept prepared, without anything that rows hold.
    pub(super) async fn run(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.client()?.batch_execute(sql).await?)
    }

    /// Writes its id, before what others wait for.
    pub(super) async fn note(&mut self) -> Result<(), StoreError> {
        let note = "INSERT INTO commits (id, is_applied, at) VALUES ($1, true, $2)";
        self.execute(note, &[&self.id, &Utc::now().timestamp_millis()])
            .await?;
        self.is_noted = true;
        Ok(())
    }

    /// Commits. It is known whether it is committed when this returns, however long that takes.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        if !self.is_noted {
            self.note().await?;
        }
        let (store, id) = (self.store.clone(), self.id);
        let committed = self.end().await;
        store.note_write(committed.is_ok());
        match committed {
            Ok(()) => Ok(()),
            Err(cause) => store.settle(id, &cause).await,
        }
    }

    /// Commits; an error does not say that it is not committed.
    pub(super) async fn end(mut self) -> Result<(), StoreError> {
        let warnings = self.store.0.connector.warnings();
        let committed = tokio::time::timeout(COMMIT_TIMEOUT, self.client()?.batch_execute("COMMIT")).await;
        let outcome = match committed {
            Err(_) => Err(StoreError::TimedOut),
            Ok(Err(cause)) => Err(cause.into()),
            // Such as one that the synchronous standby may not have it.
            Ok(Ok(())) if self.store.0.connector.warnings() != warnings => Err(StoreError::Unavailable(
                "PostgreSQL committed with a warning".to_owned(),
            )),
            Ok(Ok(())) => Ok(()),
        };
        match outcome {
            Ok(()) => drop(self.connection.take()),
            Err(_) => self.give_up(),
        }
        outcome
    }

    /// Closes the connection: nobody is to use it again.
    fn give_up(&mut self) {
        self.connection.take().map(Object::take);
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let Some(connection) = self.connection.take() else {
            return;
        };
        self.store.0.runtime.spawn(async move {
            if connection.batch_execute("ROLLBACK").await.is_err() {
                drop(Object::take(connection));
            }
        });
    }
}

/// What holds for every transaction, by whatever settings the server runs. Settings end with the transaction, so that a
/// connection can be shared with others who have transactions of their own.
fn begin_with(lock_wait: Duration) -> String {
    format!(
        "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = on;
         SET LOCAL lock_timeout = {}; SET LOCAL statement_timeout = {};
         SET LOCAL idle_in_transaction_session_timeout = {}",
        // 0 would be no bound at all.
        lock_wait.as_millis().max(1),
        STATEMENT_TIMEOUT.as_millis(),
        IDLE_TIMEOUT.as_millis(),
    )
}

impl Store {
    /// Whether a transaction was committed, once it is certain. It may still be under way, so that nothing is proven by
    /// looking; instead its id is written as void, which either finds it committed or keeps it from ever being.
    async fn settle(&self, id: Uuid, cause: &StoreError) -> Result<(), StoreError> {
        tracing::warn!(%cause, event = "commit_unknown", "it is not known whether a transaction was committed");
        metrics::counter!("kundeforhold_store_unknown_commits_total").increment(1);
        loop {
            match self.make_void(id).await {
                Ok(true) => return Ok(()),
                Ok(false) => {
                    return Err(StoreError::Unavailable(
                        "a transaction was not committed".to_owned(),
                    ));
                }
                Err(_) if self.is_closed() => return Err(StoreError::Closed),
                Err(_) => tokio::time::sleep(SETTLE_AGAIN_AFTER).await,
            }
        }
    }

    /// Whether the transaction of this id is committed; if not, it never is from here on. Writes in either case, so that
    /// what it says is as safe as any commit.
    async fn make_void(&self, id: Uuid) -> Result<bool, StoreError> {
        let transaction = Transaction::begin(self, SETTLE_TIMEOUT).await?;
        let void = "INSERT INTO commits (id, is_applied, at) VALUES ($1, false, $2)
            ON CONFLICT (id) DO UPDATE SET at = excluded.at RETURNING is_applied";
        let found = transaction
            .query(void, &[&id, &Utc::now().timestamp_millis()])
            .await?;
        let found = found.first().ok_or(StoreError::Damaged("a commit"))?;
        let is_applied = found.try_get(0)?;
        transaction.end().await?;
        self.note_write(true);
        Ok(is_applied)
    }
}
