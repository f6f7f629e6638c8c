//! A server that others than the register's store keep something in, too.

use super::PostgresOptions;
use super::connect::Connector;
use super::schema;
use super::target::Target;
use crate::store::StoreError;
use deadpool_postgres::ClientWrapper;
use std::sync::Arc;
use tokio::runtime::Handle;

/// A database, and the runtime that connections to it live on. Cheap to clone.
#[derive(Clone)]
pub struct PostgresServer {
    connector: Arc<Connector>,
    migrates: bool,
}

impl PostgresServer {
    /// To be called on the runtime. Nothing is asked of the server yet.
    ///
    /// # Errors
    /// Options that cannot be understood.
    pub fn find(options: &PostgresOptions) -> Result<Self, StoreError> {
        Ok(Self {
            connector: Arc::new(Connector::new(Target::parse(options)?, Handle::current())),
            migrates: options.migrates,
        })
    }

    /// One more connection.
    pub async fn connect(&self) -> Result<ClientWrapper, StoreError> {
        self.connector.connect().await
    }

    /// Brings the schema up to this program, if that is to be; else it has to be.
    pub async fn migrate(&self) -> Result<(), StoreError> {
        let mut client = self.connect().await?;
        if self.migrates {
            return schema::migrate(&mut client).await;
        }
        schema::require(&client).await
    }

    /// Whether the schema is there, and one that this program may work on.
    pub async fn check(&self, client: &ClientWrapper) -> Result<bool, StoreError> {
        schema::check(client).await
    }

    /// How many warnings have come: one that comes with a commit tells that it may not be safe yet.
    pub fn warnings(&self) -> u64 {
        self.connector.warnings()
    }

    pub fn runtime(&self) -> &Handle {
        self.connector.runtime()
    }

    /// Hosts and database. Shows no user and no password.
    pub fn shown(&self) -> &str {
        self.connector.shown()
    }
}
