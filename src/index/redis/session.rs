//! One life of one Redis as a primary.
//!
//! Every connection of a session has met the same run of the same primary: whoever is promoted, restarts or takes
//! the address over is another, and what was known of the former does not hold for it.

use super::RedisOptions;
use super::fence::{Fence, Fences};
use super::links::Links;
use super::target::{Access, Address};
use crate::index::IndexError;
use deadpool_redis::{Connection, Hook, HookError, Manager, Pool, PoolError, Runtime, Timeouts};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, FromRedisValue, Pipeline};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Which run of which primary answers: it is another after a restart, and after every promotion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    run_id: String,
    replication_id: String,
}

impl Identity {
    /// Asks who answers. Only a primary has an identity.
    pub(super) async fn of(connection: &mut MultiplexedConnection) -> Result<Self, IndexError> {
        let mut ask = Pipeline::with_capacity(2);
        ask.cmd("INFO").arg("server").cmd("INFO").arg("replication");
        let (server, replication): (String, String) = ask.query_async(connection).await?;
        let run_id = field(&server, "run_id").ok_or(IndexError::Format("INFO"))?;
        Ok(Self {
            run_id: run_id.to_owned(),
            replication_id: replication_id(&replication)?.to_owned(),
        })
    }

    pub(super) fn hash(&self) -> u64 {
        let hash = Sha256::new()
            .chain_update(&self.run_id)
            .chain_update("/")
            .chain_update(&self.replication_id);
        as_number(hash)
    }
}

/// The first bytes of a hash.
pub(super) fn as_number(hash: Sha256) -> u64 {
    let first = hash.finalize().into_iter().take(8);
    first.fold(0, |number, byte| number << 8 | u64::from(byte))
}

/// A line of INFO.
pub(super) fn field<'a>(info: &'a str, name: &str) -> Option<&'a str> {
    let value = |line: &'a str| line.strip_prefix(name)?.strip_prefix(':');
    info.lines().find_map(value).map(str::trim)
}

/// From `INFO replication`; refused by a replica.
fn replication_id(info: &str) -> Result<&str, IndexError> {
    match field(info, "role") {
        Some("master") => field(info, "master_replid").ok_or(IndexError::Format("INFO")),
        _ => Err(IndexError::Unavailable("it is a replica".to_owned())),
    }
}

/// Connections to one primary, as long as it is the one.
pub(super) struct Session {
    pub(super) address: Address,
    pub(super) identity: Arc<Identity>,
    links: Links,
    pool: Pool,
    pub(super) fence: Arc<Fence>,
    timeout: Duration,
    opened_at: Instant,
    /// How long after that it was last found to be the one, in microseconds.
    confirmed_after: AtomicU64,
    confirming: tokio::sync::Mutex<()>,
}

impl Session {
    /// Connects and asks who it is.
    pub(super) async fn open(
        address: Address,
        access: &Access,
        options: &RedisOptions,
        fences: &Fences,
    ) -> Result<Self, IndexError> {
        let opened_at = Instant::now();
        let config = |response| {
            AsyncConnectionConfig::new()
                .set_connection_timeout(Some(options.connect_timeout))
                .set_response_timeout(Some(response))
        };
        let client = access.client(&address)?;
        // A connection that hangs is given up before the lookup is, so that the next finds another.
        let lookups = config(options.lookup_timeout * 19 / 20);
        let mut connection = client
            .get_multiplexed_async_connection_with_config(&lookups)
            .await?;
        let identity = Arc::new(Identity::of(&mut connection).await?);
        let manager = Manager::new_with_config(
            client.get_connection_info().clone(),
            config(options.write_timeout),
        )?;
        let links = Links::new(client, lookups, options.lookup_connections, Arc::clone(&identity));
        links.keep(connection);
        let fence = fences.of(&identity);
        Ok(Self {
            address,
            links,
            pool: pool(manager, options, Arc::clone(&identity), Arc::clone(&fence))?,
            fence,
            identity,
            timeout: options.lookup_timeout,
            opened_at,
            confirmed_after: AtomicU64::new(0),
            confirming: tokio::sync::Mutex::new(()),
        })
    }

