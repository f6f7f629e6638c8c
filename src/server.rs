//! The service: built, bound, run, drained. The only place that wires; commands and tests start it this way.

use crate::access::authenticator::Authenticator;
use crate::access::claims::TokenRules;
use crate::access::key_set::{KeySet, KeySetSettings, KeySource};
use crate::access::outbound::OutboundError;
use crate::audit::Recorder;
use crate::chain::{HeadKey, OpenError};
use crate::config::{ConfigError, IndexUrl, MaskinportenSettings, ScopeSettings, Settings};
use crate::domain::identifiers::IdentifierRules;
use crate::http::caller::RequiredScopes;
use crate::http::deliveries::DeliveryLimits;
use crate::http::management::{self, Readiness};
use crate::http::middleware::{self, HeaderLimit};
use crate::http::multipart::BatchLimits;
use crate::http::routes;
use crate::index::embedded::Embedded;
use crate::index::layout::Owner;
use crate::index::redis::{Redis, RedisOptions};
use crate::index::{Index, IndexError};
use crate::journal::{Journal, JournalError};
use crate::pseudonym::{MasterKey, Pseudonyms};
use crate::register::delivery::{Delivery, SetLocks};
use crate::register::keeper::{IndexUse, Keeper};
use crate::register::lookup::Lookup;
use crate::register::participants::{self, ParticipantsFileError, ParticipantsInForce};
use actix_web::dev::{Server as ActixServer, ServerHandle};
use actix_web::middleware::from_fn;
use actix_web::web::{Data, PayloadConfig};
use actix_web::{App, HttpServer};
use metrics_exporter_prometheus::PrometheusHandle;
use secrecy::ExposeSecret;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How often the participants file is looked at.
const RELOAD_EVERY: Duration = Duration::from_secs(2);
/// How often a record of use that could not be written is tried again, and histograms are folded.
const UPKEEP_EVERY: Duration = Duration::from_secs(1);
/// Longest wait at shutdown for requests and publications under way.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Participants(#[from] ParticipantsFileError),
    #[error("the index: {0}")]
    Index(#[from] IndexError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error("the record of use: {0}")]
    Audit(#[from] OpenError),
    #[error("the issuer's keys cannot be fetched from here: {0}")]
    Keys(#[from] OutboundError),
    #[error("{address} cannot be listened on: {cause}")]
    Bind {
        address: SocketAddr,
        cause: std::io::Error,
    },
    #[error("metrics cannot be collected: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

/// The parts that answer requests, wired.
#[derive(Clone)]
pub struct Parts {
    pub lookup: Lookup,
    pub delivery: Delivery,
    pub keeper: Keeper,
    pub readiness: Readiness,
    authenticator: Data<Authenticator>,
    scopes: Data<RequiredScopes>,
    rules: IdentifierRules,
}

/// A service that listens.
pub struct Server {
    pub parts: Parts,
    pub address: SocketAddr,
    pub management_address: SocketAddr,
    public: ActixServer,
    management: ActixServer,
    participants_file: PathBuf,
    drain: Duration,
    prometheus: PrometheusHandle,
}

/// The stores that journal and index are in: all that commands without HTTP need.
pub struct Stores {
    pub index: Index,
    pub journal: Option<Arc<Journal>>,
    pub key: MasterKey,
    pub pseudonyms: Arc<Pseudonyms>,
}

impl Stores {
    /// Opens what the settings name.
    pub async fn open(settings: &Settings) -> Result<Self, StartError> {
        let key = settings.master_key()?;
        let pseudonyms = Arc::new(Pseudonyms::new(&key));
        let journal = match settings.journal_directory() {
            None => None,
            Some(directory) => {
                let head_key = HeadKey::new(*key.derive("journal/head"));
                Some(Arc::new(
                    Journal::open(directory, &head_key, pseudonyms.fingerprint()).await?,
                ))
            }
        };
        let index = open_index(settings).await?;
        index.claim(Owner {
            register_id: journal.as_ref().map(|journal| journal.register_id()),
            key: pseudonyms.fingerprint(),
        });
        Ok(Self {
            index,
            journal,
            key,
            pseudonyms,
        })
    }

    /// What keeps the index level with the journal.
    pub fn keeper(&self) -> Keeper {
        Keeper {
            index: self.index.clone(),
            journal: self.journal.clone(),
            key: self.pseudonyms.fingerprint(),
            locks: SetLocks::default(),
            index_use: IndexUse::default(),
        }
    }
}

async fn open_index(settings: &Settings) -> Result<Index, StartError> {
    let index = &settings.index;
    match index.url()? {
        IndexUrl::Embedded(path) => Ok(Index::Embedded(Arc::new(Embedded::open(
            &path,
            index.cache_megabytes.saturating_mul(1 << 20),
        )?))),
        IndexUrl::Redis(url) => {
            let options = RedisOptions {
                lookup_connections: index.lookup_connections,
                pool_connections: index.pool_connections,
                connect_timeout: Duration::from_millis(index.connect_timeout_milliseconds),
                lookup_timeout: index.timeout(),
                write_timeout: Duration::from_millis(index.write_timeout_milliseconds),
            };
            let redis = Redis::connect(url.expose_secret(), &options)?;
            match redis.check_fitness().await {
                Err(unfit @ (IndexError::Unfit(_) | IndexError::Format(_))) => return Err(unfit.into()),
                Err(cause) => {
                    tracing::warn!(%cause, "Redis is not there yet; the service starts and waits for it")
                }
                Ok(()) => {}
            }
            Ok(Index::Redis(Arc::new(redis)))
        }
    }
}

impl Parts {
    async fn wire(settings: &Settings) -> Result<Self, StartError> {
        let participants = participants::load(settings.participants_file()?)?;
        let stores = Stores::open(settings).await?;
        let known = stores.index.refresh().await.unwrap_or_default();
        let sets = participants::sets_with_records(&known, stores.journal.as_deref());
        participants::check_none_dropped(&participants, &sets)?;
        let participants = ParticipantsInForce::new(participants);
        let audit_timeout = Duration::from_millis(settings.audit.timeout_milliseconds);
        let recorder = Recorder::open(&settings.audit.directory, &stores.key, audit_timeout)?;
        let keeper = stores.keeper();
        let keys = Arc::new(open_key_set(&settings.maskinporten)?);
        let rules = TokenRules {
            issuer: settings.maskinporten.issuer()?.to_owned(),
            audience: settings.maskinporten.audience.clone(),
            leeway_seconds: TokenRules::DEFAULT_LEEWAY_SECONDS,
        };
        let lookup = Lookup {
            index: stores.index.clone(),
            pseudonyms: Arc::clone(&stores.pseudonyms),
            participants: participants.clone(),
            recorder: recorder.clone(),
            retention_closed_years: settings.retention.closed_years,
            index_timeout: settings.index.timeout(),
        };
        let delivery = Delivery {
            index: stores.index,
            journal: stores.journal,
            pseudonyms: stores.pseudonyms,
            participants,
            locks: keeper.locks.clone(),
            index_use: keeper.index_use.clone(),
            publications: TaskTracker::new(),
            publish_timeout: Duration::from_secs(settings.delivery.publish_timeout_seconds),
        };
        let readiness = Readiness {
            keys: Arc::clone(&keys),
            keeper: keeper.clone(),
            recorder,
            draining: Arc::new(AtomicBool::new(false)),
        };
        Ok(Self {
            lookup,
            delivery,
            keeper,
            readiness,
            authenticator: Data::new(Authenticator::new(keys, rules)),
            scopes: Data::new(required_scopes(&settings.access.scopes)?),
            rules: settings.identifier_rules(),
        })
    }
}

fn open_key_set(settings: &MaskinportenSettings) -> Result<KeySet, StartError> {
    let issuer = settings.issuer()?;
    let source = match (settings.jwks_uri()?, settings.well_known_url()?) {
        (Some(address), _) => KeySource::JwksUri(address),
        (None, Some(address)) => KeySource::WellKnown(address),
        (None, None) => KeySource::of_issuer(issuer).map_err(|cause| ConfigError::Value {
            key: "maskinporten.issuer",
            reason: cause.to_string(),
        })?,
    };
    let key_set_settings = KeySetSettings {
        refresh: Duration::from_secs(settings.refresh_seconds.max(1)),
        outage: Duration::from_secs(settings.outage_seconds),
        unknown_kid_brake: Duration::from_secs(settings.unknown_kid_brake_seconds),
        remembered_tokens: settings.remembered_tokens,
        ..KeySetSettings::default()
    };
    Ok(KeySet::new(source, issuer, key_set_settings)?)
}

/// The scopes that open each operation, as the settings name them.
pub fn required_scopes(scopes: &ScopeSettings) -> Result<RequiredScopes, ConfigError> {
    Ok(RequiredScopes {
        customer_relationships: ScopeSettings::parse(
            "access.scopes.customer_relationships",
            &scopes.customer_relationships,
        )?,
        account_servicing_provider: ScopeSettings::parse(
            "access.scopes.account_servicing_provider",
            &scopes.account_servicing_provider,
        )?,
        write: ScopeSettings::parse("access.scopes.write", &scopes.write)?,
    })
}

impl Server {
    /// Wires the parts and binds both ports. Nothing runs yet.
    pub async fn build(settings: &Settings) -> Result<Self, StartError> {
        let prometheus = crate::telemetry::collect_metrics()?;
        let parts = Parts::wire(settings).await?;
        let (public, address) = bind_public(settings, &parts)?;
        let (management, management_address) = bind_management(settings, &parts, prometheus.clone())?;
        Ok(Self {
            parts,
            address,
            management_address,
            public,
            management,
            participants_file: settings.participants_file()?.to_owned(),
            drain: Duration::from_secs(settings.server.drain_seconds),
            prometheus,
        })
    }

    /// Serves until `stop` is cancelled, drains, and ends everything it started. `reload` asks for the
    /// participants file to be read again.
    pub async fn run(
        self,
        stop: CancellationToken,
        reload: Arc<tokio::sync::Notify>,
    ) -> Result<(), std::io::Error> {
        let (background, tasks) = (CancellationToken::new(), TaskTracker::new());
        let keys = Arc::clone(&self.parts.readiness.keys);
        let keys_end = background.clone();
        tasks.spawn(async move { keys.run(keys_end).await });
        tasks.spawn(self.parts.keeper.clone().run(background.clone()));
        tasks.spawn(self.parts.keeper.clone().sweep(background.clone()));
        tasks.spawn(reload_participants(
            self.participants_file,
            self.parts.delivery.clone(),
            reload,
            background.clone(),
        ));
        tasks.spawn(upkeep(
            self.parts.readiness.recorder.clone(),
            self.prometheus,
            background.clone(),
        ));
        let (public_handle, management_handle) = (self.public.handle(), self.management.handle());
        let draining = Arc::clone(&self.parts.readiness.draining);
        let drain = self.drain;
        tasks.spawn(async move {
            stop.cancelled().await;
            drain_and_stop(&draining, drain, public_handle, management_handle).await;
        });
        let served = tokio::try_join!(self.public, self.management).map(|_| ());
        background.cancel();
        self.parts.delivery.publications.close();
        // A publication that hangs is not waited for: the journal completes it as a whole at the next start.
        let publications = self.parts.delivery.publications.wait();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, publications)
            .await
            .is_err()
        {
            tracing::warn!("publications were still under way at shutdown; the next start completes them");
        }
        tasks.close();
        if tokio::time::timeout(SHUTDOWN_TIMEOUT, tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("background tasks did not end in time");
        }
        self.parts.readiness.recorder.close().await;
        if let Some(journal) = &self.parts.delivery.journal {
            journal.close().await;
        }
        served
    }
}

async fn drain_and_stop(
    draining: &AtomicBool,
    drain: Duration,
    public: ServerHandle,
    management: ServerHandle,
) {
    draining.store(true, Ordering::Relaxed);
    tracing::info!(seconds = drain.as_secs(), "draining");
    tokio::time::sleep(drain).await;
    public.stop(true).await;
    management.stop(false).await;
}

fn bind_public(settings: &Settings, parts: &Parts) -> Result<(ActixServer, SocketAddr), StartError> {
    let delivery = &settings.delivery;
    let pause = Duration::from_secs(delivery.pause_seconds);
    let delivery_limits = Data::new(DeliveryLimits {
        max_body_bytes: delivery.max_body_bytes,
        max_line_bytes: delivery.max_line_bytes,
        pause,
    });
    let batch_limits = Data::new(BatchLimits {
        max_bytes: delivery.max_batch_bytes,
        pause,
    });
    let header_limit = HeaderLimit(settings.server.max_header_bytes);
    let parts = parts.clone();
    let (lookup, delivery) = (Data::new(parts.lookup), Data::new(parts.delivery));
    let recorder = Data::new(parts.readiness.recorder);
    let factory = move || {
        App::new()
            .app_data(parts.rules)
            .app_data(header_limit)
            .app_data(PayloadConfig::new(usize::MAX))
            .app_data(parts.authenticator.clone())
            .app_data(parts.scopes.clone())
            .app_data(lookup.clone())
            .app_data(delivery.clone())
            .app_data(recorder.clone())
            .app_data(delivery_limits.clone())
            .app_data(batch_limits.clone())
            .wrap(from_fn(middleware::wrap))
            .configure(routes::configure)
    };
    let workers = match settings.server.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let address = settings.server.listen;
    let server = HttpServer::new(factory)
        .workers(workers)
        .client_request_timeout(Duration::from_secs(settings.server.request_head_seconds))
        .shutdown_timeout(SHUTDOWN_TIMEOUT.as_secs())
        .disable_signals()
        .bind(address)
        .map_err(|cause| StartError::Bind { address, cause })?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}

fn bind_management(
    settings: &Settings,
    parts: &Parts,
    prometheus: PrometheusHandle,
) -> Result<(ActixServer, SocketAddr), StartError> {
    let (readiness, prometheus) = (Data::new(parts.readiness.clone()), Data::new(prometheus));
    let address = settings.server.management_listen;
    let factory = move || {
        App::new()
            .app_data(readiness.clone())
            .app_data(prometheus.clone())
            .configure(management::configure)
    };
    let server = HttpServer::new(factory)
        .workers(1)
        .disable_signals()
        .bind(address)
        .map_err(|cause| StartError::Bind { address, cause })?;
    let bound = server.addrs().first().copied().unwrap_or(address);
    Ok((server.run(), bound))
}

/// Puts a changed participants file in force: when asked, and when its content changes.
async fn reload_participants(
    path: PathBuf,
    delivery: Delivery,
    reload: Arc<tokio::sync::Notify>,
    end: CancellationToken,
) {
    let mut last_read = Some(std::fs::read(&path).unwrap_or_default());
    loop {
        tokio::select! {
            () = tokio::time::sleep(RELOAD_EVERY) => {}
            () = reload.notified() => last_read = None,
            () = end.cancelled() => return,
        }
        // A file that cannot be read is told once by the attempt below, not at every look.
        let content = Some(std::fs::read(&path).unwrap_or_default());
        if content != last_read {
            last_read = content;
            reload_once(&path, &delivery);
        }
    }
}

fn reload_once(path: &Path, delivery: &Delivery) {
    let sets = participants::sets_with_records(&delivery.index.state(), delivery.journal.as_deref());
    let replaced =
        participants::load(path).and_then(|participants| delivery.participants.replace(participants, &sets));
    match replaced {
        Ok(()) => tracing::info!("the participants file was read again"),
        Err(cause) => {
            tracing::error!(%cause, "the participants file is refused; the former participants stay in force")
        }
    }
}

/// Tries the record of use again after a fault, and folds histograms.
async fn upkeep(recorder: Recorder, prometheus: PrometheusHandle, end: CancellationToken) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(UPKEEP_EVERY) => {}
            () = end.cancelled() => return,
        }
        prometheus.run_upkeep();
        if !recorder.writable() && recorder.probe().await {
            tracing::info!("the record of use can be written again");
        }
    }
}
