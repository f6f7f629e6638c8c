//! `kundeforhold check`

use super::{Failure, out};
use crate::access::terms::Terms;
use crate::config::Settings;
use crate::domain::participants::Participants;
use crate::pseudonym::PseudonymRing;
use crate::record::{self, RecordPlace};
use crate::register::participants;
use crate::server::{Port, check_tls, find_cache, look_at_issuer, record_place, record_ring, store_place};
use crate::store::{Rekey, Store, StorePlace};
use std::path::{Path, PathBuf};

/// Validates configuration, issuer, terms, participants, store, cache and record of use without serving
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold check --config kundeforhold.toml\n\nThe service may run meanwhile."
)]
pub struct Check {
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Check {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let (settings, faults) = Settings::look(self.config.as_deref())?;
        out::say(format_args!("configuration: read"))?;
        let mut findings = Findings(faults.iter().map(ToString::to_string).collect());
        findings.note(check_issuer(&settings).await)?;
        findings.note(check_port(&settings, Port::Public, "public port"))?;
        findings.note(check_port(&settings, Port::Management, "management port"))?;
        findings.note(check_operators(&settings))?;
        let list = findings.list(&settings)?;
        let terms = Terms::read(settings.access.services_file());
        let unread = |cause| Failure::Refused(format!("access.services_file: {cause}"));
        findings.note(terms.map(|terms| told(&terms)).map_err(unread))?;
        findings.note(check_record(&settings).await)?;
        findings.note(check_store(&settings, list.as_ref()).await)?;
        findings.note(check_cache(&settings).await)?;
        findings.outcome()
    }
}

/// What is wrong: all of it, and not the first only.
struct Findings(Vec<String>);

impl Findings {
    /// Tells what is as it should be, and keeps what is not. What several parts lack is one fault.
    fn note(&mut self, found: Result<String, Failure>) -> Result<(), Failure> {
        match found {
            Ok(told) => out::say(format_args!("{told}")),
            Err(fault) => {
                let fault = fault.to_string();
                let is_told = |told: &String| fault.starts_with(told.as_str());
                if !self.0.iter().any(is_told) {
                    self.0.push(fault);
                }
                Ok(())
            }
        }
    }

    /// The banks, if their list is as it should be.
    fn list(&mut self, settings: &Settings) -> Result<Option<Participants>, Failure> {
        let unread = |cause| Failure::Refused(format!("participants_file: {cause}"));
        let path = settings.participants_file().map_err(Failure::from);
        match path.and_then(|path| participants::load(path).map_err(unread)) {
            Ok(list) => {
                self.note(Ok(format!("participants: {}", list.iter().count())))?;
                Ok(Some(list))
            }
            Err(fault) => self.note(Err(fault)).map(|()| None),
        }
    }

    fn outcome(self) -> Result<(), Failure> {
        match self.0.as_slice() {
            [] => Ok(()),
            [one] => Err(Failure::Refused(one.clone())),
            several => Err(Failure::Refused(format!(
                "{} faults:\n  {}",
                several.len(),
                several.join("\n  ")
            ))),
        }
    }
}

async fn check_issuer(settings: &Settings) -> Result<String, Failure> {
    let keys = look_at_issuer(&settings.maskinporten).await?;
    Ok(format!("issuer: answers, with {keys} keys that verify tokens"))
}

fn check_port(settings: &Settings, port: Port, name: &str) -> Result<String, Failure> {
    Ok(match check_tls(port, &settings.server)? {
        true => format!("{name}: TLS, certificate and key fit"),
        false => format!("{name}: plain HTTP"),
    })
}

fn check_operators(settings: &Settings) -> Result<String, Failure> {
    let told = match settings.console.operator_token()? {
        Some(_) => "with a token",
        None if settings.console.client_certificate => "by certificate",
        None => "without a token, on this machine only",
    };
    Ok(format!("operators: {told}"))
}

