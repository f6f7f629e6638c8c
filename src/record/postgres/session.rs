//! A connection of its own for each who writes or reads, on threads that may wait.

use crate::record::fault::TableError;
use crate::store::{PostgresServer, StoreError};
use deadpool_postgres::ClientWrapper;
use std::time::Duration;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Error, Row};

/// Longest wait of a reader for one answer of the database.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);
/// Begins a transaction, by whatever settings the server runs. They end with it, so that a connection can be shared with
/// others who have transactions of their own.
const BEGIN: &str = "
    BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL synchronous_commit = on;
    SET LOCAL lock_timeout = 5000; SET LOCAL statement_timeout = 60000;
    SET LOCAL idle_in_transaction_session_timeout = 10000";

pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

pub(super) struct Session {
    server: PostgresServer,
    client: ClientWrapper,
}

impl Session {
    pub(super) fn connect(server: &PostgresServer) -> Result<Self, TableError> {
        Ok(Self {
            server: server.clone(),
            client: server.runtime().block_on(server.connect())?,
        })
    }

    /// The same where the record has to be there already.
    pub(super) fn open(server: &PostgresServer) -> Result<Self, TableError> {
        let session = Self::connect(server)?;
        match server.runtime().block_on(server.check(&session.client))? {
            true => Ok(session),
            false => Err(TableError::Absent(server.shown().to_owned())),
        }
    }

    /// Waits so long for what is asked of the connection.
    pub(super) fn wait<T>(
        &self,
        longest: Duration,
        asked: impl AsyncFnOnce(&ClientWrapper) -> Result<T, TableError>,
    ) -> Result<T, TableError> {
        let (runtime, client) = (self.server.runtime(), &self.client);
        let answered = runtime.block_on(async { tokio::time::timeout(longest, asked(client)).await });
        answered.unwrap_or_else(|_| Err(TableError::Unavailable("PostgreSQL does not answer".to_owned())))
    }

    pub(super) fn query(&self, sql: &str, parameters: Parameters) -> Result<Vec<Row>, TableError> {
        self.query_within(ANSWERED_WITHIN, sql, parameters)
    }

    pub(super) fn query_within(
        &self,
        longest: Duration,
        sql: &str,
        parameters: Parameters,
    ) -> Result<Vec<Row>, TableError> {
        self.wait(longest, async |client| query(client, sql, parameters).await)
    }

    /// Gives how many rows it concerned.
    pub(super) fn execute(&self, sql: &str, parameters: Parameters) -> Result<u64, TableError> {
        self.wait(ANSWERED_WITHIN, async |client| {
            execute(client, sql, parameters).await
        })
    }

    /// Does all of it in a transaction that is durable once it is committed. What fails is rolled back with the
    /// connection, which is not to be used again.
    pub(super) fn transact<T>(
        &self,
        longest: Duration,
        asked: impl AsyncFnOnce(&ClientWrapper) -> Result<T, TableError>,
    ) -> Result<T, TableError> {
        let warnings = self.server.warnings();
        let done = self.wait(longest, async |client| {
            client.batch_execute(BEGIN).await?;
            let done = asked(client).await?;
            client.batch_execute("COMMIT").await?;
            Ok(done)
        });
        self.heed(warnings).and(done)
    }

    /// Does one statement in such a transaction, all of it sent at once. Gives how many rows it concerned.
    pub(super) fn transact_one(
        &self,
        longest: Duration,
        sql: &str,
        parameters: Parameters,
    ) -> Result<u64, TableError> {
        let warnings = self.server.warnings();
        let done = self.wait(longest, async |client| {
            let statement = client.prepare_cached(sql).await?;
            let (begun, done, committed) = futures_util::join!(
                client.batch_execute(BEGIN),
                client.execute(&statement, parameters),
                client.batch_execute("COMMIT")
            );
            begun?;
            // A transaction that failed is rolled back by its COMMIT, which then succeeds.
            let rows = done?;
            committed?;
            Ok(rows)
        });
        self.heed(warnings).and(done)
    }

    /// A warning that comes with a commit says that the synchronous standby may not have it.
    fn heed(&self, warnings: u64) -> Result<(), TableError> {
        match self.server.warnings() == warnings {
            true => Ok(()),
            false => Err(TableError::Unavailable(
                "PostgreSQL committed with a warning".to_owned(),
            )),
        }
    }
}

pub(super) async fn query(
    client: &ClientWrapper,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<Vec<Row>, TableError> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.query(&statement, parameters).await?)
}

pub(super) async fn execute(
    client: &ClientWrapper,
    sql: &str,
    parameters: Parameters<'_>,
) -> Result<u64, TableError> {
    let statement = client.prepare_cached(sql).await?;
    Ok(client.execute(&statement, parameters).await?)
}

impl From<Error> for TableError {
    fn from(cause: Error) -> Self {
        match cause.code() {
            Some(&SqlState::UNIQUE_VIOLATION) => Self::OtherEnd,
            _ => StoreError::from(cause).into(),
        }
    }
}
