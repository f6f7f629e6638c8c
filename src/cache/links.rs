//! Connections to Redis, opened together and given up together.

use super::fill::Fill;
use super::target::{Arrangement, Target};
use super::{CacheError, entry};
use deadpool_redis::{Manager, Pool, Runtime, Timeouts};
use futures_util::future::{join_all, try_join_all};
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClientBuilder;
use redis::cluster_async::ClusterConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, ErrorKind, RedisError, RedisResult, ServerErrorKind, Value};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Longest wait for a connection to one server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest wait until all connections are there.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// Longest wait for what nobody waits for: a pipeline of entries, a step of clearing.
const WRITE_TIMEOUT: Duration = Duration::from_secs(2);
/// Pooled connections for what writes: entries are sent by one task.
const WRITE_CONNECTIONS: usize = 1;
/// How often a Cluster's connection follows a slot that has moved, or asks again, within the wait of a lookup.
const CLUSTER_RETRIES: u32 = 3;
/// Longest pause before it does. Milliseconds.
const CLUSTER_RETRY_WAIT: u64 = 10;

/// Keys that a probe reads: so many that every primary has some of them.
const CLUSTER_PROBES: u8 = 64;

thread_local! {
    /// Threads are spread over the shared connections, and each keeps to one.
    static SEAT: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

/// Shared connections for lookups, and others for what writes.
pub(super) struct Links {
    /// Of the server, where one is in use; of the Cluster otherwise.
    pub(super) address: String,
    /// Never empty.
    shared: Vec<Link>,
    pub(super) writer: Writer,
    pub(super) opened_at: Instant,
    /// The server has said that it is a replica by now.
    pub(super) is_replica: AtomicBool,
}

#[derive(Clone)]
enum Link {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

pub(super) enum Writer {
    Server(Pool),
    /// The pools of the library's users take no certificates of one's own for a Cluster; its connection is shared anyway.
    Cluster(ClusterConnection),
}

/// What became of some entries.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Filled {
    pub(super) stored: u64,
    pub(super) errors: u64,
}

impl Links {
    /// Connects, on the runtime that it is called on, and sees whether lookups are answered within `timeout`.
    pub(super) async fn open(
        target: &Target,
        timeout: Duration,
        connections: usize,
    ) -> Result<Self, CacheError> {
        let opening = tokio::time::timeout(OPEN_TIMEOUT, Self::connect(target, timeout, connections));
        let links = match opening.await {
            Ok(opened) => opened?,
            Err(_) => return Err(unavailable(&target.arrangement, "no connection in time")),
        };
        links.probe(timeout).await?;
        Ok(links)
    }

    async fn connect(target: &Target, timeout: Duration, connections: usize) -> Result<Self, CacheError> {
        match &target.arrangement {
            Arrangement::Node(address) => {
                let client = target.client(address);
                let client = client.map_err(|cause| unavailable(address, told(&cause)))?;
                Self::to_server(client, connections).await
            }
            Arrangement::Sentinel { .. } => {
                let cannot = |cause| unavailable(&target.arrangement, told(&cause));
                let Some(mut sentinels) = target.sentinels().map_err(cannot)? else {
                    return Err(unavailable(&target.arrangement, "no Sentinels"));
                };
                let client = sentinels.async_get_client().await.map_err(cannot)?;
                Self::to_server(client, connections).await
            }
            Arrangement::Cluster { .. } => {
                let opened = Self::to_cluster(target, timeout, connections).await;
                opened.map_err(|cause| unavailable(&target.arrangement, told(&cause)))
            }
        }
    }

    async fn to_server(client: Client, connections: usize) -> Result<Self, CacheError> {
        let address = client.get_connection_info().addr().to_string();
        let config = |response| {
            AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT_TIMEOUT))
                .set_response_timeout(response)
        };
        // A lookup has one bound of its own.
        let lookups = config(None);
        let made = (0..connections).map(|_| client.get_multiplexed_async_connection_with_config(&lookups));
        let made = try_join_all(made).await;
        let made = made.map_err(|cause| unavailable(&address, told(&cause)))?;
        let info = client.get_connection_info().clone();
        let pool = Manager::new_with_config(info, config(Some(WRITE_TIMEOUT)));
        let pool = Pool::builder(pool.map_err(|cause| unavailable(&address, told(&cause)))?)
            .max_size(WRITE_CONNECTIONS)
            .timeouts(Timeouts {
                wait: Some(WRITE_TIMEOUT),
                create: Some(CONNECT_TIMEOUT),
                recycle: Some(CONNECT_TIMEOUT),
            })
            .runtime(Runtime::Tokio1)
            .build()
            .map_err(|cause| unavailable(&address, cause))?;
        let shared = made.into_iter().map(Link::Server).collect();
        Ok(Self::new(address, shared, Writer::Server(pool)))
    }

    async fn to_cluster(target: &Target, timeout: Duration, connections: usize) -> RedisResult<Self> {
        let Arrangement::Cluster { seeds } = &target.arrangement else {
            return Err((ErrorKind::InvalidClientConfig, "no Cluster").into());
        };
        let seeds = target.seeds(seeds)?;
        let client = |response| {
            let builder = ClusterClientBuilder::new(seeds.clone())
                .connection_timeout(CONNECT_TIMEOUT)
                .response_timeout(response)
                .retries(CLUSTER_RETRIES)
                .min_retry_wait(1)
                .max_retry_wait(CLUSTER_RETRY_WAIT);
            match target.certificates() {
                Some(certificates) => builder.certs(certificates).build(),
                None => builder.build(),
            }
        };
        let (lookups, writes) = (client(timeout)?, client(WRITE_TIMEOUT)?);
        let shared = try_join_all((0..connections).map(|_| lookups.get_async_connection())).await?;
        let writer = writes.get_async_connection().await?;
        let shared = shared.into_iter().map(Link::Cluster).collect();
        let address = target.arrangement.to_string();
        Ok(Self::new(address, shared, Writer::Cluster(writer)))
    }

    fn new(address: String, shared: Vec<Link>, writer: Writer) -> Self {
        Self {
            address,
            shared,
            writer,
            opened_at: Instant::now(),
            is_replica: AtomicBool::new(false),
        }
    }

    /// Reads what stands under a key.
    pub(super) async fn get(&self, key: &[u8], timeout: Duration) -> Result<Value, RedisError> {
        let seat = SEAT.with(|seat| *seat) % self.shared.len().max(1);
        let Some(link) = self.shared.get(seat) else {
            return Err((ErrorKind::Io, "no connection").into());
        };
        let mut get = redis::cmd("GET");
        get.arg(key);
        link.ask(&get, timeout).await
    }

    /// Whether each of the shared connections answers in time; in a Cluster, whether all of its primaries do.
    pub(super) async fn probe(&self, timeout: Duration) -> Result<(), CacheError> {
        let probes = self.shared.iter().flat_map(|link| {
            let keys = match link {
                Link::Server(_) => 1,
                Link::Cluster(_) => CLUSTER_PROBES,
            };
            (0..keys).map(move |key| async move {
                let mut get = redis::cmd("GET");
                get.arg(entry::probe_key(key));
                link.ask(&get, timeout).await
            })
        });
        for answer in join_all(probes).await {
            answer.map_err(|cause| unavailable(&self.address, told(&cause)))?;
        }
        Ok(())
    }

    /// Sends entries to be kept for so long.
    pub(super) async fn store(&self, fills: &[Fill], seconds: u64) -> Filled {
        let answers = match &self.writer {
            Writer::Server(pool) => store_in_server(pool, fills, seconds).await,
            Writer::Cluster(connection) => Some(store_in_cluster(connection, fills, seconds).await),
        };
        let all = u64::try_from(fills.len()).unwrap_or(u64::MAX);
        let Some(answers) = answers else {
            return Filled {
                stored: 0,
                errors: all,
            };
        };
        if answers
            .iter()
            .any(|answer| answer.as_ref().is_err_and(is_read_only))
        {
            self.is_replica.store(true, Ordering::Relaxed);
        }
        let stored = answers.iter().filter(|answer| answer.is_ok()).count();
        let stored = u64::try_from(stored).unwrap_or(u64::MAX);
        Filled {
            stored,
            errors: all.saturating_sub(stored),
        }
    }
}

