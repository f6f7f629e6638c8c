//! Redis as a cache in front of the store.
//!
//! An entry holds what the store said of one customer or account, and at which publication it was read there. Whether that
//! still is what the store would say is judged by the caller, by its [`PublicationId`]; here it is only seen to that an
//! entry is ours and of the customer or account asked for. Nothing here has to arrive, to stay or to be reachable: what
//! is missing, forged, late or away is answered from the store.
//!
//! One lookup is one `GET` over a shared connection and waits for no longer than [`CacheOptions::timeout`]. After an
//! error or a time-out Redis is left alone, and lookups go to the store without waiting, until a task in the background
//! finds that it answers again. That task alone makes connections; [`Cache::run`] is it.

mod circuit;
mod clear;
mod entry;
mod fill;
mod links;
mod meters;
mod target;

use crate::domain::delivery::PublicationId;
use crate::domain::overview::{HeldAccount, HeldRelationship};
use crate::pseudonym::{MasterKey, Sealed};
use arc_swap::ArcSwapOption;
pub use entry::MOST_ROWS;
use entry::{Entries, Row, redis_key};
use fill::Fill;
use links::{Links, told};
use meters::Meters;
use redis::{RedisError, Value};
use secrecy::SecretString;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use target::Target;
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio_util::sync::CancellationToken;

/// Where Redis is, how to log in, and what may be expected of it.
#[derive(Debug, Clone)]
pub struct CacheOptions {
    /// One node, a Sentinel group or a Cluster; it may hold a user and a password.
    pub url: SecretString,
    /// Of Redis, where the URL has none.
    pub password: Option<SecretString>,
    /// Of the Sentinels themselves.
    pub sentinel_password: Option<SecretString>,
    /// Who signed the certificates of Redis, in PEM; `None`: those that the system trusts.
    pub ca_certificate: Option<Vec<u8>>,
    /// How long an entry is kept.
    pub entry_seconds: u64,
    /// Longest wait of a lookup.
    pub timeout: Duration,
    /// Shared connections for lookups, to each server; at least one.
    pub connections: usize,
}

/// Why there is no cache to be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CacheError {
    #[error("{0}")]
    Settings(String),
    #[error("Redis at {address}: {cause}")]
    Unavailable { address: String, cause: String },
}

/// What an entry says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cached<T> {
    /// The publication at which the store was read.
    pub at: PublicationId,
    pub held: Vec<T>,
}

/// The cache. Cheap to clone.
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    target: Target,
    entries: Entries,
    entry_seconds: u64,
    timeout: Duration,
    connections: usize,
    /// `None`: Redis is left alone.
    links: ArcSwapOption<Links>,
    /// Connections were taken back.
    failed: Notify,
    /// That it is left alone was told.
    is_away: Mutex<bool>,
    fills: Sender<Fill>,
    /// For the one that runs.
    queue: Mutex<Option<Receiver<Fill>>>,
    meters: Meters,
}

impl Cache {
    /// Reads the settings; connects to nothing.
    pub fn new(options: &CacheOptions, key: &MasterKey) -> Result<Self, CacheError> {
        let (fills, queue) = mpsc::channel(fill::QUEUE);
        Ok(Self(Arc::new(Inner {
            target: Target::parse(options)?,
            entries: Entries::new(key),
            entry_seconds: options.entry_seconds.max(1),
            timeout: options.timeout,
            connections: options.connections.max(1),
            links: ArcSwapOption::empty(),
            failed: Notify::new(),
            is_away: Mutex::new(false),
            fills,
            queue: Mutex::new(Some(queue)),
            meters: Meters::find(),
        })))
    }

    /// What is cached of a customer. `None`: nothing that is ours, or Redis did not answer.
    pub async fn relationships(&self, customer: &Sealed) -> Option<Cached<HeldRelationship>> {
        self.0.look_up(customer).await
    }

    /// What is cached of an account. `None`: nothing that is ours, or Redis did not answer.
    pub async fn accounts(&self, account: &Sealed) -> Option<Cached<HeldAccount>> {
        self.0.look_up(account).await
    }

    /// Caches what the store said of a customer. Never waits; where there is no room for it, it is not cached.
    pub fn keep_relationships(&self, customer: &Sealed, at: PublicationId, held: &[HeldRelationship]) {
        self.0.keep(customer, at, held);
    }

    /// Caches what the store said of an account. Never waits; where there is no room for it, it is not cached.
    pub fn keep_accounts(&self, account: &Sealed, at: PublicationId, held: &[HeldAccount]) {
        self.0.keep(account, at, held);
    }

    /// Whether lookups ask Redis at present, without asking it.
    pub fn is_reachable(&self) -> bool {
        self.0.links.load().is_some()
    }

    /// Asks Redis whether it answers: over the connections in use, or over some of its own where there are none.
    pub async fn check(&self) -> Result<(), CacheError> {
        match self.0.links.load_full() {
            Some(links) => links.probe(self.0.timeout).await,
            None => self.0.open(1).await.map(drop),
        }
    }

    /// Removes all entries of this program, and nothing else. Tells how many there were.
    pub async fn clear(&self) -> Result<u64, CacheError> {
        self.0.open(1).await?.clear().await
    }

    /// Connects to Redis, watches it and fills the cache, until the end. What is connected lives on the runtime that
    /// this is polled on. Only the first call does anything.
    pub async fn run(self, end: CancellationToken) {
        let queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(queue) = queue else { return };
        tokio::select! {
            () = end.cancelled() => {}
            () = self.0.supervise() => {}
            () = self.0.fill(queue) => {}
        }
        self.0.stop();
    }
}

impl Inner {
    async fn open(&self, connections: usize) -> Result<Links, CacheError> {
        Links::open(&self.target, self.timeout, connections).await
    }

    async fn look_up<R: Row>(&self, sealed: &Sealed) -> Option<Cached<R>> {
        let Some(links) = self.links.load_full() else {
            self.meters.errors.increment(1);
            return None;
        };
        let found = links.get(&redis_key::<R>(sealed), self.timeout).await;
        let entry = match found {
            Ok(Value::BulkString(entry)) => self.entries.decode(sealed, &entry),
            Ok(Value::Nil) => {
                self.meters.misses.increment(1);
                return None;
            }
            Ok(_) => None,
            Err(cause) if is_of_another_type(&cause) => None,
            Err(cause) => {
                self.meters.errors.increment(1);
                self.leave_alone(&links, &told(&cause));
                return None;
            }
        };
        match entry.is_some() {
            true => self.meters.hits.increment(1),
            false => self.meters.refused.increment(1),
        }
        entry
    }

    fn keep<R: Row>(&self, sealed: &Sealed, at: PublicationId, held: &[R]) {
        let is_kept = self.links.load().is_some() && self.enqueue(sealed, at, held).is_some();
        if !is_kept {
            self.meters.dropped.increment(1);
        }
    }

    fn enqueue<R: Row>(&self, sealed: &Sealed, at: PublicationId, held: &[R]) -> Option<()> {
        // Before the work of writing the entry.
        let room = self.fills.try_reserve().ok()?;
        room.send(Fill {
            key: redis_key::<R>(sealed),
            entry: self.entries.encode(sealed, at, held)?,
        });
        Some(())
    }
}

/// Somebody has put a list, a hash or the like under our key.
fn is_of_another_type(cause: &RedisError) -> bool {
    cause.code() == Some("WRONGTYPE")
}
