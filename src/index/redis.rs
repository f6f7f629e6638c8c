//! The Redis engine: one node, shared by several instances.
//!
//! Keys: `{b}c…` a customer's hash, `{b}a…` a bucket of accounts, `{b}m` the stamp of a slot group's marker, where `b`
//! is the first byte of the pseudonym in hexadecimal. A lookup reads a hash and the stamp beside it in one
//! round trip to one slot; if the stamp is not that of the marker the state was read with, the index was emptied or
//! rebuilt meanwhile. `{kf}sets` and `{kf}marker` hold the state, `{kf}building` the number of the build that
//! began last.

mod commands;
mod fitness;
mod lease;
mod links;
mod load;
mod rows;
mod sides;

use super::layout::{
    FoundAccount, FoundRow, Generation, IndexState, Marker, RowWrite, SetState, decode_account, decode_row,
    decode_state_key,
};
use super::owner::Owner;
use super::{CustomerRows, IndexError, ScannedRow};
use crate::domain::relationship::SetId;
use crate::pseudonym::{AccountKey, CustomerKey, Sought};
use arc_swap::ArcSwap;
pub use load::Load;

use commands::{ScanCursor, send};
use deadpool_redis::{Connection, Manager, Pool, Runtime, Timeouts};
use lease::Leases;
use links::Links;
use redis::{AsyncConnectionConfig, Client, Pipeline, RedisError};
use rows::{
    PIPELINE_ROWS, account_bucket, customer_key, group_key, scanned_row, write_accounts, write_customers,
};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const STATE_KEY: &[u8] = b"{kf}sets";
const MARKER_KEY: &[u8] = b"{kf}marker";
/// Names the build under way. Were the store emptied amid it, this would be gone too.
const BUILDING_KEY: &[u8] = b"{kf}building";
/// No lookup answers by a state older than this; a publication is acknowledged once it has passed.
pub const STATE_AGE_BOUND: Duration = Duration::from_millis(250);
/// How often a lookup begins anew when the connections or the index changed under it.
const READ_ATTEMPTS: usize = 4;

/// How to reach Redis, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Shared multiplexed connections for lookups.
    pub lookup_connections: usize,
    /// Pooled connections for deliveries and administration.
    pub pool_connections: usize,
    pub connect_timeout: Duration,
    /// Longest wait for a lookup.
    pub lookup_timeout: Duration,
    /// Longest wait for a pipeline of a delivery.
    pub write_timeout: Duration,
}

/// Fields and values of a hash.
type Hash = Vec<(Vec<u8>, Vec<u8>)>;

/// The state as last read, and when.
struct Known {
    state: Arc<IndexState>,
    read_at: Instant,
    /// The [`Links::epoch`] in which it was read.
    epoch: u64,
}

