//! Starts the program the way an operator does, beside an issuer and, with a cache, a real Redis.

pub mod ask;
pub mod calls;
pub mod collector;
pub mod fault_proxy;
pub mod faults;
pub mod identifiers;
pub mod issuer;
pub mod keys;
pub mod metrics;
#[path = "../../support/postgres.rs"]
pub mod postgres;
pub mod redis;
#[path = "../../support/servers.rs"]
pub mod servers;
pub mod store;
pub mod strace;
pub mod world;

use issuer::TestIssuer;
use postgres::Database;
use redis::RedisServer;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_kundeforhold");
const STORE: &str = "register.sqlite";
/// The file of the record of use.
const RECORD: &str = "record.sqlite";

/// Whether the service under test has a Redis as a cache in front of its store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caching {
    Without,
    With,
}

pub const EITHER_WAY: [Caching; 2] = [Caching::Without, Caching::With];

/// A service under test, with everything it stands on.
pub struct Service {
    pub issuer: TestIssuer,
    pub redis: Option<RedisServer>,
    /// Where the register is; `None`: in a file.
    pub database: Option<Database>,
    pub directory: TempDir,
    pub address: String,
    pub management: String,
    pub http: reqwest::Client,
    child: Child,
}

impl Service {
    /// A ready service with the participants of the fixtures and no records. Its terms admit whatever the
    /// agency asks; `[access] services_file = ""` starts it with those that are built in.
    pub async fn start(caching: Caching) -> Self {
        Self::start_with(caching, "").await
    }

    /// The same with more configuration: lines of TOML that begin with whole sections.
    pub async fn start_with(caching: Caching, configuration: &str) -> Self {
        let service = Self::launch(caching, configuration).await;
        service.wait_until_ready().await;
        service
    }

    /// A ready service whose register is in a file, whatever that of others is in.
    pub async fn start_on_file(caching: Caching, configuration: &str) -> Self {
        Self::start_on_engine(Engine::Sqlite, caching, configuration).await
    }

    /// Likewise in a PostgreSQL database.
    pub async fn start_on_postgres(caching: Caching, configuration: &str) -> Self {
        Self::start_on_engine(Engine::Postgres, caching, configuration).await
    }

    async fn start_on_engine(engine: Engine, caching: Caching, configuration: &str) -> Self {
        let service = Self::launch_on_engine(engine, caching, configuration).await;
        service.wait_until_ready().await;
        service
    }

    /// A ready service with a cache that is started elsewhere.
    pub async fn start_on(cache: &str, configuration: &str) -> Self {
        let service = Self::launch_on(cache, configuration).await;
        service.wait_until_ready().await;
        service
    }

    /// The same, started, and perhaps not ready yet.
    pub async fn launch_on(cache: &str, configuration: &str) -> Self {
        Self::launch_in(Engine::of_tests(), cache, None, configuration).await
    }

    /// Started, and perhaps not ready yet.
    pub async fn launch(caching: Caching, configuration: &str) -> Self {
        Self::launch_on_engine(Engine::of_tests(), caching, configuration).await
    }

    async fn launch_on_engine(engine: Engine, caching: Caching, configuration: &str) -> Self {
        let redis = (caching == Caching::With).then(RedisServer::start);
        let cache = redis.as_ref().map(RedisServer::url).unwrap_or_default();
        Self::launch_in(engine, &cache, redis, configuration).await
    }

