//! The shared connections of lookups.

use super::session::{AskError, Identity, replaced};
use crate::index::IndexError;
use arc_swap::ArcSwapOption;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, FromRedisValue, Pipeline, RedisError, ServerErrorKind,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Handle, RuntimeFlavor};

thread_local! {
    static SEAT: usize = {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        NEXT.fetch_add(1, Ordering::Relaxed)
    };
}

/// A fixed number of multiplexed connections, each made when it is needed, all to the same primary.
///
/// A connection is driven by the runtime that it was made in. Every worker has one of its own, so each keeps to one
/// connection: an answer that is read by another thread costs a system call to hand over.
pub(super) struct Links {
    client: Client,
    config: AsyncConnectionConfig,
    identity: Arc<Identity>,
    of_workers: Vec<Link>,
    /// For what runs in the background.
    background: Link,
}

#[derive(Default)]
struct Link {
    connection: ArcSwapOption<MultiplexedConnection>,
    connecting: tokio::sync::Mutex<()>,
}

impl Links {
    pub(super) fn new(
        client: Client,
        config: AsyncConnectionConfig,
        connections: usize,
        identity: Arc<Identity>,
    ) -> Self {
        Self {
            client,
            config,
            identity,
            of_workers: (0..connections.max(1)).map(|_| Link::default()).collect(),
            background: Link::default(),
        }
    }

    /// Takes a connection whose identity was asked already.
    pub(super) fn keep(&self, connection: MultiplexedConnection) {
        self.own().connection.store(Some(Arc::new(connection)));
    }

    /// Sends what only reads. A connection that fails is given up; the next to ask makes another.
    pub(super) async fn ask<T: FromRedisValue>(&self, pipeline: &Pipeline) -> Result<T, AskError> {
        let link = self.own();
        let connection = self.connection(link).await.map_err(AskError::Index)?;
        let answer = pipeline
            .query_async(&mut MultiplexedConnection::clone(&connection))
            .await;
        answer.map_err(|cause| {
            if is_lost(&cause) {
                link.connection.compare_and_swap(&connection, None);
            }
            match cause.kind() {
                ErrorKind::Server(
                    ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::TryAgain,
                ) => AskError::Elsewhere,
                _ => AskError::Index(cause.into()),
            }
        })
    }

    fn own(&self) -> &Link {
        match Handle::current().runtime_flavor() {
            RuntimeFlavor::CurrentThread => &self.of_workers[SEAT.with(|seat| *seat) % self.of_workers.len()],
            _ => &self.background,
        }
    }

    async fn connection(&self, link: &Link) -> Result<Arc<MultiplexedConnection>, IndexError> {
        if let Some(connection) = link.connection.load_full() {
            return Ok(connection);
        }
        Box::pin(self.connect(link)).await
    }

    async fn connect(&self, link: &Link) -> Result<Arc<MultiplexedConnection>, IndexError> {
        let _one_at_a_time = link.connecting.lock().await;
        if let Some(connection) = link.connection.load_full() {
            return Ok(connection);
        }
        let made = self
            .client
            .get_multiplexed_async_connection_with_config(&self.config);
        let mut made = made.await?;
        if Identity::of(&mut made).await? != *self.identity {
            return Err(replaced());
        }
        let made = Arc::new(made);
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