/// An index in one Redis node.
pub struct Redis {
    lookups: Links,
    lookup_timeout: Duration,
    pool: Pool,
    known: ArcSwap<Known>,
    reading_state: tokio::sync::Mutex<()>,
    /// The build that this handle began last; 0: none.
    building: AtomicU64,
    owner: OnceLock<Owner>,
    pub(super) leases: Leases,
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
        let client = Client::open(url)?;
        let lookups = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect_timeout))
            .set_response_timeout(Some(options.lookup_timeout));
        let lookups = Links::new(client, lookups, options.lookup_connections);
        let writes = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(options.connect_timeout))
            .set_response_timeout(Some(options.write_timeout));
        let manager = Manager::new_with_config(url, writes)?;
        let pool = Pool::builder(manager)
            .max_size(options.pool_connections.max(1))
            .timeouts(Timeouts {
                wait: Some(options.write_timeout),
                create: Some(options.connect_timeout),
                recycle: Some(options.connect_timeout),
            })
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|cause| IndexError::Unfit(cause.to_string()))?;
        let known = Known {
            state: Arc::default(),
            read_at: Instant::now() - STATE_AGE_BOUND,
            epoch: 0,
        };
        Ok(Self {
            lookups,
            lookup_timeout: options.lookup_timeout,
            pool,
            known: ArcSwap::from_pointee(known),
            reading_state: tokio::sync::Mutex::new(()),
            building: AtomicU64::new(0),
            owner: OnceLock::new(),
            leases: Leases::default(),
        })
    }

    pub fn state(&self) -> Arc<IndexState> {
        Arc::clone(&self.known.load().state)
    }

    /// From now on nothing is answered from another's index. The first owner stays.
    pub fn claim(&self, owner: Owner) {
        self.owner.get_or_init(|| owner);
    }

    /// Reads the state from Redis.
    pub async fn refresh(&self) -> Result<Arc<IndexState>, IndexError> {
        let _one_at_a_time = self.reading_state.lock().await;
        self.read_state().await
    }

    /// The state, read anew if it is too old or from before a connection was made anew: behind that one there
    /// could be another Redis, or the same as it once was. Those who wait for the same reading share it.
    async fn fresh_state(&self) -> Result<Arc<Known>, IndexError> {
        let current = || {
            let known = self.known.load_full();
            let fresh = known.read_at.elapsed() < STATE_AGE_BOUND && known.epoch == self.lookups.epoch();
            fresh.then_some(known)
        };
        if let Some(known) = current() {
            return Ok(known);
        }
        let _one_at_a_time = self.reading_state.lock().await;
        if let Some(known) = current() {
            return Ok(known);
        }
        self.read_state().await?;
        Ok(self.known.load_full())
    }

    async fn read_state(&self) -> Result<Arc<IndexState>, IndexError> {
        let (read_at, epoch) = (Instant::now(), self.lookups.epoch());
        let mut pipeline = Pipeline::new();
        pipeline.atomic().hgetall(STATE_KEY).get(MARKER_KEY);
        let (sets, marker): (Hash, Option<Vec<u8>>) = self.ask(&pipeline).await?;
        let marker = marker.map(|bytes| Marker::decode(&bytes)).transpose()?;
        let mut state = IndexState::marked(marker);
        for (set, bytes) in sets {
            let set: [u8; 4] = set.try_into().map_err(|_| IndexError::Format("set"))?;
            state.put(decode_state_key(set)?, SetState::decode(&bytes)?);
        }
        let state = Arc::new(match self.owner.get() {
            Some(owner) => state.judged_by(owner),
            None => state,
        });
        self.known.store(Arc::new(Known {
            state: Arc::clone(&state),
            read_at,
            epoch,
        }));
        Ok(state)
    }

    /// Sends what only reads over one of the shared connections.
    async fn ask<T: redis::FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, IndexError> {
        let asked = tokio::time::timeout(self.lookup_timeout, self.lookups.ask(pipeline)).await;
        asked.map_err(|_| IndexError::TimedOut)?.map_err(IndexError::from)
    }

    /// Reads a hash together with the state it belongs to, within the time of a lookup: waiting for others
    /// to read the state counts. Where the hash is depends on the key whose rows answer.
    async fn read_hash<K>(
        &self,
        sought: &Sought<K>,
        place: impl Fn(&K) -> (u8, Vec<u8>),
    ) -> Result<(Arc<IndexState>, Hash), IndexError> {
        tokio::time::timeout(self.lookup_timeout, self.read_hash_and_state(sought, place))
            .await
            .unwrap_or(Err(IndexError::TimedOut))
    }

    async fn read_hash_and_state<K>(
        &self,
        sought: &Sought<K>,
        place: impl Fn(&K) -> (u8, Vec<u8>),
    ) -> Result<(Arc<IndexState>, Hash), IndexError> {
        for attempt in 1..=READ_ATTEMPTS {
            let known = self.fresh_state().await?;
            let marker = known.state.answerable().ok_or(IndexError::NotBuilt)?;
            let (group, key) = place(sought.under(marker.key).ok_or(IndexError::NotBuilt)?);
            let mut pipeline = Pipeline::with_capacity(2);
            // The hash first: were the store emptied before it, the stamp after it would be gone too.
            pipeline.hgetall(key).get(group_key(group, b'm', &[]));
            let (rows, found): (Hash, Option<Vec<u8>>) = match self.ask(&pipeline).await {
                Ok(answer) => answer,
                // A connection that was lost on the way is tried once more.
                Err(IndexError::Unavailable(_)) if attempt == 1 => continue,
                Err(cause) => return Err(cause),
            };
            if self.lookups.epoch() != known.epoch {
                continue;
            }
            if found.as_deref() == Some(&marker.stamp()[..]) {
                return Ok((Arc::clone(&known.state), rows));
            }
            self.refresh().await?;
        }
        Err(IndexError::NotBuilt)
    }

    pub async fn find_relationships<T>(
        &self,
        customer: &Sought<CustomerKey>,
        held: impl Fn(&IndexState, Vec<FoundRow>) -> T,
    ) -> Result<T, IndexError> {
        let place = |customer: &CustomerKey| (customer.0[0], customer_key(customer));
        let (state, rows) = self.read_hash(customer, place).await?;
        let rows = rows
            .iter()
            .map(|(field, value)| decode_row(field, value))
            .collect::<Result<_, _>>()?;
        Ok(held(&state, rows))
    }

    pub async fn find_accounts<T>(
        &self,
        account: &Sought<AccountKey>,
        held: impl Fn(&IndexState, Vec<FoundAccount>) -> T,
    ) -> Result<T, IndexError> {
        let place = |account: &AccountKey| (account.0[0], account_bucket(account).0);
        let (state, rows) = self.read_hash(account, place).await?;
        let answering = state.answerable().and_then(|marker| account.under(marker.key));
        let (_, rest) = account_bucket(answering.ok_or(IndexError::NotBuilt)?);
        let rows = rows
            .iter()
            .filter_map(|(field, value)| Some((field.strip_prefix(&rest)?, value)))
            .map(|(field, value)| decode_account(field, value))
            .collect::<Result<_, _>>()?;
        Ok(held(&state, rows))
    }

    pub async fn rows_of(
        &self,
        set: SetId,
        generation: Generation,
        customers: &[CustomerKey],
    ) -> Result<Vec<CustomerRows>, IndexError> {
        let mut connection = self.administration().await?;
        let mut found = Vec::with_capacity(customers.len());
        for chunk in customers.chunks(PIPELINE_ROWS) {
            let mut pipeline = Pipeline::with_capacity(chunk.len());
            for customer in chunk {
                pipeline.hgetall(customer_key(customer));
            }
            let hashes: Vec<Hash> = pipeline.query_async(&mut connection).await?;
            for hash in hashes {
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
        let mut connection = self.administration().await?;
        for chunk in writes.chunks(PIPELINE_ROWS) {
            self.leases.check(set)?;
            send(&write_accounts(set, generation, chunk), &mut connection).await?;
        }
        for pipeline in write_customers(set, generation, writes) {
            self.leases.check(set)?;
            send(&pipeline, &mut connection).await?;
        }
        drop(connection);
        if let Some(state) = then {
            self.switch(set, &state).await?;
            self.refresh().await?;
        }
        Ok(())
    }

    /// Waits until every instance has had to read the state anew.
    pub async fn settle(&self) {
        tokio::time::sleep(STATE_AGE_BOUND).await;
    }

    pub async fn clear(&self) -> Result<(), IndexError> {
        let mut connection = self.administration().await?;
        let building = uuid::Uuid::new_v4().as_u64_pair().0;
        self.building.store(building, Ordering::Relaxed);
        let mut markers = Pipeline::new();
        markers.del(MARKER_KEY).ignore().del(STATE_KEY).ignore();
        markers.set(BUILDING_KEY, building).ignore();
        for group in 0..=u8::MAX {
            markers.del(group_key(group, b'm', &[])).ignore();
        }
        markers.query_async::<()>(&mut connection).await?;
        self.refresh().await?;
        let mut cursor = ScanCursor::start();
        while let Some(keys) = cursor.next(&mut connection).await? {
            if !keys.is_empty() {
                redis::cmd("UNLINK")
                    .arg(keys)
                    .query_async::<()>(&mut connection)
                    .await?;
            }
        }
        Ok(())
    }

    /// Refused if Redis was emptied, or another build began, since [`clear`](Self::clear): rows may be missing.
    pub async fn complete(&self, marker: Marker) -> Result<(), IndexError> {
        let mut connection = self.administration().await?;
        redis::cmd("WATCH")
            .arg(BUILDING_KEY)
            .query_async::<()>(&mut connection)
            .await?;
        let found: Option<u64> = redis::cmd("GET")
            .arg(BUILDING_KEY)
            .query_async(&mut connection)
            .await?;
        if found.unwrap_or(0) != self.building.load(Ordering::Relaxed) {
            return Err(IndexError::NotBuilt);
        }
        let mut pipeline = Pipeline::new();
        pipeline
            .atomic()
            .set(MARKER_KEY, marker.encode().as_slice())
            .ignore();
        for group in 0..=u8::MAX {
            pipeline
                .set(group_key(group, b'm', &[]), marker.stamp().as_slice())
                .ignore();
        }
        let unchanged: Option<()> = pipeline.query_async(&mut connection).await?;
        unchanged.ok_or(IndexError::NotBuilt)?;
        self.refresh().await.map(|_| ())
    }

    pub async fn scan(&self, visit: &mut (dyn FnMut(ScannedRow) + Send)) -> Result<(), IndexError> {
        let mut connection = self.administration().await?;
        let mut cursor = ScanCursor::start();
        while let Some(keys) = cursor.next(&mut connection).await? {
            let mut pipeline = Pipeline::with_capacity(keys.len());
            for key in &keys {
                pipeline.hgetall(key);
            }
            if pipeline.is_empty() {
                continue;
            }
            let hashes: Vec<Hash> = pipeline.query_async(&mut connection).await?;
            for (key, hash) in keys.iter().zip(hashes) {
                for (field, value) in hash {
                    visit(scanned_row(key, &field, &value)?);
                }
            }
        }
        Ok(())
    }

    async fn administration(&self) -> Result<Connection, IndexError> {
        self.pool.get().await.map_err(|cause| match cause {
            deadpool_redis::PoolError::Timeout(_) => IndexError::TimedOut,
            cause => IndexError::Unavailable(cause.to_string()),
        })
    }
}
