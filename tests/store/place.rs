//! The engines that the contract holds for, and a place for a register of each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kundeforhold::pseudonym::{MasterKey, PseudonymRing};
use kundeforhold::store::{Store, StoreError, StoreOptions};
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
}

impl Engine {
    const ALL: [Self; 1] = [Self::Sqlite];
}

/// Where a register is kept; gone with what it holds when it is dropped.
pub struct Place {
    engine: Engine,
    directory: TempDir,
}

impl Place {
    pub fn new(engine: Engine) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { engine, directory }
    }

    pub fn path(&self) -> PathBuf {
        self.directory.path().join("register.sqlite")
    }

    pub fn scratch(&self) -> PathBuf {
        self.directory.path().to_owned()
    }

    pub fn open(&self) -> Store {
        self.open_with(ring(1, None)).unwrap()
    }

    pub fn open_with(&self, keys: Arc<PseudonymRing>) -> Result<Store, StoreError> {
        match self.engine {
            Engine::Sqlite => {
                let options = StoreOptions {
                    path: self.path(),
                    timeout: Duration::from_secs(10),
                    cache_kib: 1_024,
                    is_cached: true,
                    remembered_changes: 1_000,
                    scratch: self.scratch(),
                };
                Store::open(&options, keys)
            }
        }
    }

    /// What is left if the process is killed now.
    pub fn after_kill(&self) -> Self {
        let left = Self::new(self.engine);
        match self.engine {
            Engine::Sqlite => {
                // A store that was closed has no log.
                let there = |file: &&str| self.directory.path().join(file).exists();
                for file in ["register.sqlite", "register.sqlite-wal"]
                    .into_iter()
                    .filter(there)
                {
                    std::fs::copy(self.directory.path().join(file), left.directory.path().join(file))
                        .unwrap();
                }
            }
        }
        left
    }
}

/// Runs a test on a new place of each engine.
pub fn on_each_engine(test: impl AsyncFn(Place)) {
    for engine in Engine::ALL {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_time().build().unwrap();
        runtime.block_on(test(Place::new(engine)));
    }
}
