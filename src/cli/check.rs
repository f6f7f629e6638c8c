//! `kundeforhold check`

use super::Failure;
use crate::access::terms::Terms;
use crate::config::Settings;
use crate::domain::participants::Participants;
use crate::pseudonym::{MasterKey, PseudonymRing};
use crate::record::{self, RecordPlace};
use crate::register::participants;
use crate::server::{Port, check_tls, find_cache, record_place, record_ring, required_scopes, store_place};
use crate::store::{Rekey, Store, StorePlace};
use std::path::{Path, PathBuf};

/// Validates configuration, terms, participants, store, cache and record of use without serving
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
        let settings = Settings::load(self.config.as_deref())?;
        println!("configuration: read");
        settings.maskinporten.issuer()?;
        settings.maskinporten.jwks_uri()?;
        settings.maskinporten.well_known_url()?;
        println!("issuer: well named");
        for (port, name) in [(Port::Public, "TLS"), (Port::Management, "TLS, management port")] {
            if check_tls(port, &settings.server)? {
                println!("{name}: certificate and key fit");
            }
        }
        required_scopes(&settings.access.scopes)?;
        println!("scopes: well named");
        let list = participants::load(settings.participants_file()?)?;
        println!("participants: {}", list.iter().count());
        let terms = Terms::read(settings.access.services_file())?;
        println!("{}", told(&terms));
        check_record(&settings).await?;
        println!("record of use: writable, and readable with its keys");
        let key = settings.master_key()?;
        check_store(&settings, &list).await?;
        check_cache(&settings, &key).await
    }
}

async fn check_record(settings: &Settings) -> Result<(), Failure> {
    let (place, ring) = (record_place(settings)?, record_ring(settings)?);
    if let RecordPlace::Sqlite(path) = &place {
        check_writable(directory_of(path))
            .map_err(|cause| Failure::Refused(format!("record.url: {}: {cause}", path.display())))?;
    }
    let shown = place.to_string();
    let readable = tokio::task::spawn_blocking(move || record::check(&place, &ring)).await?;
    readable.map_err(|cause| Failure::Refused(format!("{shown}: {cause}")))
}

fn directory_of(file: &Path) -> &Path {
    let directory = file
        .parent()
        .filter(|directory| !directory.as_os_str().is_empty());
    directory.unwrap_or(Path::new("."))
}

/// What the store holds, and that no bank with records is dropped. A service may run meanwhile.
async fn check_store(settings: &Settings, list: &Participants) -> Result<(), Failure> {
    let place = store_place(&settings.store)?;
    if let StorePlace::Sqlite(path) = &place {
        check_writable(directory_of(path))
            .map_err(|cause| Failure::Refused(format!("store.url: {}: {cause}", path.display())))?;
    }
    let pseudonyms = settings.pseudonyms()?;
    match Store::look(&place, &pseudonyms).await? {
        None => println!("store: none yet; serve makes it"),
        Some(sets) => {
            participants::check_none_dropped(list, &sets)?;
            println!("store: {} sets", sets.iter().count());
            tell_rekey(&place, &pseudonyms).await?;
        }
    }
    Ok(())
}

/// What there is to do about the next pseudonym key, if there is one.
async fn tell_rekey(place: &StorePlace, pseudonyms: &PseudonymRing) -> Result<(), Failure> {
    if pseudonyms.next().is_none() {
        return Ok(());
    }
    match Store::look_at_rekey(place, pseudonyms).await? {
        Rekey::NotOffered => println!("next pseudonym key: not known to the store; serve makes it known"),
        Rekey::Offered => println!("next pseudonym key: ready for `kundeforhold rekey`"),
        Rekey::UnderWay { sets, left } => println!("next pseudonym key: {left} of {sets} sets are left"),
        Rekey::Done => {
            println!(
                "next pseudonym key: all is under it; name it in pseudonym.key_file, and unset next_key_file"
            );
        }
    }
    Ok(())
}

async fn check_cache(settings: &Settings, key: &MasterKey) -> Result<(), Failure> {
    match find_cache(settings, key)? {
        None => println!("cache: none"),
        Some(cache) => {
            cache.check().await?;
            println!("cache: reachable");
        }
    }
    Ok(())
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
