//! Whether these Redis servers may serve as an index, and what to change if not.

use super::session::{Session, field};
use super::target::Arrangement;
use super::topology::Group;
use super::{MARKER_KEY, Redis};
use crate::index::IndexError;
use crate::index::layout::Marker;
use deadpool_redis::Connection;

/// Oldest Redis with every command used here.
const OLDEST_VERSION: (u32, u32) = (6, 2);
/// Keys looked at in a database that has no marker.
const FOREIGN_SAMPLE: usize = 100;

impl Redis {
    /// Checks that every primary keeps what it is given, and that the database is free for an index.
    pub async fn check_fitness(&self) -> Result<(), IndexError> {
        // Nobody else may be looking for the primaries: lookups do not, while the service is not ready.
        let lineup = self.topology.survey().await?;
        for session in &lineup.sessions {
            let mut connection = session.writer().await?;
            self.check_server(session, &mut connection).await?;
            check_policy(session, &mut connection).await?;
        }
        let mut state = lineup.primary(Group::State).writer().await?;
        let marker: Option<Vec<u8>> = redis::cmd("GET").arg(MARKER_KEY).query_async(&mut state).await?;
        drop(state);
        match marker {
            Some(marker) => check_format(lineup.primary(Group::State), &marker),
            None => {
                for session in &lineup.sessions {
                    check_own(session).await?;
                }
                Ok(())
            }
        }
    }

    async fn check_server(&self, session: &Session, connection: &mut Connection) -> Result<(), IndexError> {
        let server: String = redis::cmd("INFO").arg("server").query_async(connection).await?;
        let version = field(&server, "redis_version").unwrap_or_default();
        let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
        let found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if found < OLDEST_VERSION {
            let (major, minor) = OLDEST_VERSION;
            return Err(unfit(
                session,
                &format!("Redis {version} is too old; {major}.{minor} or later is needed"),
            ));
        }
        let info: String = redis::cmd("INFO").arg("cluster").query_async(connection).await?;
        let is_cluster = field(&info, "cluster_enabled") == Some("1");
        if is_cluster && !matches!(self.topology.arrangement, Arrangement::Cluster { .. }) {
            let say = format!(
                "this is a node of a Cluster (`cluster-enabled yes` in redis.conf); write index.url = \"redis-cluster://{}\"",
                session.address
            );
            return Err(unfit(session, &say));
        }
        Ok(())
    }
}

async fn check_policy(session: &Session, connection: &mut Connection) -> Result<(), IndexError> {
    let mut ask = redis::cmd("CONFIG");
    ask.arg("GET").arg("maxmemory-policy");
    let policy = ask.query_async::<Vec<String>>(connection).await;
    let policy = policy.map_err(|cause| match cause.kind() {
        redis::ErrorKind::Server(redis::ServerErrorKind::NoPerm) => unfit(
            session,
            "this user may not ask for maxmemory-policy; grant it +config|get",
        ),
        _ => IndexError::from(cause),
    })?;
    match policy.get(1).map(String::as_str) {
        Some("noeviction") => Ok(()),
        policy => {
            let say = format!(
                "Redis has maxmemory-policy {}; set `maxmemory-policy noeviction` in redis.conf, since an evicted \
                 row would be an answer that is silently short",
                policy.unwrap_or("unknown")
            );
            Err(unfit(session, &say))
        }
    }
}

fn check_format(session: &Session, marker: &[u8]) -> Result<(), IndexError> {
    let say = "it holds an index of a format that this version does not know: name another database at the end of \
               index.url, or empty this one with FLUSHDB, and it is built from the journal";
    Marker::decode(marker)
        .map(|_| ())
        .map_err(|_| unfit(session, say))
}

/// A database without a marker is built from nothing: one that others keep something in is left alone.
async fn check_own(session: &Session) -> Result<(), IndexError> {
    let mut connection = session.writer().await?;
    let mut scan = redis::cmd("SCAN");
    scan.arg(0).arg("COUNT").arg(FOREIGN_SAMPLE);
    let (_, keys): (u64, Vec<Vec<u8>>) = scan.query_async(&mut connection).await?;
    if keys.iter().all(|key| is_ours(key)) {
        return Ok(());
    }
    let say = "it holds keys that are not of an index, and no index: give this service a database of its own, such as \
               the next number at the end of index.url";
    Err(unfit(session, say))
}

fn is_ours(key: &[u8]) -> bool {
    match key {
        [b'{', b'k', b'f', b'}', ..] => true,
        [b'{', first, second, b'}', b'c' | b'a' | b'm' | b'p', ..] => {
            first.is_ascii_hexdigit() && second.is_ascii_hexdigit()
        }
        _ => false,
    }
}

fn unfit(session: &Session, say: &str) -> IndexError {
    IndexError::Unfit(format!("{}: {say}", session.address))
}