    async fn launch_in(engine: Engine, cache: &str, redis: Option<RedisServer>, configuration: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let issuer = TestIssuer::start().await;
        make_key(&directory.path().join("pseudonym.key"));
        std::fs::write(directory.path().join("participants.toml"), world::participants()).unwrap();
        std::fs::write(directory.path().join("dsop-services.toml"), wide_terms()).unwrap();
        let (address, management) = (free_address(), free_address());
        let database = match engine {
            Engine::Sqlite => None,
            Engine::Postgres => Some(Database::create().await),
        };
        let file = format!("sqlite:{}", directory.path().join(STORE).display());
        let configured = Configured {
            address: &address,
            management: &management,
            store: &database.as_ref().map_or(file, Database::url),
            cache,
            issuer: &issuer,
        };
        configured.write(directory.path(), configuration);
        let child = spawn(directory.path());
        // The server ends connections that idle for five seconds; one that is just ending is not to be used again.
        let http = reqwest::Client::builder()
            .pool_idle_timeout(Duration::from_secs(2))
            .timeout(Duration::from_secs(30))
            .build()
            .unwrap();
        Self {
            issuer,
            redis,
            database,
            directory,
            address,
            management,
            http,
            child,
        }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn configuration(&self) -> PathBuf {
        self.directory.path().join("kundeforhold.toml")
    }

    /// The file of the store. Beside it are SQLite's own.
    pub fn store(&self) -> PathBuf {
        self.directory.path().join(STORE)
    }

    /// The file of the record of use. Beside it are SQLite's own.
    pub fn record(&self) -> PathBuf {
        self.directory.path().join(RECORD)
    }

    /// Everything the service has logged.
    pub fn log(&self) -> String {
        let path = self.directory.path().join("log.jsonl");
        // One test sends it to a device without an end.
        if !path.is_file() {
            return String::new();
        }
        // Lines are gathered for some milliseconds: those of now are there once no more come.
        let length = || std::fs::metadata(&path).map_or(0, |file| file.len());
        let mut before = length();
        for _ in 0..10 {
            std::thread::sleep(Duration::from_millis(50));
            if std::mem::replace(&mut before, length()) == before {
                break;
            }
        }
        std::fs::read_to_string(path).unwrap_or_default()
    }

    pub async fn is_ready(&self) -> bool {
        let response = self
            .http
            .get(format!("http://{}/isready", self.management))
            .send()
            .await;
        response.is_ok_and(|response| response.status().is_success())
    }

    /// Waits until the service listens, ready or not.
    pub async fn wait_until_alive(&self) {
        let started = Instant::now();
        let address = format!("http://{}/isalive", self.management);
        while self.http.get(&address).send().await.is_err() {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "not alive:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Panics with the log if the service is not ready in time.
    pub async fn wait_until_ready(&self) {
        let started = Instant::now();
        while !self.is_ready().await {
            assert!(
                started.elapsed() < Duration::from_secs(30),
                "not ready:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub async fn metrics(&self) -> String {
        self.http
            .get(format!("http://{}/metrics", self.management))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM; the exit status when the process has ended.
    pub fn terminate(&mut self) -> std::process::ExitStatus {
        self.signal("-TERM");
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(
                started.elapsed() < Duration::from_secs(40),
                "did not end:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: &str) {
        send_signal(self.child.id(), signal);
    }

    /// Starts the process again after [`kill`](Self::kill) or [`terminate`](Self::terminate).
    pub fn start_again(&mut self) {
        self.child = spawn(self.directory.path());
    }

    /// Ends the process in peace, and starts it again on the same directory.
    pub async fn restart(&mut self) {
        assert!(self.terminate().success(), "{}", self.log());
        self.start_again();
        self.wait_until_ready().await;
    }

    /// The same by `kill -9`.
    pub async fn kill_and_restart(&mut self) {
        self.kill();
        self.start_again();
        self.wait_until_ready().await;
        self.wait_until_given_up().await;
    }

    /// Another instance on the same database, with the same keys and issuer, and the same cache.
    pub async fn second_instance(&self) -> Instance {
        let directory = tempfile::tempdir().unwrap();
        let (address, management) = (free_address(), free_address());
        let mut configuration: toml::Table = std::fs::read_to_string(self.configuration())
            .unwrap()
            .parse()
            .unwrap();
        for (section, key, value) in [
            ("server", "listen", &address),
            ("server", "management_listen", &management),
        ] {
            let section = configuration[section].as_table_mut().unwrap();
            section.insert(key.to_owned(), toml::Value::from(value.as_str()));
        }
        let text = configuration.to_string();
        std::fs::write(directory.path().join("kundeforhold.toml"), text).unwrap();
        let child = spawn(directory.path());
        let instance = Instance {
            address,
            management,
            directory,
            child,
        };
        instance.wait_until_ready(&self.http).await;
        instance
    }

    /// Delivers all sets of the fixtures, side by side.
    pub async fn deliver_world(&self) {
        let deliveries = world::sets().into_iter().map(async |(bank, register, records)| {
            let response = self.put_set(&bank, &register, records).await;
            assert_eq!(response.status(), 200, "{bank}/{register}: {}", self.log());
        });
        futures_util::future::join_all(deliveries).await;
    }

    /// A bank's whole set, sent by itself or, if it has merged, by its successor.
    pub async fn put_set(&self, bank: &str, register: &str, records: String) -> reqwest::Response {
        let path = format!("/v2/financialInstitutions/{bank}/relationships?register={register}");
        let request = self
            .http
            .put(self.url(&path))
            .bearer_auth(self.issuer.bank_token(&world::deliverer(bank)));
        request
            .header("Content-Type", "application/x-ndjson")
            .body(records)
            .send()
            .await
            .unwrap()
    }

    /// A lookup of a customer's relationships, complete with all headers; the test changes what it is about.
    pub fn relationships(&self, customer: &str, from: &str, to: &str) -> reqwest::RequestBuilder {
        let request = self.http.get(self.url("/v2/customers/customerRelationships"));
        self.legal_headers(request)
            .query(&[("fromDate", from), ("toDate", to)])
            .header("CustomerID", customer)
    }

    /// A lookup of an account's bank, complete with all headers.
    pub fn account(&self, account: &str) -> reqwest::RequestBuilder {
        let request = self.http.get(self.url("/v2/customers/accountServicingProvider"));
        self.legal_headers(request).header("AccountID", account)
    }

    fn legal_headers(&self, request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        request
            .bearer_auth(self.issuer.agency_token())
            .header("CorrelationID", uuid::Uuid::new_v4().to_string())
            .header("AccountInfoRequestID", uuid::Uuid::new_v4().to_string())
            .header("Legal-Mandate", "Test%20%C2%A7%201")
    }
}

/// One more process of the program, gone when it is dropped.
pub struct Instance {
    pub address: String,
    management: String,
    directory: TempDir,
    child: Child,
}

impl Instance {
    async fn wait_until_ready(&self, http: &reqwest::Client) {
        let started = Instant::now();
        let ready = format!("http://{}/isready", self.management);
        loop {
            let response = http.get(&ready).send().await;
            if response.is_ok_and(|response| response.status().is_success()) {
                return;
            }
            let log = || std::fs::read_to_string(self.directory.path().join("log.jsonl"));
            assert!(started.elapsed() < Duration::from_secs(30), "{:?}", log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after that, and waits until it is ready.
    pub async fn start_again(&mut self, http: &reqwest::Client) {
        self.child = spawn(self.directory.path());
        self.wait_until_ready(http).await;
    }

    pub fn signal(&self, signal: &str) {
        send_signal(self.child.id(), signal);
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What keeps the register of the services under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    Sqlite,
    Postgres,
}

impl Engine {
    /// `KUNDEFORHOLD_TEST_STORE=postgres` has each service keep it in a PostgreSQL database of its own.
    pub fn of_tests() -> Self {
        match std::env::var("KUNDEFORHOLD_TEST_STORE").as_deref() {
            Ok("postgres") => Self::Postgres,
            Ok("sqlite") | Err(_) => Self::Sqlite,
            Ok(other) => panic!("KUNDEFORHOLD_TEST_STORE is {other}, neither sqlite nor postgres"),
        }
    }
}

/// Where a service is, and what it stands on.
struct Configured<'c> {
    address: &'c str,
    management: &'c str,
    store: &'c str,
    cache: &'c str,
    issuer: &'c TestIssuer,
}

impl Configured<'_> {
    fn write(&self, directory: &Path, more: &str) {
        let Self {
            address,
            management,
            store,
            cache,
            issuer,
        } = self;
        let path = |name: &str| directory.join(name).display().to_string();
        let record = match store.starts_with("sqlite:") {
            true => format!("sqlite:{}", path(RECORD)),
            // In the same database.
            false => String::new(),
        };
        let base = format!(
            "participants_file = {:?}\n[server]\nlisten = \"{address}\"\nmanagement_listen = \"{management}\"\ndrain_seconds = 0\n\
         [maskinporten]\nissuer = \"{}\"\njwks_uri = \"{}\"\n[store]\nurl = {store:?}\n[cache]\nurl = {cache:?}\n\
         [pseudonym]\nkey_file = {:?}\n[record]\nurl = {:?}\n[access]\nrate_per_second = 1000000\nrate_burst = 1000000\nservices_file = {:?}\n\
         [delivery]\nmin_free_megabytes = 16\n[identifiers]\nsynthetic = [\"tenor\", \"helsenett\", \"dolly\"]\n",
            path("participants.toml"),
            issuer.name(),
            issuer.jwks_uri(),
            path("pseudonym.key"),
            record,
            path("dsop-services.toml"),
        );
        let merged = merged(base.parse().unwrap(), more);
        std::fs::write(directory.join("kundeforhold.toml"), merged.to_string()).unwrap();
    }
}

fn merged(mut present: toml::Table, more: &str) -> toml::Table {
    for (section, value) in more.parse::<toml::Table>().unwrap() {
        match (present.get_mut(&section), value) {
            (Some(toml::Value::Table(present)), toml::Value::Table(changes)) => present.extend(changes),
            (_, value) => drop(present.insert(section, value)),
        }
    }
    present
}

/// `kill -STOP 17`, say.
fn send_signal(process: u32, signal: &str) {
    let sent = Command::new("kill").args([signal, &process.to_string()]).status();
    assert!(sent.unwrap().success());
}

/// `kundeforhold key new`.
pub fn make_key(file: &Path) {
    let mut command = Command::new(PROGRAM);
    let made = command
        .args(["key", "new"])
        .arg(file)
        .stdout(Stdio::null())
        .status();
    assert!(made.unwrap().success());
}

/// Terms that admit any mandate, customer and period of the test agency.
fn wide_terms() -> String {
    format!(
        "[[service]]\nname = \"Test\"\nconsumer = \"{}\"\nmandate = \"*\"\ncustomer = \"any\"\nperiod = \"any\"\n\
         only_primary_owner = \"either\"\nendpoints = [\"customerRelationships\", \"accountServicingProvider\"]\n",
        issuer::AGENCY
    )
}

fn spawn(directory: &Path) -> Child {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join("log.jsonl"))
        .unwrap();
    Command::new(PROGRAM)
        .arg("serve")
        .arg("--config")
        .arg(directory.join("kundeforhold.toml"))
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap()
}

/// A free loopback address, given once. Below the ports that the system takes for connections, of which there are
/// thousands here; where somebody else takes it in between, the tests fail loudly.
pub fn free_address() -> String {
    // The bus of a Cluster is 10000 above, and no connection that is made gets a port below 32768.
    const PORTS: std::ops::Range<u32> = 12_000..22_000;
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    loop {
        let place = std::process::id() + GIVEN.fetch_add(1, Ordering::Relaxed);
        let address = format!("127.0.0.1:{}", PORTS.start + place % PORTS.len() as u32);
        if TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}