    /// Sends what only reads over one of the shared connections, within the time of a lookup.
    pub(super) async fn ask<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, AskError> {
        match tokio::time::timeout(self.timeout, self.links.ask(pipeline)).await {
            Ok(answer) => answer,
            Err(_) => Err(AskError::Index(IndexError::TimedOut)),
        }
    }

    /// A connection for deliveries and administration.
    pub(super) async fn writer(&self) -> Result<Connection, IndexError> {
        self.fence.close(self).await?;
        self.pool.get().await.map_err(|cause| match cause {
            PoolError::Timeout(_) => IndexError::TimedOut,
            cause => IndexError::Unavailable(format!("{}: {cause}", self.address)),
        })
    }

    pub(super) fn is_confirmed_within(&self, age: Duration) -> bool {
        let confirmed_after = Duration::from_micros(self.confirmed_after.load(Ordering::Acquire));
        self.opened_at.elapsed().saturating_sub(confirmed_after) < age
    }

    /// Asks whether it is still the one. Those who wait for the same answer share it.
    pub(super) async fn confirm(&self, age: Duration) -> Result<(), IndexError> {
        let _one_at_a_time = self.confirming.lock().await;
        if self.is_confirmed_within(age) {
            return Ok(());
        }
        let asked_at = Instant::now();
        let mut ask = Pipeline::with_capacity(1);
        ask.cmd("INFO").arg("replication");
        let (info,): (String,) = self.ask(&ask).await?;
        self.check(&info, asked_at)
    }

    /// Judges an answer to `INFO replication`.
    pub(super) fn check(&self, info: &str, asked_at: Instant) -> Result<(), IndexError> {
        if replication_id(info)? != self.identity.replication_id {
            return Err(replaced());
        }
        let after = asked_at.saturating_duration_since(self.opened_at).as_micros();
        let after = u64::try_from(after).unwrap_or(u64::MAX);
        self.confirmed_after.fetch_max(after, Ordering::AcqRel);
        Ok(())
    }
}

pub(super) fn replaced() -> IndexError {
    IndexError::Unavailable("another primary took its place".to_owned())
}

/// What came of a question over a shared connection.
pub(super) enum AskError {
    /// The answer, or a part of it, is somewhere else for now.
    Elsewhere,
    Index(IndexError),
}

impl From<AskError> for IndexError {
    fn from(cause: AskError) -> Self {
        match cause {
            AskError::Elsewhere => Self::Unavailable("the slot is being moved".to_owned()),
            AskError::Index(cause) => cause,
        }
    }
}

fn pool(
    manager: Manager,
    options: &RedisOptions,
    identity: Arc<Identity>,
    fence: Arc<Fence>,
) -> Result<Pool, IndexError> {
    let verify = Hook::async_fn(move |connection: &mut MultiplexedConnection, _| {
        let (identity, fence) = (Arc::clone(&identity), Arc::clone(&fence));
        Box::pin(async move {
            match Identity::of(connection).await {
                Ok(found) if found == *identity => {
                    let entered = fence.enter(connection).await;
                    entered.map_err(|cause| HookError::message(cause.to_string()))
                }
                Ok(_) => Err(HookError::message(replaced().to_string())),
                Err(cause) => Err(HookError::message(cause.to_string())),
            }
        })
    });
    Pool::builder(manager)
        .max_size(options.pool_connections.max(1))
        .timeouts(Timeouts {
            wait: Some(options.write_timeout),
            create: Some(options.connect_timeout),
            recycle: Some(options.connect_timeout),
        })
        .post_create(verify)
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|cause| IndexError::Unfit(cause.to_string()))
}
