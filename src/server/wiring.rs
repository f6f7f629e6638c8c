//! Which part stands on which.

use super::StartError;
use super::upkeep::read_usage;
use crate::access::authenticator::Authenticator;
use crate::access::caller::RequiredScopes;
use crate::access::claims::TokenRules;
use crate::access::key_set::{KeySet, KeySetSettings, KeySource};
use crate::access::limits::{History, Limits};
use crate::access::terms::{Terms, TermsInForce};
use crate::cache::{Cache, CacheOptions};
use crate::config::{
    AccessSettings, ConfigError, DeliverySettings, MaskinportenSettings, ScopeSettings, Settings,
    StoreSettings,
};
use crate::domain::calendar::oslo_day;
use crate::domain::identifiers::IdentifierRules;
use crate::http::console::{Console, Gate};
use crate::http::management::Readiness;
use crate::pseudonym::MasterKey;
use crate::record::{ChainChoice, KeyRing, RecordPlace, Recorder, RecorderError, RecorderOptions};
use crate::register::delivery::{Delivery, DeliveryBounds, DeliveryParts, Space, TurnBounds, Turns};
use crate::register::lookup::{Lookup, LookupParts};
use crate::register::participants::{self, ParticipantsInForce};
use crate::register::rekey::Rekeying;
use crate::register::statistics::Statistics;
use crate::store::{Kept, PostgresOptions, Store, StoreOptions, StorePlace};
use crate::workers::Workers;
use actix_web::web::Data;
use chrono::{TimeDelta, Utc};
use secrecy::SecretString;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

/// The parts that answer requests, wired.
#[derive(Clone)]
pub struct Parts {
    pub lookup: Lookup,
    pub delivery: Delivery,
    pub store: Store,
    pub cache: Option<Cache>,
    pub readiness: Readiness,
    pub(super) workers: Workers,
    pub(super) space: Space,
    pub(super) console: Data<Console>,
    pub(super) statistics: Data<Statistics>,
    pub(super) authenticator: Data<Authenticator>,
    pub(super) scopes: Data<RequiredScopes>,
    pub(super) rules: IdentifierRules,
}

/// Where the settings say that the register is.
pub fn store_place(settings: &StoreSettings) -> Result<StorePlace, ConfigError> {
    if let Some(path) = settings.path()? {
        return Ok(StorePlace::Sqlite(path));
    }
    postgres_options(settings, settings.postgres_url()).map(StorePlace::Postgres)
}

fn postgres_options(settings: &StoreSettings, url: SecretString) -> Result<PostgresOptions, ConfigError> {
    Ok(PostgresOptions {
        url,
        password: settings.password()?,
        ca_certificate: settings.ca_certificate()?,
        client_certificate: settings.client_certificate()?,
        connections: settings.pool_connections,
        migrates: settings.migrate,
    })
}

/// Where the settings say that the record of use is. To be called on a runtime that goes on.
pub fn record_place(settings: &Settings) -> Result<RecordPlace, StartError> {
    let place = match settings.record_path()? {
        Some(path) => StorePlace::Sqlite(path),
        None => StorePlace::Postgres(postgres_options(&settings.store, settings.record_postgres_url())?),
    };
    Ok(RecordPlace::find(&place).map_err(RecorderError::from)?)
}

/// Opens the store that the settings name.
pub async fn open_store(settings: &Settings) -> Result<Store, StartError> {
    let scratch = settings.store.scratch_directory()?;
    std::fs::create_dir_all(&scratch).map_err(StartError::Scratch)?;
    let options = StoreOptions {
        place: store_place(&settings.store)?,
        timeout: Duration::from_millis(settings.store.timeout_milliseconds),
        cache_kib: settings.store.cache_megabytes.saturating_mul(1 << 10),
        is_cached: settings.cache.url().is_some(),
        remembered_changes: settings.cache.remembered_changes,
        scratch,
    };
    Ok(Store::open(&options, Arc::new(settings.pseudonyms()?)).await?)
}

