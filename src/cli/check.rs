//! `kundeforhold check`

use super::Failure;
use crate::access::terms::Terms;
use crate::audit;
use crate::config::Settings;
use crate::register::participants;
use crate::server::{Stores, audit_ring, check_tls, required_scopes};
use std::path::PathBuf;

/// Validates configuration, terms, participants, index, journal and audit folder without serving
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kundeforhold check --config kundeforhold.toml")]
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
        if check_tls(&settings.server.tls)? {
            println!("TLS: certificate and key fit");
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
        let stores = Stores::open(&settings).await?;
        stores.index.refresh().await?;
        let journal = stores.journal.as_ref().map(|journal| journal.load());
        let with_records = participants::sets_with_records(journal.as_deref(), &stores.index);
        participants::check_none_dropped(&list, &with_records)?;
        let sets = journal.as_ref().map_or(0, |journal| journal.sets().len());
        let level = stores.keeper().is_level();
        println!(
            "journal: {sets} sets; index: {}",
            if level {
                "level with it"
            } else {
                "to be built at start"
            }
        );
        if let Some(journal) = &journal {
            journal.close().await;
        }
        Ok(())
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
    let refused =
        |cause: std::io::Error| Failure(format!("{} cannot be written: {cause}", directory.display()));
    std::fs::create_dir_all(directory).map_err(refused)?;
    tempfile::NamedTempFile::new_in(directory)
        .map(|_| ())
        .map_err(refused)
}
