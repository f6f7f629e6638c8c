//! The engines that the contract holds for, and a place for a register of each.

use crate::deliveries::now;
use crate::postgres::Database;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kundeforhold::pseudonym::{MasterKey, PseudonymRing};
use kundeforhold::store::{PostgresOptions, Store, StoreError, StoreOptions, StorePlace};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// A key of that number.
pub fn key(number: u8) -> MasterKey {
    MasterKey::parse(&STANDARD.encode([number; 64])).unwrap()
}

/// What a store is opened with: a key, and the next one for a rekey.
pub fn ring(present: u8, next: Option<u8>) -> Arc<PseudonymRing> {
    let next = next.map(key);
    Arc::new(PseudonymRing::new(&key(present), next.as_ref()))
}

/// What keeps the register.
#[derive(Debug, Clone, Copy)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::Postgres];
}

/// Where a register is kept; gone with what it holds when it is dropped.
pub struct Place {
    /// Of the engine that takes one.
    directory: TempDir,
    database: Option<Database>,
}

impl Place {
    pub fn new(engine: Engine) -> Self {
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(now(Database::create())),
        };
        Self::of(database)
    }

    fn of(database: Option<Database>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory, database }
    }

    /// The file of SQLite.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("register.sqlite")
    }

    pub fn scratch(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    /// Of PostgreSQL.
    pub fn database(&self) -> Option<&Database> {
        self.database.as_ref()
    }

    /// As the settings name it.
    pub fn address(&self) -> StorePlace {
        match &self.database {
            Some(database) => at(&database.url(), true),
            None => StorePlace::Sqlite(self.path()),
        }
    }

    pub fn open(&self) -> Store {
        self.open_with(ring(1, None)).unwrap()
    }

    pub fn open_with(&self, keys: Arc<PseudonymRing>) -> Result<Store, StoreError> {
        self.open_in(self.address(), keys)
    }

    /// Opens the database that is named.
    pub fn open_at(&self, url: &str) -> Result<Store, StoreError> {
        self.open_in(at(url, true), ring(1, None))
    }

    /// The same, where somebody else migrates.
    pub fn open_unmigrated_at(&self, url: &str) -> Result<Store, StoreError> {
        self.open_in(at(url, false), ring(1, None))
    }

    fn open_in(&self, place: StorePlace, keys: Arc<PseudonymRing>) -> Result<Store, StoreError> {
        let options = StoreOptions {
            place,
            timeout: Duration::from_secs(10),
            cache_kib: 1_024,
            is_cached: true,
            remembered_changes: 1_000,
            scratch: self.scratch(),
        };
        now(Store::open(&options, keys))
    }

    /// What is left if the process is killed now, once others have noticed.
    pub fn after_kill(&self) -> Self {
        if let Some(database) = &self.database {
            let left = now(database.copy());
            now(left.run(GIVEN_UP));
            return Self::of(Some(left));
        }
        let left = Self::of(None);
        // A store that was closed has no log.
        let there = |file: &&str| self.directory.path().join(file).exists();
        for file in ["register.sqlite", "register.sqlite-wal"]
            .into_iter()
            .filter(there)
        {
            std::fs::copy(self.directory.path().join(file), left.directory.path().join(file)).unwrap();
        }
        left
    }

    /// Rows of a table.
    pub fn count(&self, table: &str) -> u64 {
        let count = format!("SELECT count(*) FROM {table}");
        match &self.database {
            Some(database) => now(database.number(&count)).cast_unsigned(),
            None => {
                let file = rusqlite::Connection::open(self.path()).unwrap();
                file.query_row(&count, [], |row| row.get(0)).unwrap()
            }
        }
    }

    /// Rows that point to accounts, where an index does not.
    pub fn accounts(&self) -> Option<u64> {
        self.database.is_none().then(|| self.count("accounts"))
    }

    /// Does what no call lets anybody do.
    pub fn run(&self, sql: &str) {
        match &self.database {
            Some(database) => now(database.run(sql)),
            None => rusqlite::Connection::open(self.path())
                .unwrap()
                .execute_batch(sql)
                .unwrap(),
        }
    }
}

pub fn at(url: &str, migrates: bool) -> StorePlace {
    StorePlace::Postgres(PostgresOptions {
        url: url.into(),
        password: None,
        ca_certificate: None,
        client_certificate: None,
        connections: 6,
        migrates,
    })
}

/// What other instances do with the deliveries of one that has died, ten seconds later.
const GIVEN_UP: &str = "
    DO $$ BEGIN IF to_regclass('deliveries') IS NOT NULL THEN
        DELETE FROM pending_calls WHERE set_id IN (SELECT set_id FROM deliveries WHERE state = 0);
        UPDATE deliveries SET state = 3, reason = 'given up' WHERE state = 0;
    END IF; END $$";

/// Runs a test on a new place of one engine.
pub fn on(engine: Engine, test: impl AsyncFn(Place)) {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async { test(Place::new(engine)).await });
}

/// Runs a test on a new place of each engine.
pub fn on_each_engine(test: impl AsyncFn(Place)) {
    for engine in Engine::ALL {
        on(engine, &test);
    }
}

/// Runs a test of what is a file's alone.
pub fn on_sqlite(test: impl AsyncFn(Place)) {
    on(Engine::Sqlite, test);
}

/// Runs a test of what several instances do.
pub fn on_postgres(test: impl AsyncFn(Place)) {
    on(Engine::Postgres, test);
}
