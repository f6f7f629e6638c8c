//! The service: built, bound, run, drained. The only place that wires; commands and tests start it this way.

mod background;
mod disk;
mod heads;
mod listen;
mod ports;
mod refusals;
mod tls;
mod upkeep;
mod wiring;

pub use tls::{Port, TlsError, TlsSettingsError, check as check_tls};
pub use wiring::{
    Parts, find_cache, look_at_issuer, open_store, record_place, record_ring, rekeying, required_scopes,
    store_place,
};

use crate::access::key_set::FetchError;
use crate::access::outbound::OutboundError;
use crate::access::terms::TermsFileError;
use crate::cache::CacheError;
use crate::config::{ConfigError, Settings};
use crate::record::RecorderError;
use crate::register::participants::ParticipantsFileError;
use crate::store::StoreError;
use actix_web::dev::Server as ActixServer;
use background::Background;
use ports::{bind_management, bind_public};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tls::Tls;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use upkeep::{SeenFiles, WatchedFiles};

/// Longest wait at shutdown for requests and publications under way.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Participants(#[from] ParticipantsFileError),
    #[error(transparent)]
    Terms(#[from] TermsFileError),
    #[error("store.url: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Cache(#[from] CacheError),
    #[error("the directory for sorting deliveries cannot be made: {0}")]
    Scratch(std::io::Error),
    #[error("the record of use: {0}")]
    Record(#[from] RecorderError),
    #[error("the issuer's keys cannot be fetched from here: {0}")]
    Keys(#[from] OutboundError),
    #[error("the issuer's keys cannot be fetched: {0}")]
    Issuer(#[from] FetchError),
    #[error("{address} cannot be listened on: {cause}")]
    Bind {
        address: SocketAddr,
        cause: std::io::Error,
    },
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
    #[error("threads for deliveries cannot be started: {0}")]
    Threads(std::io::Error),
    #[error("metrics cannot be collected: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

impl From<TlsSettingsError> for StartError {
    fn from(cause: TlsSettingsError) -> Self {
        match cause {
            TlsSettingsError::Config(cause) => Self::Config(cause),
            TlsSettingsError::Files(cause) => Self::Tls(cause),
        }
    }
}

/// A service that listens.
pub struct Server {
    pub parts: Parts,
    pub address: SocketAddr,
    pub management_address: SocketAddr,
    public: ActixServer,
    end_connections: CancellationToken,
    management: ActixServer,
    drain: Duration,
    background: Background,
}

impl Server {
    /// Wires the parts and binds both ports. Nothing runs yet.
    pub async fn build(settings: &Settings) -> Result<Self, StartError> {
        let prometheus = crate::telemetry::collect_metrics()?;
        let seen = ListsAtStart::look(settings)?;
        let tls = Tls::open(Port::Public, &settings.server)?;
        let management_tls = Tls::open(Port::Management, &settings.server)?;
        let of_tls = [&tls, &management_tls].into_iter().flatten();
        let of_tls: Vec<_> = of_tls.cloned().map(WatchedFiles::tls).collect();
        let parts = Parts::wire(settings).await?;
        let end_connections = CancellationToken::new();
        let (public, address) = bind_public(settings, &parts, tls.as_ref(), end_connections.clone())?;
        let (management, management_address) =
            bind_management(settings, &parts, management_tls.as_ref(), prometheus.clone())?;
        Ok(Self {
            background: Background {
                files: seen.watched(&parts).chain(of_tls).collect(),
                head_every: Duration::from_secs(settings.record.head_every_seconds),
                upkeep_every: Duration::from_secs(settings.store.upkeep_seconds),
                kept: wiring::kept(&settings.delivery),
                closed_years: settings.retention.closed_years,
                prometheus,
            },
            parts,
            address,
            management_address,
            public,
            end_connections,
            management,
            drain: Duration::from_secs(settings.server.drain_seconds),
        })
    }

    /// Serves until `stop` is cancelled, drains, and ends everything it started. `reload` asks for the
    /// participants file, the service terms and the TLS files to be read again.
    pub async fn run(
        self,
        stop: CancellationToken,
        reload: Arc<tokio::sync::Notify>,
    ) -> Result<(), std::io::Error> {
        let end = CancellationToken::new();
        let tasks = self.background.start(&self.parts, reload, &end);
        let (public_handle, management_handle) = (self.public.handle(), self.management.handle());
        let draining = Arc::clone(&self.parts.readiness.draining);
        let (drain, end_connections) = (self.drain, self.end_connections);
        tasks.spawn(async move {
            stop.cancelled().await;
            drain_requests(&draining, drain).await;
            end_connections.cancel();
            public_handle.stop(true).await;
            management_handle.stop(false).await;
        });
        let served = tokio::try_join!(self.public, self.management).map(|_| ());
        end.cancel();
        // A publication that hangs is not waited for: it leaves no trace.
        wait_for_end(self.parts.delivery.publications(), "publications").await;
        wait_for_end(&tasks, "background tasks").await;
        self.parts.readiness.recorder.close().await;
        let store = self.parts.store;
        // Ends a thread, which may be at its last work.
        let closed = tokio::task::spawn_blocking(move || store.close());
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, closed).await.is_err() {
            tracing::warn!("the store was still being written at shutdown");
        }
        served
    }
}

async fn wait_for_end(tasks: &TaskTracker, what: &str) {
    tasks.close();
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, tasks.wait())
        .await
        .is_err()
    {
        tracing::warn!("{what} were still under way at shutdown");
    }
}

/// Participants and terms, as they stood before anything was read at start, which may take minutes. Terms that are
/// built in do not change.
struct ListsAtStart<'s> {
    participants: (&'s Path, SeenFiles),
    terms: Option<(&'s Path, SeenFiles)>,
}

impl<'s> ListsAtStart<'s> {
    fn look(settings: &'s Settings) -> Result<Self, ConfigError> {
        let look = |path: &'s Path| (path, SeenFiles::look(vec![path.to_owned()]));
        Ok(Self {
            participants: look(settings.participants_file()?),
            terms: settings.access.services_file().map(look),
        })
    }

    fn watched(self, parts: &Parts) -> impl Iterator<Item = WatchedFiles> {
        let (path, seen) = self.participants;
        let participants = WatchedFiles::participants(seen, path, parts);
        let terms = self
            .terms
            .map(|(path, seen)| WatchedFiles::terms(seen, path, parts.lookup.terms().clone()));
        [participants].into_iter().chain(terms)
    }
}

async fn drain_requests(draining: &AtomicBool, drain: Duration) {
    draining.store(true, Ordering::Relaxed);
    tracing::info!(seconds = drain.as_secs(), "draining");
    tokio::time::sleep(drain).await;
}
