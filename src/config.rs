//! The configuration: defaults, file, environment, in this order. Nothing else reads settings from the environment.
//!
//! `config.default.toml` is the reference of all keys.

mod faults;
mod keys;
mod ranges;
mod sources;
mod store;

pub use faults::Fault;

use crate::access::caller::Scope;
use crate::access::limits::LimitSettings;
use crate::access::outbound::IssuerAddress;
use crate::access::terms::Enforcement;
use crate::domain::identifiers::{Check, IdentifierRules, SyntheticSeries};
use crate::pseudonym::KeyError;
use secrecy::SecretString;
use serde::Deserialize;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

/// The commented defaults.
pub const DEFAULTS: &str = include_str!("config.default.toml");

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Says where, never what: the value could be a secret.
    #[error("the configuration is not valid: {0}")]
    Invalid(String),
    /// All settings that cannot be as they are, each with its key.
    #[error("{}", faults::listed(.0))]
    Faults(Vec<Fault>),
    #[error("{0} is required: name it in the file of --config, or in the environment")]
    Missing(&'static str),
    #[error("{key} {reason}")]
    Value { key: &'static str, reason: String },
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// All settings. Holds secrets, so it has no `Debug`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    pub participants_file: Option<PathBuf>,
    pub server: ServerSettings,
    pub maskinporten: MaskinportenSettings,
    pub access: AccessSettings,
    pub store: StoreSettings,
    pub cache: CacheSettings,
    pub pseudonym: PseudonymSettings,
    pub retention: RetentionSettings,
    pub delivery: DeliverySettings,
    pub record: RecordSettings,
    pub identifiers: IdentifierSettings,
    pub console: ConsoleSettings,
    pub log: LogSettings,
    pub traces: TraceSettings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    pub listen: SocketAddr,
    pub management_listen: SocketAddr,
    pub workers: usize,
    pub drain_seconds: u64,
    pub max_header_bytes: usize,
    pub request_head_seconds: u64,
    pub keep_alive_seconds: u64,
    pub write_timeout_seconds: u64,
    pub max_connection_unsent_bytes: u64,
    pub max_unsent_bytes: u64,
    pub max_lookups_per_worker: usize,
    pub max_worker_lag_milliseconds: u64,
    pub tls: TlsSettings,
    pub management_tls: TlsSettings,
}

impl ServerSettings {
    /// Threads that answer: as many as there are cores where none is set.
    pub fn workers(&self) -> usize {
        match self.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    pub certificate: Option<PathBuf>,
    pub key: Option<PathBuf>,
    pub key_pem: Option<SecretString>,
    pub client_ca: Option<PathBuf>,
    pub handshake_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskinportenSettings {
    pub issuer: Option<String>,
    pub jwks_uri: Option<String>,
    pub well_known_url: Option<String>,
    pub audience: Option<String>,
    pub refresh_seconds: u64,
    pub outage_seconds: u64,
    pub unknown_kid_brake_seconds: u64,
    pub remembered_tokens: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessSettings {
    pub services_file: Option<PathBuf>,
    pub enforcement: Enforcement,
    pub today_grace_days: u8,
    pub rate_per_second: NonZeroU32,
    pub rate_burst: NonZeroU32,
    pub daily_customers: usize,
    pub refusals_per_minute: NonZeroU32,
    pub max_mandate_bytes: usize,
    pub usual_range_factor: u32,
    pub usual_range_floor: usize,
    pub scopes: ScopeSettings,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScopeSettings {
    pub customer_relationships: Vec<String>,
    pub account_servicing_provider: Vec<String>,
    pub write: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreSettings {
    pub url: SecretString,
    pub password: Option<SecretString>,
    pub password_file: Option<PathBuf>,
    pub tls_ca_file: Option<PathBuf>,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
    pub tls_key_pem: Option<SecretString>,
    pub pool_connections: usize,
    pub migrate: bool,
    pub timeout_milliseconds: u64,
    pub cache_megabytes: usize,
    pub scratch_directory: Option<PathBuf>,
    pub copy_megabytes_per_second: u64,
    pub upkeep_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CacheSettings {
    pub url: SecretString,
    pub password: Option<SecretString>,
    pub password_file: Option<PathBuf>,
    pub sentinel_password: Option<SecretString>,
    pub sentinel_password_file: Option<PathBuf>,
    pub tls_ca_file: Option<PathBuf>,
    pub seconds: u64,
    pub timeout_milliseconds: u64,
    pub connections: usize,
    pub remembered_changes: usize,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PseudonymSettings {
    pub key: Option<SecretString>,
    pub key_file: Option<PathBuf>,
    pub next_key: Option<SecretString>,
    pub next_key_file: Option<PathBuf>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetentionSettings {
    pub closed_years: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeliverySettings {
    pub max_body_bytes: u64,
    pub max_line_bytes: usize,
    pub max_lines: u64,
    pub max_batch_bytes: u64,
    pub shrink_percent: u64,
    pub idempotency_days: u32,
    pub rollback_days: u32,
    pub call_wait_seconds: u64,
    pub receipt_days: u32,
    pub reject_days: u32,
    pub publication_days: u32,
    pub min_free_megabytes: u64,
    pub max_at_once: usize,
    pub max_batches_per_bank: usize,
    pub turn_seconds: u64,
    pub pause_seconds: u64,
    pub grace_seconds: u64,
    pub min_bytes_per_second: u64,
    pub publish_timeout_seconds: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordSettings {
    pub url: SecretString,
    pub timeout_milliseconds: u64,
    pub key_files: Vec<PathBuf>,
    pub keys: Vec<SecretString>,
    pub head_every_seconds: u64,
    pub retention_years: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsoleSettings {
    pub operator_token: Option<SecretString>,
    pub operator_token_file: Option<PathBuf>,
    pub client_certificate: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentifierSettings {
    pub check: CheckName,
    pub synthetic: Vec<SeriesName>,
    pub accept_2032: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckName {
    Strict,
    Format,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeriesName {
    Tenor,
    Helsenett,
    Dolly,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogSettings {
    pub level: LogLevel,
    pub severity: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TraceSettings {
    pub otlp_endpoint: String,
    pub sampled_percent: u8,
}

impl TraceSettings {
    /// `None`: no traces are exported.
    pub fn otlp_endpoint(&self) -> Option<&str> {
        Some(self.otlp_endpoint.as_str()).filter(|endpoint| !endpoint.is_empty())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Settings {
    /// Defaults, then the file, then the environment. Every setting is in its range.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::sound(Self::look(file)?)
    }

    /// The same, with all that is wrong beside it; what cannot be read at all has its default.
    pub fn look(file: Option<&Path>) -> Result<(Self, Vec<Fault>), ConfigError> {
        Self::of(sources::read(file)?)
    }

    /// Defaults, then a text in TOML; the environment is not read.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        Self::sound(Self::of(sources::of_text(text)?)?)
    }

    fn sound((settings, faults): (Self, Vec<Fault>)) -> Result<Self, ConfigError> {
        match faults.is_empty() {
            true => Ok(settings),
            false => Err(ConfigError::Faults(faults)),
        }
    }

    fn of(tree: config::Value) -> Result<(Self, Vec<Fault>), ConfigError> {
        let (mut settings, mut found) = sources::settings(tree)?;
        let maskinporten = &mut settings.maskinporten;
        if maskinporten.issuer.is_none() {
            maskinporten.issuer = injected("MASKINPORTEN_ISSUER");
        }
        if maskinporten.jwks_uri.is_none() && maskinporten.well_known_url.is_none() {
            maskinporten.jwks_uri = injected("MASKINPORTEN_JWKS_URI");
            maskinporten.well_known_url = injected("MASKINPORTEN_WELL_KNOWN_URL");
        }
        found.extend(ranges::faults(&settings));
        found.sort_by(|one, other| one.key.cmp(&other.key));
        Ok((settings, found))
    }

    pub fn identifier_rules(&self) -> IdentifierRules {
        let accepts = |series| self.identifiers.synthetic.contains(&series);
        IdentifierRules {
            check: match self.identifiers.check {
                CheckName::Strict => Check::Strict,
                CheckName::Format => Check::Format,
            },
            synthetic: SyntheticSeries {
                tenor: accepts(SeriesName::Tenor),
                helsenett: accepts(SeriesName::Helsenett),
                dolly: accepts(SeriesName::Dolly),
            },
            accept_2032: self.identifiers.accept_2032,
        }
    }

    pub fn participants_file(&self) -> Result<&Path, ConfigError> {
        self.participants_file
            .as_deref()
            .ok_or(ConfigError::Missing("participants_file"))
    }
}

impl MaskinportenSettings {
    pub fn issuer(&self) -> Result<&str, ConfigError> {
        let issuer = self
            .issuer
            .as_deref()
            .ok_or(ConfigError::Missing("maskinporten.issuer"))?;
        address("maskinporten.issuer", issuer)?;
        Ok(issuer)
    }

    pub fn jwks_uri(&self) -> Result<Option<IssuerAddress>, ConfigError> {
        self.jwks_uri
            .as_deref()
            .map(|text| address("maskinporten.jwks_uri", text))
            .transpose()
    }

    pub fn well_known_url(&self) -> Result<Option<IssuerAddress>, ConfigError> {
        self.well_known_url
            .as_deref()
            .map(|text| address("maskinporten.well_known_url", text))
            .transpose()
    }
}

impl AccessSettings {
    /// `None`: the terms that are built in.
    pub fn services_file(&self) -> Option<&Path> {
        self.services_file
            .as_deref()
            .filter(|path| !path.as_os_str().is_empty())
    }
}

impl AccessSettings {
    pub fn limits(&self) -> LimitSettings {
        LimitSettings {
            rate_per_second: self.rate_per_second,
            rate_burst: self.rate_burst,
            daily_customers: self.daily_customers,
            refusals_per_minute: self.refusals_per_minute,
            unusual_factor: self.usual_range_factor,
            unusual_floor: self.usual_range_floor,
        }
    }
}

impl ScopeSettings {
    pub fn parse(key: &'static str, words: &[String]) -> Result<Vec<Scope>, ConfigError> {
        let scope = |word: &String| {
            Scope::parse(word).map_err(|cause| ConfigError::Value {
                key,
                reason: cause.to_string(),
            })
        };
        words.iter().map(scope).collect()
    }
}

fn read_setting(key: &'static str, path: &Path) -> Result<String, ConfigError> {
    crate::text::read_file(path).map_err(|cause| ConfigError::Value {
        key,
        reason: format!("names {}, which cannot be read: {cause}", path.display()),
    })
}

fn address(key: &'static str, text: &str) -> Result<IssuerAddress, ConfigError> {
    IssuerAddress::parse(text).map_err(|cause| ConfigError::Value {
        key,
        reason: cause.to_string(),
    })
}

/// A name that the NAIS platform injects.
fn injected(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Whether who runs the program wants colours (no-color.org).
pub fn wants_colors() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// How wide what is shown may be, where the environment says so.
pub fn columns() -> Option<u16> {
    std::env::var("COLUMNS")
        .ok()?
        .parse()
        .ok()
        .filter(|columns| *columns > 0)
}

#[cfg(test)]
mod tests;
