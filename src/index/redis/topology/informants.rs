//! Those who know where the primaries are: Sentinels, or the nodes of a Cluster.

use super::super::target::{Access, Address};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, RedisResult};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Longest wait for one that hangs, once another has answered.
const GRACE: Duration = Duration::from_millis(300);

/// A connection to each, made when it is needed.
pub(super) struct Informants {
    access: Access,
    timeout: Duration,
    connections: Mutex<HashMap<Address, MultiplexedConnection>>,
}

/// What one of them told, or why it told nothing.
pub(super) type Told<T> = (Address, RedisResult<T>);

impl Informants {
    pub(super) fn new(access: Access, timeout: Duration) -> Self {
        Self {
            access,
            timeout,
            connections: Mutex::default(),
        }
    }

    /// Asks all of them at once. Ends when they have all been heard or `enough` have, and does not wait long for
    /// the rest.
    pub(super) async fn ask<T: FromRedisValue>(
        &self,
        addresses: &[Address],
        command: &Cmd,
        enough: impl Fn(&[Told<T>]) -> bool,
    ) -> Vec<Told<T>> {
        let (begun, mut told) = (Instant::now(), Vec::new());
        let asked = addresses.iter().map(|address| async move {
            let asked = tokio::time::timeout(self.timeout, self.ask_one(address, command)).await;
            (address.clone(), asked.unwrap_or_else(|_| Err(timed_out())))
        });
        let mut asked: FuturesUnordered<_> = asked.collect();
        loop {
            let has_answer = told.iter().any(|(_, told): &Told<T>| told.is_ok());
            let patience = if has_answer { GRACE } else { self.timeout };
            let next = tokio::time::timeout(patience.saturating_sub(begun.elapsed()), asked.next());
            match next.await {
                Ok(Some(one)) => told.push(one),
                Ok(None) => return told,
                Err(_) if has_answer || begun.elapsed() >= self.timeout => return told,
                Err(_) => {}
            }
            if enough(&told) {
                return told;
            }
        }
    }

    async fn ask_one<T: FromRedisValue>(&self, address: &Address, command: &Cmd) -> RedisResult<T> {
        let connections = || self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        let known = connections().get(address).cloned();
        let mut connection = match known {
            Some(connection) => connection,
            None => {
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(self.timeout))
                    .set_response_timeout(Some(GRACE));
                let made = self.access.connect(address, &config).await?;
                connections().insert(address.clone(), made.clone());
                made
            }
        };
        let told = command.query_async(&mut connection).await;
        if told.is_err() {
            connections().remove(address);
        }
        told
    }
}

fn timed_out() -> redis::RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}
