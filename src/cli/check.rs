//! `kundeforhold check`

use super::Failure;
use crate::audit;
use crate::config::Settings;
use crate::register::participants;
use crate::server::{Stores, audit_ring};
use std::path::PathBuf;

/// Validates configuration, participants, index, journal and audit folder without serving
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
        let list = participants::load(settings.participants_file()?)?;
        println!("participants: {}", list.iter().count());
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
        let state = stores.index.refresh().await?;
        participants::check_none_dropped(&list, &state)?;
        let sets = stores.journal.as_ref().map_or(0, |journal| journal.sets().len());
        let level = stores.keeper().is_level();
        println!(
            "journal: {sets} sets; index: {}",
            if level {
                "level with it"
            } else {
                "to be built at start"
            }
        );
        if let Some(journal) = &stores.journal {
            journal.close().await;
        }
        Ok(())
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
