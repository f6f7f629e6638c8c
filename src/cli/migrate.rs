//! `kundeforhold migrate`

use super::{Failure, out};
use crate::config::Settings;
use crate::server::store_place;
use crate::store::{Store, StorePlace};
use std::path::PathBuf;

/// Brings the schema of the store up to this program; `serve` does it by itself unless store.migrate = false
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold migrate --config kundeforhold.toml\n\nNo service may run on a SQLite file meanwhile. On PostgreSQL, instances of the release before go on serving."
)]
pub struct Migrate {
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Migrate {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let settings = Settings::load(self.config.as_deref())?;
        let place = store_place(&settings.store)?;
        Store::migrate(&place).await?;
        match place {
            StorePlace::Sqlite(path) => out::say(format_args!("{}: up to date", path.display()))?,
            StorePlace::Postgres(_) => out::say(format_args!("the database: up to date"))?,
        }
        Ok(())
    }
}
