//! `kundeforhold check`

use super::{Failure, progress};
use crate::access::terms::Terms;
use crate::audit;
use crate::config::Settings;
use crate::domain::participants::Participants;
use crate::register::participants;
use crate::server::{Port, Stores, audit_ring, check_tls, required_scopes};
use std::path::PathBuf;

/// Validates configuration, terms, participants, index, journal and audit folder without serving
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kundeforhold check --config kundeforhold.toml\n\n\
                          Where a service runs, all but journal and index is looked at.")]
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
        check_writable(&settings.audit.directory)?;
        audit::check(&settings.audit.directory, &audit_ring(&settings)?)?;
        println!("record of use: writable, and readable with its keys");
        if !settings.audit.has_own_keys() {
            println!(
                "record of use: has no keys of its own (audit.key_files); before the pseudonym key is changed, \
                 its present file must be listed there"
            );
        }
        check_stores(&settings, &list).await?;
        Ok(())
    }
}

/// What journal and index hold, and that no bank with records is dropped. Both are left to a service that runs.
async fn check_stores(settings: &Settings, list: &Participants) -> Result<(), Failure> {
    let opened = progress::while_waiting("opening journal and index", Stores::open(settings)).await?;
    let stores = match opened {
        Err(cause) if cause.is_journal_in_use() => {
            println!("journal and index: not looked at, a running service holds them");
            return Ok(());
        }
        opened => opened?,
    };
    stores.index.refresh().await?;
    let journal = stores.journal.as_ref().map(|journal| journal.load());
    let with_records = participants::sets_with_records(journal.as_deref(), &stores.index);
    participants::check_none_dropped(list, &with_records)?;
    let sets = journal.as_ref().map_or(0, |journal| journal.sets().len());
    let level = match stores.keeper().is_level() {
        true => "level with it",
        false => "to be built at start",
    };
    println!("journal: {sets} sets; index: {level}");
    if let Some(journal) = &journal {
        journal.close().await;
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
    let refused =
        |cause: std::io::Error| Failure(format!("{} cannot be written: {cause}", directory.display()));
    std::fs::create_dir_all(directory).map_err(refused)?;
    tempfile::NamedTempFile::new_in(directory)
        .map(|_| ())
        .map_err(refused)
}