/// The cache that the settings name, if they name one. Nothing is asked of it yet.
pub fn find_cache(settings: &Settings, key: &MasterKey) -> Result<Option<Cache>, StartError> {
    let cache = &settings.cache;
    let Some(url) = cache.url() else {
        return Ok(None);
    };
    let options = CacheOptions {
        url: url.clone(),
        password: cache.password()?,
        sentinel_password: cache.sentinel_password()?,
        ca_certificate: cache.ca_certificate()?,
        entry_seconds: cache.seconds,
        timeout: Duration::from_millis(cache.timeout_milliseconds),
        connections: match cache.connections {
            0 => settings.server.workers(),
            connections => connections,
        },
    };
    Ok(Some(Cache::new(&options, key)?))
}

/// How long what the store holds is kept.
pub(super) fn kept(delivery: &DeliverySettings) -> Kept {
    Kept {
        rollback: TimeDelta::days(delivery.rollback_days.into()),
        receipts: TimeDelta::days(delivery.receipt_days.into()),
        rejects: TimeDelta::days(delivery.reject_days.into()),
        publications: TimeDelta::days(delivery.publication_days.into()),
    }
}

impl Parts {
    /// Opens the store and wires everything that answers.
    pub(super) async fn wire(settings: &Settings) -> Result<Self, StartError> {
        let participants = participants::load(settings.participants_file()?)?;
        let key = settings.master_key()?;
        let (store, cache) = (open_store(settings).await?, find_cache(settings, &key)?);
        participants::check_none_dropped(&participants, &store.sets())?;
        let participants = ParticipantsInForce::new(participants);
        let recorder = open_recorder(settings, &store).await?;
        let scopes = required_scopes(&settings.access.scopes)?;
        let terms = terms_in_force(&settings.access, scopes.clone())?;
        let keys = Arc::new(open_key_set(&settings.maskinporten)?);
        let rules = token_rules(&settings.maskinporten)?;
        let lookup = Lookup::new(LookupParts {
            store: store.clone(),
            cache: cache.clone(),
            participants: participants.clone(),
            recorder: recorder.clone(),
            limits: Arc::new(limits(settings, &store).await?),
            terms,
            closed_years: settings.retention.closed_years,
        });
        let (workers, space) = (workers(&settings.delivery)?, space(settings)?);
        let delivery = Delivery::new(DeliveryParts {
            store: store.clone(),
            participants: participants.clone(),
            workers: workers.clone(),
            turns: Turns::new(turn_bounds(&settings.delivery)),
            scratch: settings.store.scratch_directory()?,
            space: space.clone(),
            bounds: delivery_bounds(&settings.delivery, settings.retention.closed_years),
        });
        let readiness = readiness(&store, participants, Arc::clone(&keys), recorder);
        let (statistics, gate) = (Data::new(Statistics::default()), gate(settings)?);
        let console = Console::new(&lookup, &delivery, &readiness, &statistics, gate);
        Ok(Self {
            lookup,
            delivery,
            store,
            cache,
            readiness,
            workers,
            space,
            console: Data::new(console),
            statistics,
            authenticator: Data::new(Authenticator::new(keys, rules)),
            scopes: Data::new(scopes),
            rules: settings.identifier_rules(),
        })
    }
}

/// Deliveries have a thread for each turn, and the upkeep and a rekey one each, so that nobody waits for a bank that sends
/// slowly.
fn workers(settings: &DeliverySettings) -> Result<Workers, StartError> {
    Workers::start("delivery", settings.max_at_once + 2).map_err(StartError::Threads)
}

fn space(settings: &Settings) -> Result<Space, StartError> {
    Ok(Space {
        directory: settings.store.scratch_directory()?,
        min_free_bytes: settings.delivery.min_free_megabytes.saturating_mul(1 << 20),
    })
}

/// What does a rekey where no service runs.
pub async fn rekeying(settings: &Settings) -> Result<Rekeying, StartError> {
    Ok(Rekeying {
        store: open_store(settings).await?,
        workers: Workers::start("rekey", 1).map_err(StartError::Threads)?,
        space: space(settings)?,
    })
}

fn readiness(
    store: &Store,
    participants: ParticipantsInForce,
    keys: Arc<KeySet>,
    recorder: Recorder,
) -> Readiness {
    let process = metrics_process::Collector::default();
    process.describe();
    Readiness {
        keys,
        store: store.clone(),
        recorder,
        participants,
        named: Arc::default(),
        process,
        draining: Arc::new(AtomicBool::new(false)),
    }
}

