//! Which part stands on which.

use super::StartError;
use super::upkeep::read_usage;
use crate::access::authenticator::Authenticator;
use crate::access::caller::RequiredScopes;
use crate::access::claims::TokenRules;
use crate::access::key_set::{KeySet, KeySetSettings, KeySource};
use crate::access::limits::Limits;
use crate::access::terms::{Terms, TermsInForce};
use crate::audit::{KeyRing, Recorder, RecorderOptions};
use crate::config::{
    AccessSettings, ConfigError, DeliverySettings, IndexUrl, MaskinportenSettings, ScopeSettings, Settings,
};
use crate::domain::identifiers::IdentifierRules;
use crate::http::console::{Console, Gate};
use crate::http::management::Readiness;
use crate::index::embedded::Embedded;
use crate::index::lease::RegisterName;
use crate::index::owner::{Floor, Owner};
use crate::index::redis::{Redis, RedisOptions};
use crate::index::{Index, IndexError};
use crate::journal::{Journal, JournalInForce, JournalKey, JournalPlace, Register};
use crate::pseudonym::PseudonymRing;
use crate::register::delivery::{Delivery, DeliveryBounds, RunningDeliveries, SetLocks, TurnBounds, Turns};
use crate::register::index_use::IndexUse;
use crate::register::keeper::{Checkpointed, Keeper, LevelGate};
use crate::register::lookup::{IndexMeters, KnownFreshness, Lookup};
use crate::register::participants::{self, ParticipantsInForce};
use crate::register::rekey::Rekeying;
use crate::register::statistics::Statistics;
use crate::workers::Workers;
use actix_web::web::Data;
use secrecy::ExposeSecret;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long a new journal waits for Redis to name its register, and between two tries.
const REGISTER_WAIT: Duration = Duration::from_secs(5);
const REGISTER_PAUSE: Duration = Duration::from_millis(200);

/// The parts that answer requests, wired.
#[derive(Clone)]
pub struct Parts {
    pub lookup: Lookup,
    pub delivery: Delivery,
    pub keeper: Keeper,
    pub readiness: Readiness,
    pub(super) console: Data<Console>,
    pub(super) statistics: Data<Statistics>,
    pub(super) authenticator: Data<Authenticator>,
    pub(super) scopes: Data<RequiredScopes>,
    pub(super) rules: IdentifierRules,
}

/// The stores that journal and index are in: all that commands without HTTP need.
pub struct Stores {
    pub index: Index,
    pub journal: Option<JournalInForce>,
    pub keys: PseudonymRing,
    longest_lookup: Duration,
    missing_journal_wait: Duration,
    floor: Floor,
}

impl Stores {
    /// Opens what the settings name.
    pub async fn open(settings: &Settings) -> Result<Self, StartError> {
        let mut keys = vec![JournalKey::new(&settings.master_key()?)];
        keys.extend(settings.next_master_key()?.as_ref().map(JournalKey::new));
        // The embedded one is locked, and the journal tells whether another process has it.
        let shared = match settings.index.url()? {
            IndexUrl::Redis(_) => Some(open_index(settings).await?),
            IndexUrl::Embedded(_) => None,
        };
        let journal = open_journal(settings, &keys, shared.as_ref()).await?;
        let index = match shared {
            Some(index) => index,
            None => open_index(settings).await?,
        };
        if let Some(journal) = &journal {
            index.hold_leases_as(journal.id(), settings.index.lease());
        }
        let keys = PseudonymRing::new(keys.into_iter().map(|key| key.pseudonyms));
        let floor = journal.as_ref().map(floor_of).unwrap_or_default();
        index.claim(Owner {
            register_id: journal.as_ref().map(|journal| journal.register_id()),
            keys: keys.clone(),
            floor: floor.clone(),
        })?;
        Ok(Self {
            index,
            journal: journal.map(JournalInForce::new),
            keys,
            longest_lookup: settings.index.timeout()?,
            missing_journal_wait: Duration::from_secs(settings.index.missing_journal_seconds),
            floor,
        })
    }