async fn check_record(settings: &Settings) -> Result<String, Failure> {
    let (place, ring) = (record_place(settings)?, record_ring(settings)?);
    if let RecordPlace::Sqlite(path) = &place {
        check_writable(directory_of(path))
            .map_err(|cause| Failure::Refused(format!("record.url: {}: {cause}", path.display())))?;
    }
    let shown = place.to_string();
    let readable = tokio::task::spawn_blocking(move || record::check(&place, &ring)).await?;
    readable.map_err(|cause| Failure::Refused(format!("{shown}: {cause}")))?;
    Ok("record of use: writable, and readable with its keys".to_owned())
}

fn directory_of(file: &Path) -> &Path {
    let directory = file
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty());
    directory.unwrap_or(Path::new("."))
}

/// What the store holds, and that no bank with records is dropped. A service may run meanwhile.
async fn check_store(settings: &Settings, list: Option<&Participants>) -> Result<String, Failure> {
    let place = store_place(&settings.store)?;
    if let StorePlace::Sqlite(path) = &place {
        check_writable(directory_of(path))
            .map_err(|cause| Failure::Refused(format!("store.url: {}: {cause}", path.display())))?;
    }
    let pseudonyms = settings.pseudonyms()?;
    match Store::look(&place, &pseudonyms).await? {
        None if matches!(place, StorePlace::Postgres(_)) && !settings.store.migrate => {
            Err(Failure::Refused(
                "store: none yet, and store.migrate is off: `kundeforhold migrate` makes it, as who owns the tables"
                    .to_owned(),
            ))
        }
        None => Ok("store: none yet; serve makes it".to_owned()),
        Some(sets) => {
            if let Some(list) = list {
                participants::check_none_dropped(list, &sets)?;
            }
            let rekey = told_of_rekey(&place, &pseudonyms).await?;
            Ok(format!("store: {} sets{rekey}", sets.iter().count()))
        }
    }
}

/// What there is to do about the next pseudonym key, if there is one.
async fn told_of_rekey(place: &StorePlace, pseudonyms: &PseudonymRing) -> Result<String, Failure> {
    if pseudonyms.next().is_none() {
        return Ok(String::new());
    }
    let told = match Store::look_at_rekey(place, pseudonyms).await? {
        Rekey::NotOffered => "not known to the store; serve makes it known".to_owned(),
        Rekey::Offered => "ready for `kundeforhold rekey`".to_owned(),
        Rekey::UnderWay { sets, left } => format!("{left} of {sets} sets are left"),
        Rekey::Done => "all is under it; name it in pseudonym.key_file, and unset next_key_file".to_owned(),
    };
    Ok(format!("\nnext pseudonym key: {told}"))
}

async fn check_cache(settings: &Settings) -> Result<String, Failure> {
    let key = settings.master_key()?;
    match find_cache(settings, &key)? {
        None => Ok("cache: none".to_owned()),
        Some(cache) => {
            cache.check().await?;
            Ok("cache: reachable".to_owned())
        }
    }
}

/// How many services, and which of them no agency should have.
fn told(terms: &Terms) -> String {
    let (all, enabled) = (terms.all().len(), terms.enabled().count());
    let wide: Vec<&str> = terms
        .enabled()
        .filter(|service| service.is_wide())
        .map(|service| service.name.as_str())
        .collect();
    let told = format!("service terms: {all} services, {} switched off", all - enabled);
    match wide.as_slice() {
        [] => told,
        wide => format!("{told}; FOR TEST CONSUMERS ONLY: {}", wide.join(", ")),
    }
}

fn check_writable(directory: &std::path::Path) -> Result<(), Failure> {
    let refused = |cause: std::io::Error| {
        Failure::Refused(format!("{} cannot be written: {cause}", directory.display()))
    };
    std::fs::create_dir_all(directory).map_err(refused)?;
    tempfile::NamedTempFile::new_in(directory)
        .map(|_| ())
        .map_err(refused)
}
