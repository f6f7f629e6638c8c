//! An index on a real store, rows to put in it, and readers that look on.

use crate::redis_server::RedisServer;
use crate::servers::Servers;
use chrono::{DateTime, Days, NaiveDate};
use kundeforhold::domain::identifiers::OrganizationNumber;
use kundeforhold::domain::overview::HeldRelationship;
use kundeforhold::domain::relationship::{Interval, Register, Relationship, Role, SetId};
use kundeforhold::index::embedded::Embedded;
use kundeforhold::index::layout::{Generation, Marker, Row, RowWrite, SetState};
use kundeforhold::index::redis::{Redis, RedisOptions};
use kundeforhold::index::{Index, IndexError, ScannedRow};
use kundeforhold::pseudonym::{AccountKey, AgreementKey, CustomerKey, KeyFingerprint, Sought};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::sync::OwnedMutexGuard;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Longest wait for one lookup.
pub const LOOKUP_TIMEOUT: Duration = Duration::from_secs(1);
const CACHE_BYTES: usize = 16 << 20;
pub const KEY: KeyFingerprint = *b"same key";

pub enum Store {
    Embedded(TempDir),
    Redis(RedisServer),
    /// Several servers, shared by the tests, which take turns.
    Shared(OwnedMutexGuard<Servers>),
}

type Turns = LazyLock<Arc<tokio::sync::Mutex<Servers>>>;

static SENTINEL: Turns = LazyLock::new(|| Arc::new(tokio::sync::Mutex::new(Servers::start("sentinel"))));
static CLUSTER: Turns = LazyLock::new(|| Arc::new(tokio::sync::Mutex::new(Servers::start("cluster"))));

pub struct Bench {
    pub index: Index,
    pub store: Store,
}

pub fn index_file(directory: &Path) -> PathBuf {
    directory.join("index.redb")
}

pub fn open_embedded(directory: &Path) -> Result<Index, IndexError> {
    Ok(Index::Embedded(Arc::new(Embedded::open(
        &index_file(directory),
        CACHE_BYTES,
    )?)))
}

pub fn connect(server: &RedisServer) -> Arc<Redis> {
    connect_to(&server.url())
}

pub fn connect_to(url: &str) -> Arc<Redis> {
    let options = RedisOptions {
        lookup_connections: 2,
        pool_connections: 4,
        connect_timeout: Duration::from_secs(1),
        lookup_timeout: LOOKUP_TIMEOUT,
        write_timeout: Duration::from_secs(10),
        ..RedisOptions::default()
    };
    Arc::new(Redis::connect(url, &options).unwrap())
}

impl Bench {
    pub fn embedded() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            index: open_embedded(directory.path()).unwrap(),
            store: Store::Embedded(directory),
        }
    }

    pub fn redis() -> Self {
        let server = RedisServer::start();
        Self {
            index: Index::Redis(connect(&server)),
            store: Store::Redis(server),
        }
    }

    pub async fn sentinel() -> Self {
        Self::shared(&SENTINEL).await
    }

    pub async fn cluster() -> Self {
        Self::shared(&CLUSTER).await
    }

    async fn shared(servers: &'static Turns) -> Self {
        let turns = tokio::task::spawn_blocking(|| Arc::clone(servers)).await.unwrap();
        let servers = turns.lock_owned().await;
        for port in servers.masters() {
            assert_eq!(servers.command(port, &["FLUSHALL"]).trim(), "OK");
        }
        Self {
            index: Index::Redis(connect_to(servers.url())),
            store: Store::Shared(servers),
        }
    }

    /// The same store, opened or connected to once more after the first index is gone.
    pub fn reopened(self) -> Self {
        let Self { index, store } = self;
        drop(index);
        let index = match &store {
            Store::Embedded(directory) => open_embedded(directory.path()).unwrap(),
            Store::Redis(server) => Index::Redis(connect(server)),
            Store::Shared(servers) => Index::Redis(connect_to(servers.url())),
        };
        Self { index, store }
    }

    /// What another instance of the service holds: on one machine, the same engine.
    pub fn another_instance(&self) -> Index {
        match &self.store {
            Store::Embedded(_) => self.index.clone(),
            Store::Redis(server) => Index::Redis(connect(server)),
            Store::Shared(servers) => Index::Redis(connect_to(servers.url())),
        }
    }

    /// Puts rows into a generation and switches to it.
    pub async fn load(&self, set: SetId, generation: Generation, rows: &[Row]) {
        let state = Some(state(generation));
        self.index
            .write(set, generation, puts(rows), state)
            .await
            .unwrap();
    }

    pub async fn complete(&self) {
        self.index.complete(marker(1)).await.unwrap();
    }

    pub async fn found(&self, customer: u64) -> Vec<HeldRelationship> {
        sorted(self.index.find_relationships(&sought(customer)).await.unwrap())
    }

    /// Every row of every generation, sorted.
    pub async fn scanned(&self) -> Vec<String> {
        let mut rows = Vec::new();
        let mut visit = |row| {
            rows.push(match row {
                ScannedRow::Relationship(customer, row) => format!("{customer:?} {row:?}"),
                ScannedRow::Account(account, row) => format!("{account:?} {row:?}"),
            });
        };
        self.index.scan(&mut visit).await.unwrap();
        rows.sort();
        if !matches!(self.store, Store::Embedded(_)) {
            // SCAN may show a key more than once while its table grows or shrinks.
            rows.dedup();
        }
        rows
    }
}