    /// What changes the pseudonym key; `None`: there is no journal here.
    pub fn rekeying(&self, settings: &Settings) -> Option<Rekeying> {
        let (journal, directory) = self.journal.clone().zip(settings.journal_directory())?;
        Some(Rekeying::new(
            self.keeper(),
            journal,
            JournalPlace::new(directory),
        ))
    }

    /// Does what takes long, while leases are renewed, and gives them up.
    pub async fn under_leases<T>(&self, settings: &Settings, work: impl Future<Output = T>) -> T {
        let end = CancellationToken::new();
        let renewing = self.keeper().renew_leases(settings.index.lease(), end.clone());
        let work = async {
            let done = work.await;
            end.cancel();
            done
        };
        tokio::join!(work, renewing).0
    }

    /// The same with the journals of other instances in these directories: what is in none of them is not waited for.
    pub async fn keeper_with(
        &self,
        settings: &Settings,
        directories: &[PathBuf],
    ) -> Result<Keeper, StartError> {
        let keys = [JournalKey::new(&settings.master_key()?)];
        let mut mounted = Vec::new();
        for directory in directories {
            let place = JournalPlace::new(directory);
            let found = place.current().ok().flatten();
            found.ok_or_else(|| StartError::NotAJournal(directory.clone()))?;
            mounted.push(Arc::new(place.open(&keys, Register::drawn()).await?));
        }
        Ok(Keeper {
            mounted,
            missing_journal_wait: Duration::ZERO,
            ..self.keeper()
        })
    }

    /// What keeps the index level with the journal.
    pub fn keeper(&self) -> Keeper {
        Keeper {
            index: self.index.clone(),
            journal: self.journal.clone(),
            keys: self.keys.clone(),
            locks: SetLocks::default(),
            index_use: IndexUse::default(),
            gate: LevelGate::default(),
            checkpointed: Checkpointed::default(),
            fit_at: Arc::default(),
            longest_lookup: self.longest_lookup,
            floor: self.floor.clone(),
            missing_journal_wait: self.missing_journal_wait,
            mounted: Vec::new(),
            seen: Arc::default(),
        }
    }
}

/// Opens the journal, if this instance has one. A new one joins the register that the index is of.
async fn open_journal(
    settings: &Settings,
    keys: &[JournalKey],
    shared: Option<&Index>,
) -> Result<Option<Journal>, StartError> {
    let Some(directory) = settings.journal_directory() else {
        return Ok(None);
    };
    let (place, mut register) = (JournalPlace::new(directory), Register::drawn());
    if let (Some(index), None) = (shared, place.current()?) {
        let drawn = RegisterName {
            id: register.id,
            rekeyings: register.rekeyings,
        };
        let named = named_register(index, drawn).await;
        let RegisterName { id, rekeyings } = named.map_err(StartError::NoRegister)?;
        register = Register { id, rekeyings };
    }
    Ok(Some(place.open(keys, register).await?))
}

/// Waits a while for a Redis that is only just being started.
async fn named_register(index: &Index, drawn: RegisterName) -> Result<RegisterName, IndexError> {
    let since = Instant::now();
    loop {
        match index.register(drawn).await {
            Err(IndexError::Unavailable(_) | IndexError::TimedOut) if since.elapsed() < REGISTER_WAIT => {
                tokio::time::sleep(REGISTER_PAUSE).await;
            }
            named => return named,
        }
    }
}

