//! Which Redis it is, and whether it may serve as an index.

use super::Redis;
use crate::index::IndexError;

/// Oldest Redis with every command used here.
const OLDEST_VERSION: (u32, u32) = (6, 2);

impl Redis {
    /// Checks that this Redis keeps what it is given, and says what to change if not.
    pub async fn check_fitness(&self) -> Result<(), IndexError> {
        let mut connection = self.administration().await?;
        let info: String = redis::cmd("INFO")
            .arg("server")
            .query_async(&mut connection)
            .await?;
        let version = info
            .lines()
            .find_map(|line| line.strip_prefix("redis_version:"))
            .unwrap_or_default();
        let mut parts = version.split('.').map_while(|part| part.parse::<u32>().ok());
        let version_found = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
        if version_found < OLDEST_VERSION {
            let (major, minor) = OLDEST_VERSION;
            return Err(IndexError::Unfit(format!(
                "Redis {version} is too old; {major}.{minor} or later is needed"
            )));
        }
        let mut ask = redis::cmd("CONFIG");
        ask.arg("GET").arg("maxmemory-policy");
        let policy = ask.query_async::<Vec<String>>(&mut connection).await;
        let policy = policy.map_err(|cause| match cause.kind() {
            redis::ErrorKind::Server(redis::ServerErrorKind::NoPerm) => IndexError::Unfit(
                "this user may not ask for maxmemory-policy; grant it +config|get".to_owned(),
            ),
            _ => IndexError::from(cause),
        })?;
        match policy.get(1).map(String::as_str) {
            Some("noeviction") => Ok(()),
            policy => Err(IndexError::Unfit(format!(
                "Redis has maxmemory-policy {}; set `maxmemory-policy noeviction` in redis.conf, since an evicted \
                 row would be an answer that is silently short",
                policy.unwrap_or("unknown")
            ))),
        }
    }

    /// The run of Redis that answers: another one may lack what this one was given.
    pub(super) async fn run_id(&self) -> Result<String, IndexError> {
        let mut connection = self.administration().await?;
        let mut ask = redis::cmd("INFO");
        let info: String = ask.arg("server").query_async(&mut connection).await?;
        let run_id = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        Ok(run_id.ok_or(IndexError::Format("INFO"))?.trim().to_owned())
    }
}
