//! Removes the entries of this program, and nothing else that a shared Redis may hold.

use super::links::{Links, Writer, told, unavailable};
use super::target::Address;
use super::{CacheError, entry};
use redis::aio::ConnectionLike;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo};
use redis::{Cmd, RedisResult, Value, from_redis_value};

/// Keys that one step of `SCAN` looks at.
const SCAN_STEP: usize = 1_000;

/// Where the next step begins, and the keys that this one found.
type Step = (u64, Vec<Vec<u8>>);

impl Links {
    /// Removes our entries on every primary and tells how many there were.
    pub(super) async fn clear(&self) -> Result<u64, CacheError> {
        match &self.writer {
            Writer::Server(pool) => {
                let connection = pool.get().await;
                let mut connection = connection.map_err(|cause| unavailable(&self.address, cause))?;
                let cleared = clear_server(&mut *connection).await;
                cleared.map_err(|cause| unavailable(&self.address, told(&cause)))
            }
            Writer::Cluster(connection) => {
                let cleared = clear_cluster(&mut connection.clone()).await;
                cleared.map_err(|cause| unavailable(&self.address, told(&cause)))
            }
        }
    }
}

async fn clear_server(connection: &mut impl ConnectionLike) -> RedisResult<u64> {
    let (mut removed, mut cursor) = (0, 0);
    loop {
        let (next, keys): Step = scan(cursor).query_async(connection).await?;
        removed += remove(connection, &keys).await?;
        if next == 0 {
            return Ok(removed);
        }
        cursor = next;
    }
}

async fn clear_cluster(connection: &mut ClusterConnection) -> RedisResult<u64> {
    let mut removed = 0;
    for primary in primaries(connection).await? {
        let mut cursor = 0;
        loop {
            let route = SingleNodeRoutingInfo::ByAddress {
                host: primary.host.clone(),
                port: primary.port,
            };
            let step = connection.route_command(scan(cursor), RoutingInfo::SingleNode(route));
            let (next, keys): Step = from_redis_value(step.await?.extract_error()?)?;
            removed += remove(connection, &keys).await?;
            if next == 0 {
                break;
            }
            cursor = next;
        }
    }
    Ok(removed)
}

/// Asked all at once, each primary answers under its address.
async fn primaries(connection: &mut ClusterConnection) -> RedisResult<Vec<Address>> {
    let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
    let answers = connection.route_command(redis::cmd("PING"), all).await?;
    let Value::Map(answers) = answers.extract_error()? else {
        return Ok(Vec::new());
    };
    let address = |(address, _): (Value, Value)| {
        let text: String = from_redis_value(address)?;
        Address::parse(&text, 0).ok_or_else(|| (redis::ErrorKind::Parse, "an address of a primary").into())
    };
    answers.into_iter().map(address).collect()
}

fn scan(cursor: u64) -> Cmd {
    let mut pattern = entry::PREFIX.to_vec();
    pattern.push(b'*');
    let mut scan = redis::cmd("SCAN");
    scan.arg(cursor)
        .arg("MATCH")
        .arg(pattern)
        .arg("COUNT")
        .arg(SCAN_STEP);
    scan
}

/// In a Cluster the library sends each key where it belongs.
async fn remove(connection: &mut impl ConnectionLike, keys: &[Vec<u8>]) -> RedisResult<u64> {
    if keys.is_empty() {
        return Ok(0);
    }
    redis::cmd("UNLINK").arg(keys).query_async(connection).await
}
