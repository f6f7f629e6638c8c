//! The Redis engine, shared by several instances: one node, a Sentinel group or a Cluster.
//!
//! Keys: `{b}c…` a customer's hash, `{b}a…` a bucket of accounts, `{b}m` the stamp of a slot group's marker, `{b}p` how
//! far each set is complete in the group, where `b` is the first byte of the pseudonym in hexadecimal. A lookup reads a
//! hash and the stamp beside it in one round trip to one slot; if the stamp is not that of the marker the state was read
//! with, the index was emptied or rebuilt meanwhile. `{kf}sets` and `{kf}marker` hold the state, `{kf}building` the
//! number of the build that began last.

mod batch;
mod build;
mod checkpoint;
mod fence;
mod fitness;
mod lease;
mod links;
mod load;
mod read;
mod rows;
mod scan;
mod session;
mod sides;
mod target;
mod topology;

use super::layout::{Generation, IndexState, RowWrite, SetState, decode_row};
use super::owner::Owner;
use super::{CustomerRows, IndexError, ScannedRow};
use crate::domain::relationship::SetId;
use crate::pseudonym::CustomerKey;
use crate::workers::Workers;
use arc_swap::ArcSwapOption;
pub use load::Load;

use batch::Batch;
use build::Building;
use lease::Leases;
use redis::{FromRedisValue, RedisError, Value, from_redis_value};
use rows::{PIPELINE_ROWS, customer_key, scanned_row, write_accounts, write_customers};
use scan::Scan;
use secrecy::SecretString;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use target::Target;
use tokio::sync::Semaphore;
use topology::{Group, Lineup, Topology};

const STATE_KEY: &[u8] = b"{kf}sets";
const MARKER_KEY: &[u8] = b"{kf}marker";
/// No lookup answers by a state older than this; a publication is acknowledged once it has passed.
pub const STATE_AGE_BOUND: Duration = Duration::from_millis(250);

/// How to reach Redis, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Where the URL names none.
    pub user: Option<String>,
    pub password: Option<SecretString>,
    /// In PEM; `None`: those that the system trusts.
    pub ca_certificate: Option<Vec<u8>>,
    /// Shared multiplexed connections for lookups, to each primary.
    pub lookup_connections: usize,
    /// Pooled connections for deliveries and administration, to each primary.
    pub pool_connections: usize,
    pub connect_timeout: Duration,
    /// Longest wait for a lookup.
    pub lookup_timeout: Duration,
    /// Longest wait for a pipeline of a delivery.
    pub write_timeout: Duration,
}

impl Default for RedisOptions {
    fn default() -> Self {
        Self {
            user: None,
            password: None,
            ca_certificate: None,
            lookup_connections: 4,
            pool_connections: 8,
            connect_timeout: Duration::from_secs(1),
            lookup_timeout: Duration::from_secs(1),
            write_timeout: Duration::from_secs(10),
        }
    }
}

/// Fields and values of a hash.
type Hash = Vec<(Vec<u8>, Vec<u8>)>;

/// The state as last read, and when.
struct Known {
    state: Arc<IndexState>,
    read_at: Instant,
    /// It was judged by this, and rows are read from it only.
    lineup: Arc<Lineup>,
    /// The build that was begun last, by any instance.
    building: Option<u64>,
}

/// The primaries and the build that was begun last, as one number: what another instance's build threw away is not
/// taken for written.
fn standing_on(lineup: &Lineup, building: Option<u64>) -> u64 {
    lineup.fingerprint ^ building.unwrap_or(0)
}

/// An index in Redis.
pub struct Redis {
    topology: Topology,
    lookup_timeout: Duration,
    known: ArcSwapOption<Known>,
    reading_state: tokio::sync::Mutex<()>,
    building: Mutex<Building>,
    owner: OnceLock<Owner>,
    pub(super) leases: Leases,
    /// For pipelines of loads.
    load_turns: Semaphore,
    /// What is loaded is made ready on them.
    pub(super) workers: Workers,
}

impl From<RedisError> for IndexError {
    fn from(cause: RedisError) -> Self {
        if cause.is_timeout() {
            Self::TimedOut
        } else {
            Self::Unavailable(cause.to_string())
        }
    }
}

