//! Connections: some that lookups share, and a pool of those that transactions have to themselves.

use super::target::Target;
use crate::store::StoreError;
use deadpool_postgres::{
    ClientWrapper, Connect, Manager, ManagerConfig, Pool, PoolError, RecyclingMethod, Runtime, TimeoutType,
};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_postgres::error::Severity;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Socket};

/// Longest wait for a connection to be made: hosts that are tried, TLS and login.
const MADE_WITHIN: Duration = Duration::from_secs(5);

type Connecting<'a> =
    Pin<Box<dyn Future<Output = Result<(Client, JoinHandle<()>), tokio_postgres::Error>> + Send + 'a>>;

/// Makes connections that live on one runtime, whoever asks for them.
pub(super) struct Connector {
    target: Target,
    runtime: Handle,
    /// Warnings that the server sent, over all connections.
    warnings: Arc<AtomicU64>,
}

impl Connector {
    pub(super) fn new(target: Target, runtime: Handle) -> Self {
        Self {
            target,
            runtime,
            warnings: Arc::default(),
        }
    }

    /// Connections for transactions, so many at most.
    pub(super) fn pool(self: &Arc<Self>, connections: usize) -> Result<Pool, StoreError> {
        let config = self.target.config.clone();
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_connect(config, Shared(Arc::clone(self)), recycling);
        let pool = Pool::builder(manager)
            .max_size(connections)
            .create_timeout(Some(MADE_WITHIN))
            .runtime(Runtime::Tokio1)
            .build();
        pool.map_err(|cause| StoreError::Settings(cause.to_string()))
    }

    /// One more connection.
    pub(super) async fn connect(&self) -> Result<ClientWrapper, StoreError> {
        let made = tokio::time::timeout(MADE_WITHIN, self.make()).await;
        let (client, task) = made.map_err(|_| self.away("no answer in time"))??;
        Ok(ClientWrapper::new(client, task))
    }

    /// How many warnings have come: one that comes with a commit tells that it may not be safe yet.
    pub(super) fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::Acquire)
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    pub(super) fn shown(&self) -> &str {
        &self.target.shown
    }

    pub(super) fn away(&self, cause: &str) -> StoreError {
        StoreError::Unavailable(format!("PostgreSQL at {}: {cause}", self.target.shown))
    }

    async fn make(&self) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error> {
        match self.target.tls.clone() {
            Some(tls) => self.make_by(tls).await,
            None => self.make_by(NoTls).await,
        }
    }

    async fn make_by<T>(&self, tls: T) -> Result<(Client, JoinHandle<()>), tokio_postgres::Error>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + 'static,
        T::TlsConnect: Send,
        <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
    {
        let (client, connection) = self.target.config.connect(tls).await?;
        let run = run(connection, Arc::clone(&self.warnings));
        Ok((client, self.runtime.spawn(run)))
    }
}

/// What the pool makes connections by.
struct Shared(Arc<Connector>);

impl Connect for Shared {
    fn connect(&self, _config: &tokio_postgres::Config) -> Connecting<'_> {
        let connector = Arc::clone(&self.0);
        // Where the runtime's own timers and sockets are, whatever polls this.
        let made = self.0.runtime.spawn(async move { connector.make().await });
        Box::pin(async move {
            match made.await {
                Ok(made) => made,
                Err(defect) => std::panic::resume_unwind(defect.into_panic()),
            }
        })
    }
}

/// Serves a connection to its end.
async fn run<S>(mut connection: Connection<Socket, S>, warnings: Arc<AtomicU64>)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    while let Some(message) = poll_fn(|context| connection.poll_message(context)).await {
        match message {
            Ok(AsyncMessage::Notice(notice)) if notice.parsed_severity() == Some(Severity::Warning) => {
                warnings.fetch_add(1, Ordering::AcqRel);
                tracing::warn!(
                    code = notice.code().code(),
                    notice = notice.message(),
                    "a warning of PostgreSQL"
                );
            }
            Ok(_) => {}
            Err(cause) => {
                tracing::debug!(cause = %told(&cause), "a connection to PostgreSQL has ended");
                return;
            }
        }
    }
}