fn token_rules(settings: &MaskinportenSettings) -> Result<TokenRules, ConfigError> {
    Ok(TokenRules {
        issuer: settings.issuer()?.to_owned(),
        audience: settings.audience.clone(),
        leeway_seconds: TokenRules::DEFAULT_LEEWAY_SECONDS,
    })
}

/// Who may use the console.
fn gate(settings: &Settings) -> Result<Gate, ConfigError> {
    let (listen, console) = (settings.server.management_listen, &settings.console);
    let gate = Gate::new(listen, console.operator_token()?, console.client_certificate);
    if matches!(gate, Gate::Closed) {
        tracing::warn!(%listen, "the console is shut: others than this machine reach it, and neither console.operator_token_file nor console.client_certificate is set");
    }
    Ok(gate)
}

/// They go on from what was counted before a restart.
async fn limits(settings: &Settings, store: &Store) -> Result<Limits, StartError> {
    let settings = settings.access.limits();
    if let Some(register) = store.file() {
        return Ok(Limits::new(settings, read_usage(register)));
    }
    let today = oslo_day(Utc::now());
    let (seen, _) = store.exchange_usage(&[], today, None).await?;
    let history = History::of(&store.former_usage(today).await?, &seen, today);
    Ok(Limits::shared(settings, history))
}

fn delivery_bounds(settings: &DeliverySettings, closed_years: u32) -> DeliveryBounds {
    DeliveryBounds {
        shrink_percent: settings.shrink_percent,
        idempotency_days: settings.idempotency_days.into(),
        rollback_days: settings.rollback_days.into(),
        closed_years,
        call_wait: Duration::from_secs(settings.call_wait_seconds),
        publish_timeout: Duration::from_secs(settings.publish_timeout_seconds),
    }
}

fn turn_bounds(settings: &DeliverySettings) -> TurnBounds {
    TurnBounds {
        at_once: settings.max_at_once,
        batches_per_bank: settings.max_batches_per_bank,
        wait: Duration::from_secs(settings.turn_seconds),
    }
}

/// The keys of the record of use, as configured.
pub fn record_ring(settings: &Settings) -> Result<KeyRing, ConfigError> {
    let (in_use, former) = settings.record_keys()?;
    Ok(KeyRing::new(&in_use, &former))
}

async fn open_recorder(settings: &Settings, store: &Store) -> Result<Recorder, StartError> {
    if !settings.record.has_own_keys() {
        tracing::warn!(
            "the record of use has no keys of its own (record.key_files): it is made with the pseudonym key"
        );
    }
    let options = RecorderOptions {
        place: record_place(settings)?,
        chain: ChainChoice::GoOn,
        confirms: store.is_shared().then(|| store.clone()),
        timeout: Duration::from_millis(settings.record.timeout_milliseconds),
    };
    let ring = record_ring(settings)?;
    let opened = tokio::task::spawn_blocking(move || Recorder::open(ring, &options)).await;
    Ok(opened.unwrap_or_else(|defect| std::panic::resume_unwind(defect.into_panic()))?)
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
        refresh: Duration::from_secs(settings.refresh_seconds),
        outage: Duration::from_secs(settings.outage_seconds),
        unknown_kid_brake: Duration::from_secs(settings.unknown_kid_brake_seconds),
        remembered_tokens: settings.remembered_tokens,
        ..KeySetSettings::default()
    };
    Ok(KeySet::new(source, issuer, key_set_settings)?)
}

/// Asks the issuer for its keys, once. Gives how many may verify tokens.
pub async fn look_at_issuer(settings: &MaskinportenSettings) -> Result<usize, StartError> {
    Ok(open_key_set(settings)?.look().await?)
}

fn terms_in_force(settings: &AccessSettings, scopes: RequiredScopes) -> Result<TermsInForce, StartError> {
    Ok(TermsInForce::new(
        Terms::read(settings.services_file())?,
        scopes,
        settings.enforcement,
        settings.today_grace_days,
    ))
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