impl Redis {
    /// Prepares the connections without waiting for them.
    pub fn connect(url: &str, options: &RedisOptions) -> Result<Self, IndexError> {
        Ok(Self {
            topology: Topology::new(Target::parse(url, options)?, options),
            lookup_timeout: options.lookup_timeout,
            known: ArcSwapOption::empty(),
            reading_state: tokio::sync::Mutex::new(()),
            building: Mutex::default(),
            owner: OnceLock::new(),
            leases: Leases::default(),
            load_turns: Semaphore::new(load::PIPELINES_AT_ONCE),
            workers: super::workers()?,
        })
    }

    pub fn state(&self) -> Arc<IndexState> {
        self.known
            .load()
            .as_ref()
            .map_or_else(Arc::default, |known| Arc::clone(&known.state))
    }

    /// The primaries in use and the build that was begun last, as one number; 0 as long as they are not known.
    pub fn lineup(&self) -> u64 {
        let building = self.known.load().as_ref().and_then(|known| known.building);
        let current = self.topology.current();
        current.map_or(0, |lineup| standing_on(&lineup, building))
    }

    /// From now on nothing is answered from another's index. The first owner stays.
    pub fn claim(&self, owner: Owner) {
        self.owner.get_or_init(|| owner);
    }

    /// Looks whether the primaries are still the ones, and reads the state from Redis.
    pub async fn refresh(&self) -> Result<Arc<IndexState>, IndexError> {
        // What cannot be found tells by itself; the state may still be there.
        let _ = self.topology.survey().await;
        self.read_state().await
    }

    /// Looks for the primaries for as long as it is polled.
    pub async fn watch(&self) -> Infallible {
        self.topology.watch().await
    }

    async fn read_state(&self) -> Result<Arc<IndexState>, IndexError> {
        let _one_at_a_time = self.reading_state.lock().await;
        Ok(Arc::clone(&self.read_known().await?.state))
    }

    pub async fn rows_of(
        &self,
        set: SetId,
        generation: Generation,
        customers: &[CustomerKey],
    ) -> Result<Vec<CustomerRows>, IndexError> {
        let mut found = Vec::with_capacity(customers.len());
        for chunk in customers.chunks(PIPELINE_ROWS) {
            let mut batch = Batch::with_capacity(chunk.len());
            for customer in chunk {
                let mut ask = redis::cmd("HGETALL");
                ask.arg(customer_key(customer));
                batch.add(Group::Rows(customer.0[0]), ask);
            }
            for hash in batch.send(&self.topology).await? {
                let hash: Hash = parse(hash)?;
                let rows = hash.iter().map(|(field, value)| decode_row(field, value));
                let rows = rows.collect::<Result<Vec<_>, _>>()?;
                let rows = rows
                    .into_iter()
                    .filter(|row| row.set == set && row.generation == generation);
                found.push(rows.map(|row| (row.agreement, row.relationship)).collect());
            }
        }
        Ok(found)
    }

    pub async fn write(
        &self,
        set: SetId,
        generation: Generation,
        writes: &[RowWrite],
        then: Option<SetState>,
    ) -> Result<(), IndexError> {
        for chunk in writes.chunks(PIPELINE_ROWS) {
            self.leases.check(set)?;
            write_accounts(set, generation, chunk)
                .send(&self.topology)
                .await?;
        }
        for batch in write_customers(set, generation, writes) {
            self.leases.check(set)?;
            batch.send(&self.topology).await?;
        }
        if let Some(state) = then {
            self.switch(set, &state).await?;
            self.read_state().await?;
        }
        Ok(())
    }

    /// Waits until every instance has had to read the state anew.
    pub async fn settle(&self) {
        tokio::time::sleep(STATE_AGE_BOUND).await;
    }

    pub async fn scan(&self, visit: &mut (dyn FnMut(ScannedRow) + Send)) -> Result<(), IndexError> {
        let mut scan = Scan::start(self).await?;
        while let Some(keys) = scan.next().await? {
            for (key, hash) in keys.iter().zip(scan.hashes(&keys).await?) {
                for (field, value) in hash {
                    visit(scanned_row(key, &field, &value)?);
                }
            }
        }
        Ok(())
    }
}

/// A reply as what was asked for.
fn parse<T: FromRedisValue>(reply: Value) -> Result<T, IndexError> {
    from_redis_value(reply).map_err(|_| IndexError::Format("reply"))
}