/// What went wrong, without details that may hold what rows hold.
pub(super) fn told(cause: &tokio_postgres::Error) -> String {
    match cause.as_db_error() {
        Some(cause) => format!("{} ({})", cause.message(), cause.code().code()),
        None => {
            let source = std::error::Error::source(cause);
            source.map_or_else(|| cause.to_string(), |source| format!("{cause}: {source}"))
        }
    }
}

/// Connections that lookups share: what is asked at once goes one after the other over each.
pub(super) struct Readers {
    connector: Arc<Connector>,
    slots: Vec<Slot>,
    next: AtomicU64,
}

#[derive(Default)]
struct Slot {
    reader: Mutex<Option<Arc<Reader>>>,
    /// Whoever finds none makes it, alone.
    making: tokio::sync::Mutex<()>,
}

/// A shared connection.
pub(super) struct Reader {
    pub(super) client: ClientWrapper,
}

impl Readers {
    pub(super) fn new(connector: &Arc<Connector>, connections: usize) -> Self {
        Self {
            connector: Arc::clone(connector),
            slots: std::iter::repeat_with(Slot::default).take(connections).collect(),
            next: AtomicU64::new(0),
        }
    }

    /// The connection whose turn it is.
    pub(super) async fn get(&self) -> Result<Arc<Reader>, StoreError> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let slot = &self.slots[(turn % self.slots.len() as u64) as usize];
        if let Some(reader) = slot.open() {
            return Ok(reader);
        }
        let _alone = slot.making.lock().await;
        if let Some(reader) = slot.open() {
            return Ok(reader);
        }
        // Apart, so that what waits for a connection that is there stays small.
        let client = Box::pin(self.connector.connect()).await?;
        let reader = Arc::new(Reader { client });
        *slot.reader.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::clone(&reader));
        Ok(reader)
    }

    /// Takes back a connection that does not answer.
    pub(super) fn give_up(&self, silent: &Arc<Reader>) {
        for slot in &self.slots {
            let mut reader = slot.reader.lock().unwrap_or_else(PoisonError::into_inner);
            if reader.as_ref().is_some_and(|reader| Arc::ptr_eq(reader, silent)) {
                *reader = None;
            }
        }
    }

    pub(super) fn close(&self) {
        for slot in &self.slots {
            *slot.reader.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }
}

impl Slot {
    fn open(&self) -> Option<Arc<Reader>> {
        let reader = self.reader.lock().unwrap_or_else(PoisonError::into_inner);
        reader
            .as_ref()
            .filter(|reader| !reader.client.is_closed())
            .cloned()
    }
}

impl From<PoolError> for StoreError {
    fn from(cause: PoolError) -> Self {
        match cause {
            PoolError::Timeout(TimeoutType::Wait) => Self::Overloaded,
            PoolError::Timeout(_) => Self::Unavailable("PostgreSQL takes no connection in time".to_owned()),
            PoolError::Backend(cause) => cause.into(),
            PoolError::Closed => Self::Closed,
            PoolError::NoRuntimeSpecified | PoolError::PostCreateHook(_) => {
                Self::Unavailable(cause.to_string())
            }
        }
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(cause: tokio_postgres::Error) -> Self {
        use tokio_postgres::error::SqlState;
        match cause.code() {
            Some(&SqlState::DISK_FULL) => Self::Full,
            Some(&SqlState::QUERY_CANCELED) => Self::TimedOut,
            Some(&SqlState::LOCK_NOT_AVAILABLE) => Self::SetBusy,
            Some(&SqlState::TOO_MANY_CONNECTIONS) => Self::Overloaded,
            Some(&SqlState::DATA_CORRUPTED | &SqlState::INDEX_CORRUPTED) => Self::Damaged("a page"),
            _ => Self::Unavailable(format!("PostgreSQL: {}", told(&cause))),
        }
    }
}
