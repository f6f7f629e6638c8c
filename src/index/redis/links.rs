//! The shared connections of lookups.
//!
//! Whenever one is made anew, a new *epoch* begins before it is used: what was known of Redis before may no
//! longer hold, since a Redis that restarted can be empty or older than it was.

use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, FromRedisValue, Pipeline, RedisError, RedisResult};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// A fixed number of multiplexed connections, each made when it is needed.
pub(super) struct Links {
    client: Client,
    config: AsyncConnectionConfig,
    links: Vec<Link>,
    next: AtomicUsize,
    epoch: AtomicU64,
}

#[derive(Default)]
struct Link {
    connection: ArcSwapOption<MultiplexedConnection>,
    connecting: tokio::sync::Mutex<()>,
}

impl Links {
    pub(super) fn new(client: Client, config: AsyncConnectionConfig, connections: usize) -> Self {
        let links = (0..connections.max(1)).map(|_| Link::default()).collect();
        Self {
            client,
            config,
            links,
            next: AtomicUsize::new(0),
            epoch: AtomicU64::new(0),
        }
    }

    /// Counts the connections that were made.
    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Sends what only reads. A connection that fails is given up; the next to ask makes another.
    pub(super) async fn ask<T: FromRedisValue>(&self, pipeline: &Pipeline) -> RedisResult<T> {
        let link = &self.links[self.next.fetch_add(1, Ordering::Relaxed) % self.links.len()];
        let connection = self.connection(link).await?;
        let answer = pipeline
            .query_async(&mut MultiplexedConnection::clone(&connection))
            .await;
        if answer.as_ref().is_err_and(is_lost) {
            link.connection.compare_and_swap(&connection, None);
        }
        answer
    }

    async fn connection(&self, link: &Link) -> RedisResult<Arc<MultiplexedConnection>> {
        if let Some(connection) = link.connection.load_full() {
            return Ok(connection);
        }
        let _one_at_a_time = link.connecting.lock().await;
        if let Some(connection) = link.connection.load_full() {
            return Ok(connection);
        }
        let made = Arc::new(
            self.client
                .get_multiplexed_async_connection_with_config(&self.config)
                .await?,
        );
        self.epoch.fetch_add(1, Ordering::AcqRel);
        link.connection.store(Some(Arc::clone(&made)));
        Ok(made)
    }
}

fn is_lost(cause: &RedisError) -> bool {
    cause.is_connection_dropped()
        || cause.is_io_error()
        || cause.is_timeout()
        || cause.is_unrecoverable_error()
}