impl Link {
    /// A clone of a connection sends over the same socket.
    async fn ask(&self, command: &Cmd, timeout: Duration) -> RedisResult<Value> {
        let asked = tokio::time::timeout(timeout, async {
            match self {
                Self::Server(connection) => command.query_async(&mut connection.clone()).await,
                Self::Cluster(connection) => command.query_async(&mut connection.clone()).await,
            }
        });
        let timed_out = |_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into());
        asked.await.unwrap_or_else(timed_out)
    }
}

/// `None`: nothing was answered.
async fn store_in_server(pool: &Pool, fills: &[Fill], seconds: u64) -> Option<Vec<RedisResult<Value>>> {
    let mut connection = pool.get().await.ok()?;
    let mut pipeline = redis::Pipeline::with_capacity(fills.len());
    for fill in fills {
        pipeline.add_command(fill.command(seconds));
    }
    let answers = connection.req_packed_commands(&pipeline, 0, fills.len()).await;
    Some(answers.ok()?.into_iter().map(Value::extract_error).collect())
}

/// The keys are of different slots: each goes its own way, all at once.
async fn store_in_cluster(
    connection: &ClusterConnection,
    fills: &[Fill],
    seconds: u64,
) -> Vec<RedisResult<Value>> {
    let sent = fills.iter().map(|fill| {
        let mut connection = connection.clone();
        async move { fill.command(seconds).query_async(&mut connection).await }
    });
    join_all(sent).await
}

fn is_read_only(cause: &RedisError) -> bool {
    cause.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

pub(super) fn unavailable(address: impl ToString, cause: impl ToString) -> CacheError {
    CacheError::Unavailable {
        address: address.to_string(),
        cause: cause.to_string(),
    }
}

/// What went wrong, for whoever runs the service.
pub(super) fn told(cause: &RedisError) -> String {
    match cause.kind() {
        ErrorKind::Server(ServerErrorKind::Moved) => {
            "it is a node of a Cluster: write redis-cluster:// in cache.url".to_owned()
        }
        _ if cause.is_timeout() => "no answer in time".to_owned(),
        _ => cause.to_string(),
    }
}