pub fn kar(at: usize) -> SetId {
    let number = ["123456785", "810059672", "988077917"][at];
    SetId {
        bank: OrganizationNumber::parse(number).unwrap(),
        register: Register::Kar,
    }
}

pub fn kfr(at: usize) -> SetId {
    SetId {
        register: Register::Kfr,
        ..kar(at)
    }
}

pub fn marker(build: u64) -> Marker {
    Marker {
        register_id: Uuid::from_u128(7),
        key: KEY,
        build,
    }
}

/// A customer under the key of every marker here.
pub fn sought(customer: u64) -> Sought<CustomerKey> {
    Sought::new([(KEY, customer_key(customer))])
}

pub fn sought_account(account: AccountKey) -> Sought<AccountKey> {
    Sought::new([(KEY, account)])
}

pub fn state(generation: Generation) -> SetState {
    SetState {
        key: KEY,
        generation,
        position: u64::from(generation),
        journal: Uuid::nil(),
        fence: 0,
        sequence: 0,
        running: 0,
        gap: false,
        vouched: 0,
        last_delivery: DateTime::UNIX_EPOCH,
        retired: Vec::new(),
    }
}

/// Spread over all groups of keys, as pseudonyms are.
pub fn customer_key(customer: u64) -> CustomerKey {
    let mut key = [0; 16];
    key[..8].copy_from_slice(
        &customer
            .wrapping_add(1)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .to_be_bytes(),
    );
    key[8..].copy_from_slice(&customer.to_be_bytes());
    CustomerKey(key)
}

pub fn account_key(customer: u64, agreement: u64) -> AccountKey {
    let mut key = [0; 10];
    key[..8].copy_from_slice(&customer_key(customer * 10_000 + agreement).0[..8]);
    AccountKey(key)
}

/// A row with an account; the first day follows from the agreement.
pub fn row(customer: u64, agreement: u64, role: Role) -> Row {
    let first = NaiveDate::from_ymd_opt(2010, 1, 1).unwrap();
    let from = first + Days::new(agreement % 3_000);
    let mut key = [0; 6];
    key.copy_from_slice(&(agreement + 1).to_be_bytes()[2..]);
    Row {
        customer: customer_key(customer),
        agreement: AgreementKey(key),
        account: Some(account_key(customer, agreement)),
        relationship: Relationship::new(role, true, false, Interval::new(from, None).unwrap()),
    }
}

pub fn rows(customer: u64, agreements: std::ops::Range<u64>, role: Role) -> Vec<Row> {
    agreements
        .map(|agreement| row(customer, agreement, role))
        .collect()
}

pub fn puts(rows: &[Row]) -> Vec<RowWrite> {
    rows.iter().copied().map(RowWrite::Put).collect()
}

pub fn deletes(rows: &[Row]) -> Vec<RowWrite> {
    rows.iter().copied().map(RowWrite::Delete).collect()
}

/// What a lookup finds when these rows answer.
pub fn held(set: SetId, rows: &[Row]) -> Vec<HeldRelationship> {
    let held = |row: &Row| HeldRelationship {
        bank: set.bank,
        relationship: row.relationship,
    };
    sorted(rows.iter().map(held).collect())
}

pub fn sorted(mut held: Vec<HeldRelationship>) -> Vec<HeldRelationship> {
    held.sort_by_key(|held| (held.bank, held.relationship));
    held
}

pub type Answer = Result<Vec<HeldRelationship>, IndexError>;

/// Tasks that look one customer up again and again, and name what they find.
pub struct Readers {
    stop: Arc<AtomicBool>,
    found: Arc<Mutex<BTreeSet<&'static str>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Readers {
    const TASKS: usize = 3;
    /// Longest wait for readers to get a turn, on a machine with other things to do.
    const PATIENCE: Duration = Duration::from_secs(30);

    pub fn start(
        index: &Index,
        customer: u64,
        name: impl Fn(Answer) -> &'static str + Clone + Send + 'static,
    ) -> Self {
        Self::of(index, sought(customer), name)
    }

    /// Of a customer under whichever key answers.
    pub fn of(
        index: &Index,
        customer: Sought<CustomerKey>,
        name: impl Fn(Answer) -> &'static str + Clone + Send + 'static,
    ) -> Self {
        let (stop, found) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let read = || {
            let (index, name, customer) = (index.clone(), name.clone(), customer.clone());
            let (stop, found): (Arc<AtomicBool>, Arc<Mutex<BTreeSet<_>>>) =
                (Arc::clone(&stop), Arc::clone(&found));
            async move {
                while !stop.load(Ordering::Relaxed) {
                    let answer = index.find_relationships(&customer).await;
                    found.lock().unwrap().insert(name(answer.map(sorted)));
                    tokio::task::yield_now().await;
                }
            }
        };
        let tasks = (0..Self::TASKS).map(|_| tokio::spawn(read())).collect();
        Self { stop, found, tasks }
    }

    /// Waits until a reader has found this.
    pub async fn see(&self, name: &'static str) {
        let asked = Instant::now();
        while !self.found.lock().unwrap().contains(name) {
            assert!(asked.elapsed() < Self::PATIENCE, "no reader found \"{name}\"");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// The names of what was found, each once.
    pub async fn stop(self) -> Vec<&'static str> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let found = self.found.lock().unwrap();
        found.iter().copied().collect()
    }
}