/// Everything in the journal was acknowledged, as far as is known, and what it knows of other journals.
fn floor_of(journal: &Journal) -> Floor {
    let own = journal.sets().into_iter().map(|set| (set, journal.position(set)));
    let elsewhere = journal.elsewhere().into_iter();
    let floor = Floor::new(own);
    for (set, known) in elsewhere {
        floor.raise(set, known.position);
    }
    floor
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
                user: None,
                password: index.password()?,
                ca_certificate: index.ca_certificate()?,
                lookup_connections: match index.lookup_connections {
                    0 => settings.server.workers(),
                    connections => connections,
                },
                pool_connections: index.pool_connections,
                connect_timeout: Duration::from_millis(index.connect_timeout_milliseconds),
                lookup_timeout: index.timeout()?,
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
    /// Opens the stores and wires everything that answers.
    pub(super) async fn wire(settings: &Settings) -> Result<Self, StartError> {
        let participants = participants::load(settings.participants_file()?)?;
        let stores = Stores::open(settings).await?;
        // A store that is not there yet is no reason not to start; the journal knows what was delivered.
        if let Err(cause) = stores.index.refresh().await {
            tracing::warn!(%cause, "the index cannot be read yet");
        }
        let journal = stores.journal.as_ref().map(JournalInForce::load);
        let with_records = participants::sets_with_records(journal.as_deref(), &stores.index);
        participants::check_none_dropped(&participants, &with_records)?;
        let participants = ParticipantsInForce::new(participants);
        let recorder = open_recorder(settings)?;
        let scopes = required_scopes(&settings.access.scopes)?;
        let terms = terms_in_force(&settings.access, scopes.clone())?;
        let keeper = stores.keeper();
        let keys = Arc::new(open_key_set(&settings.maskinporten)?);
        let rules = token_rules(&settings.maskinporten)?;
        let lookup = Lookup {
            index: stores.index.clone(),
            keys: stores.keys.clone(),
            participants: participants.clone(),
            recorder: recorder.clone(),
            limits: Arc::new(limits(settings)),
            terms,
            retention_closed_years: settings.retention.closed_years,
            meters: IndexMeters::find(),
            gate: keeper.gate.clone(),
            freshness: KnownFreshness::default(),
        };
        let turns = turn_bounds(&settings.delivery);
        let delivery = Delivery {
            floor: stores.floor,
            index: stores.index,
            journal: stores.journal,
            keys: stores.keys,
            participants,
            locks: keeper.locks.clone(),
            index_use: keeper.index_use.clone(),
            publications: TaskTracker::new(),
            runtime: tokio::runtime::Handle::current(),
            publish_timeout: Duration::from_secs(settings.delivery.publish_timeout_seconds),
            running: RunningDeliveries::default(),
            workers: Workers::start("delivery", turns.at_once + 1).map_err(StartError::Threads)?,
            turns: Turns::new(turns),
            bounds: delivery_bounds(&settings.delivery, settings.retention.closed_years),
        };
        let process = metrics_process::Collector::new("kundeforhold_");
        process.describe();
        let readiness = Readiness {
            participants: delivery.participants.clone(),
            process,
            keys: Arc::clone(&keys),
            keeper: keeper.clone(),
            recorder,
            draining: Arc::new(AtomicBool::new(false)),
        };
        let (statistics, gate) = (Data::new(Statistics::default()), gate(settings)?);
        let console = Console::new(&lookup, &delivery, &readiness, &statistics, gate);
        Ok(Self {
            lookup,
            delivery,
            keeper,
            readiness,
            console: Data::new(console),
            statistics,
            authenticator: Data::new(Authenticator::new(keys, rules)),
            scopes: Data::new(scopes),
            rules: settings.identifier_rules(),
        })
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
fn limits(settings: &Settings) -> Limits {
    Limits::new(settings.access.limits(), read_usage(&settings.audit.directory))
}

fn delivery_bounds(settings: &DeliverySettings, closed_years: u32) -> DeliveryBounds {
    DeliveryBounds {
        shrink_percent: settings.shrink_percent,
        idempotency_days: settings.idempotency_days.into(),
        rollback_days: settings.rollback_days.into(),
        closed_years,
        min_free_bytes: settings.min_free_megabytes.saturating_mul(1 << 20),
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
pub fn audit_ring(settings: &Settings) -> Result<KeyRing, ConfigError> {
    let (in_use, former) = settings.audit_keys()?;
    Ok(KeyRing::new(&in_use, &former))
}

fn open_recorder(settings: &Settings) -> Result<Recorder, StartError> {
    let audit = &settings.audit;
    if !audit.has_own_keys() {
        tracing::warn!(
            "the record of use has no keys of its own (audit.key_files): before the pseudonym key is changed, \
             its present file must be listed there"
        );
    }
    let options = RecorderOptions {
        instance: audit.instance.clone(),
        timeout: Duration::from_millis(audit.timeout_milliseconds),
        segment_bytes: audit.segment_bytes,
    };
    Ok(Recorder::open(&audit.directory, audit_ring(settings)?, &options)?)
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
