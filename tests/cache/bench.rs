//! A cache that runs, what to put in it, and what it counts and logs.

use chrono::NaiveDate;
use kundeforhold::cache::{Cache, CacheOptions, Cached};
use kundeforhold::domain::delivery::PublicationId;
use kundeforhold::domain::identifiers::OrganizationNumber;
use kundeforhold::domain::overview::{HeldAccount, HeldRelationship};
use kundeforhold::domain::relationship::{Interval, Relationship, Role};
use kundeforhold::pseudonym::{MasterKey, Sealed};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use std::io::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock, Mutex, Once};
use std::time::{Duration, Instant};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Long enough for a machine that is busy; the tests of time-outs set their own.
pub const TIMEOUT: Duration = Duration::from_secs(2);

pub const AT: PublicationId = PublicationId {
    number: 7,
    drawn: *b"drawn by",
};

/// One key for most, as one register has.
pub static KEY: LazyLock<MasterKey> = LazyLock::new(|| MasterKey::generate().unwrap());

pub fn options(url: &str) -> CacheOptions {
    CacheOptions {
        url: SecretString::from(url),
        password: None,
        sentinel_password: None,
        ca_certificate: None,
        entry_seconds: 600,
        timeout: TIMEOUT,
        connections: 2,
    }
}

/// A cache and its background task.
pub struct Bench {
    pub cache: Cache,
    counted: PrometheusHandle,
    /// Entries that were handed to it.
    handed: AtomicU64,
    _end: DropGuard,
}

impl Bench {
    /// Returns at once.
    pub fn begin(options: &CacheOptions, key: &MasterKey) -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let counted = recorder.handle();
        let cache = metrics::with_local_recorder(&recorder, || Cache::new(options, key)).unwrap();
        let end = CancellationToken::new();
        tokio::spawn(cache.clone().run(end.clone()));
        Self {
            cache,
            counted,
            handed: AtomicU64::new(0),
            _end: end.drop_guard(),
        }
    }

    /// Returns once lookups ask Redis.
    pub async fn start(options: &CacheOptions) -> Self {
        let bench = Self::begin(options, &KEY);
        bench.comes_back().await;
        bench
    }

    pub async fn comes_back(&self) {
        eventually("Redis is asked", || self.cache.is_reachable()).await;
    }

    pub fn count(&self, name: &str, result: &str) -> u64 {
        let line = format!("kundeforhold_cache_{name}_total{{result=\"{result}\"}} ");
        let text = self.counted.render();
        let value = text.lines().find_map(|told| told.strip_prefix(&line));
        value.map_or(0, |value| value.parse().unwrap())
    }

    pub fn is_told_reachable(&self) -> bool {
        let text = self.counted.render();
        text.lines().any(|line| line == "kundeforhold_cache_reachable 1")
    }

    /// Hits, misses, refused entries and errors.
    pub fn lookups(&self) -> [u64; 4] {
        ["hit", "miss", "refused", "error"].map(|result| self.count("lookups", result))
    }

    /// Stored, dropped and failed entries.
    pub fn fills(&self) -> [u64; 3] {
        ["stored", "dropped", "error"].map(|result| self.count("fills", result))
    }

    pub fn keep(&self, customer: u64, at: PublicationId, held: &[HeldRelationship]) {
        self.handed.fetch_add(1, Ordering::Relaxed);
        self.cache.keep_relationships(&sealed(customer), at, held);
    }

    pub fn keep_accounts(&self, account: u64) {
        self.handed.fetch_add(1, Ordering::Relaxed);
        self.cache.keep_accounts(&sealed(account), AT, &accounts(account));
    }

    /// Waits until something has become of all entries.
    pub async fn settle(&self) {
        let handed = self.handed.load(Ordering::Relaxed);
        let what = "the entries are sent";
        eventually(what, || self.fills().iter().sum::<u64>() == handed).await;
    }

    /// Caches something of customers, and waits until it is there.
    pub async fn fill(&self, customers: std::ops::Range<u64>) {
        for customer in customers {
            self.keep(customer, AT, &relationships(customer));
        }
        self.settle().await;
    }

    pub async fn found(&self, customer: u64) -> Option<Cached<HeldRelationship>> {
        self.cache.relationships(&sealed(customer)).await
    }
}

pub fn expected(customer: u64) -> Option<Cached<HeldRelationship>> {
    let held = relationships(customer);
    Some(Cached { at: AT, held })
}

pub async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// As long as a sealed customer is, and as evenly spread.
pub fn sealed(number: u64) -> Sealed {
    let bytes = Sha256::digest(number.to_be_bytes());
    Sealed::from_bytes(&bytes[..27]).unwrap()
}

pub fn customer_key(number: u64) -> Vec<u8> {
    [b"kf1:c:", &sealed(number).as_bytes()[..16]].concat()
}

pub fn interval(from: u64) -> Interval {
    let from = NaiveDate::from_ymd_opt(2001, 1, 1).unwrap() + chrono::Days::new(from % 9_000);
    Interval::new(from, None).unwrap()
}

pub fn relationships(customer: u64) -> Vec<HeldRelationship> {
    let of_bank = |number: &str, role| HeldRelationship {
        bank: OrganizationNumber::parse(number).unwrap(),
        relationship: Relationship::new(role, true, false, interval(customer)),
    };
    vec![
        of_bank("123456785", Role::Owner),
        of_bank("810059672", Role::Unknown),
    ]
}

pub fn accounts(account: u64) -> Vec<HeldAccount> {
    vec![HeldAccount {
        bank: OrganizationNumber::parse("988077917").unwrap(),
        interval: interval(account),
    }]
}

/// All that was logged in this process.
static LOGGED: LazyLock<Arc<Mutex<Vec<u8>>>> = LazyLock::new(Arc::default);

pub fn collect_logs() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(|| Log)
            .finish();
        tracing::subscriber::set_global_default(subscriber).unwrap();
    });
}

struct Log;

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LOGGED.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The lines that name a port.
pub fn logged(port: u16) -> Vec<String> {
    let text = String::from_utf8(LOGGED.lock().unwrap().clone()).unwrap();
    let names = |line: &&str| line.contains(&format!(":{port}"));
    text.lines().filter(names).map(str::to_owned).collect()
}
