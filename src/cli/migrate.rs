//! `kundeforhold migrate`

use super::Failure;
use crate::config::Settings;
use crate::store::Store;
use std::path::PathBuf;

/// Brings the schema of the store up to this program; `serve` does it by itself
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold migrate --config kundeforhold.toml\n\nNo service may run meanwhile."
)]
pub struct Migrate {
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Migrate {
    pub(super) fn run(self) -> Result<(), Failure> {
        let settings = Settings::load(self.config.as_deref())?;
        let path = settings.store.path()?;
        Store::migrate(&path)?;
        println!("{}: up to date", path.display());
        Ok(())
    }
}
