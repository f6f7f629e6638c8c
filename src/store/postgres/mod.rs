//! The store that several instances share: a PostgreSQL database, where transactions and row locks decide.

mod clock;
mod connect;
mod copy;
mod deliveries;
mod erase;
mod keys;
mod lock;
mod lookup;
mod memory;
mod merge;
mod publish;
mod receipts;
mod rekey;
mod rows;
mod schema;
mod server;
mod sets;
mod target;
mod tls;
mod transaction;
mod upkeep;
mod usage;
mod watch;

pub use lock::SetLock;
pub use merge::{KeptCalls, Merge, SortedRecords, Written};
pub use rekey::Rekeyed;
pub use server::PostgresServer;

use self::connect::{Connector, Readers};
use self::memory::Memory;
use self::target::Target;
use self::watch::Own;
use super::keys::RowKeys;
use super::locks::SetLocks;
use super::{Publications, RowKey, Sets, StoreError, StoreOptions};
use crate::domain::relationship::SetId;
use crate::pseudonym::PseudonymRing;
use deadpool_postgres::Pool;
use secrecy::SecretString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// Connections that lookups share, at most. What is asked over one goes one after the other, without waiting for answers.
const MOST_READERS: usize = 4;

/// How PostgreSQL is reached.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// `postgres://USER@HOST:PORT,HOST:PORT/DATABASE?sslmode=verify-full`
    pub url: SecretString,
    /// Where the URL has none.
    pub password: Option<SecretString>,
    /// Who vouches for the server's certificate, in PEM; `None`: those that the system trusts.
    pub ca_certificate: Option<Vec<u8>>,
    /// Certificate and key of this program, in PEM.
    pub client_certificate: Option<(Vec<u8>, SecretString)>,
    /// Connections, at most.
    pub connections: usize,
    /// The schema is brought up to this program when the store is opened.
    pub migrates: bool,
}

/// The register in a PostgreSQL database. Cheap to clone; any number of processes serve it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    connector: Arc<Connector>,
    readers: Readers,
    pool: Pool,
    timeout: Duration,
    given: Arc<PseudonymRing>,
    keys: RowKeys,
    memory: Memory,
    /// One task of this process a set waits for its row at a time: who waits has a connection.
    locks: SetLocks,
    /// The deliveries that this process receives.
    own: Own,
    /// The day that all records are erased which ended before it.
    erased_before: AtomicI32,
    /// Where connections live, and what goes on when its caller has gone away.
    runtime: Handle,
    /// The last write went well.
    writable: AtomicBool,
    end: CancellationToken,
}

impl Inner {
    /// Of the keys that the process was given.
    fn fingerprints(&self) -> Vec<Vec<u8>> {
        let next = self.given.next();
        let all = std::iter::once(self.given.present()).chain(next);
        all.map(|pseudonyms| pseudonyms.fingerprint().to_vec()).collect()
    }
}

impl Store {
    /// Opens the database, made and brought up to this program's schema if it is to be.
    pub async fn open(
        place: &PostgresOptions,
        options: &StoreOptions,
        given: Arc<PseudonymRing>,
    ) -> Result<Self, StoreError> {
        let connector = Arc::new(Connector::new(Target::parse(place)?, Handle::current()));
        let mut client = connector.connect().await?;
        if place.migrates {
            schema::migrate(&mut client).await?;
        } else {
            schema::require(&client).await?;
        }
        let keys = keys::claim(&mut client, &given).await?;
        clock::begin(&*client).await?;
        drop(client);
        let readers = (place.connections / 4).clamp(1, MOST_READERS);
        let remembered = if options.is_cached {
            options.remembered_changes
        } else {
            1
        };
        let store = Self(Arc::new(Inner {
            readers: Readers::new(&connector, readers),
            pool: connector.pool(place.connections.saturating_sub(readers).max(1))?,
            connector,
            timeout: options.timeout,
            given,
            keys,
            memory: Memory::new(remembered),
            locks: SetLocks::default(),
            own: Own::default(),
            erased_before: AtomicI32::new(i32::MIN),
            runtime: Handle::current(),
            writable: AtomicBool::new(true),
            end: CancellationToken::new(),
        }));
        store.recall().await?;
        store
            .0
            .runtime
            .spawn(watch::run(Arc::downgrade(&store.0), store.0.end.clone()));
        Ok(store)
    }

    /// Looks at a database without serving it: how its sets stand, if this program may serve it with these keys.
    /// `None`: there is none yet.
    pub async fn look(place: &PostgresOptions, given: &PseudonymRing) -> Result<Option<Sets>, StoreError> {
        let connector = Connector::new(Target::parse(place)?, Handle::current());
        let client = connector.connect().await?;
        if !schema::check(&client).await? {
            return Ok(None);
        }
        keys::look(&client, given).await?;
        sets::load(&client.query(sets::ALL, &[]).await?).map(Some)
    }

    /// Brings a database's schema up to this program, made if need be.
    pub async fn migrate(place: &PostgresOptions) -> Result<(), StoreError> {
        let connector = Connector::new(Target::parse(place)?, Handle::current());
        schema::migrate(&mut connector.connect().await?).await
    }

    /// How the sets stood when the publications were read last.
    pub fn sets(&self) -> Arc<Sets> {
        self.0.memory.sets()
    }

    /// The keys that the process was given.
    pub fn given(&self) -> &PseudonymRing {
        &self.0.given
    }

    /// What rows of a set are sealed with, or will be.
    pub fn key_of(&self, set: SetId) -> Result<RowKey, StoreError> {
        match self.sets().get(set) {
            Some(state) => self.0.keys.get(state.key),
            None => self.0.keys.any(),
        }
    }

    /// Whether a set stands under a key that the process was not given.
    pub fn lacks_key(&self) -> bool {
        self.sets()
            .iter()
            .any(|(_, state)| self.0.keys.get(state.key).is_err())
    }

    /// The publications of late.
    pub fn publications(&self) -> &Publications {
        &self.0.memory.publications
    }

    /// Whether the last write went well.
    pub fn is_writable(&self) -> bool {
        self.0.writable.load(Ordering::Relaxed)
    }

    /// Tries whether the store can be written again.
    pub async fn probe(&self) -> Result<(), StoreError> {
        if self.is_closed() {
            return Err(StoreError::Closed);
        }
        let transaction = transaction::Transaction::begin(self, self.0.timeout).await?;
        transaction.commit().await
    }

    /// What the database takes on the disk of its server.
    pub async fn bytes(&self) -> Result<u64, StoreError> {
        let reader = self.0.readers.get().await?;
        let size = "SELECT pg_database_size(current_database())";
        let size = reader.client.query_one(size, &[]).await?;
        Ok(size.try_get::<_, i64>(0)?.cast_unsigned())
    }

    /// The hosts and the database.
    pub fn shown(&self) -> &str {
        self.0.connector.shown()
    }

    /// Closes all connections that are not in use.
    pub fn close(&self) {
        self.0.end.cancel();
        self.0.pool.close();
        self.0.readers.close();
    }

    fn is_closed(&self) -> bool {
        self.0.end.is_cancelled()
    }

    fn note_write(&self, went_well: bool) {
        self.0.writable.store(went_well, Ordering::Relaxed);
    }
}
