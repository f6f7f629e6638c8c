//! `kundeforhold cache`

use super::{Failure, out};
use crate::config::Settings;
use crate::server::find_cache;
use std::path::PathBuf;

/// Redis in front of the store
#[derive(clap::Subcommand)]
pub enum CacheCommand {
    Clear(Clear),
}

/// Empties the cache: of what is in that Redis, only our own entries
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold cache clear --config kundeforhold.toml\n\n\
                  No answer needs it: an entry that no longer holds is not used. The service may run meanwhile."
)]
pub struct Clear {
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One line of JSON for scripts
    #[arg(long)]
    json: bool,
}

impl CacheCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Clear(command) => command.run().await,
        }
    }
}

impl Clear {
    async fn run(self) -> Result<(), Failure> {
        let settings = Settings::load(self.config.as_deref())?;
        let cache = find_cache(&settings, &settings.master_key()?)?;
        let cache =
            cache.ok_or_else(|| Failure::Refused("there is no cache: cache.url is empty".to_owned()))?;
        let removed = cache.clear().await?;
        match self.json {
            true => out::say(format_args!("{}", serde_json::json!({"removed": removed})))?,
            false => out::say(format_args!("{removed} entries removed"))?,
        }
        Ok(())
    }
}
