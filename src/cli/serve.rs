//! `kundeforhold serve`

use super::{Failure, signals};
use crate::config::Settings;
use crate::server::Server;
use crate::telemetry::{LogTarget, log_and_trace};
use std::path::PathBuf;

/// The service, from configuration
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold key new pseudonym.key\n  kundeforhold serve --config kundeforhold.toml"
)]
pub struct Serve {
    /// Configuration in TOML; the environment (KUNDEFORHOLD__SECTION__KEY) overrides it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serve {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let settings = Settings::load(self.config.as_deref())?;
        let (_lines, traces) = log_and_trace(LogTarget::Stdout, &settings.log, &settings.traces)?;
        let (stop, reload) = signals::listen()?;
        let server = Server::build(&settings).await?;
        tracing::info!(
            address = %server.address,
            management = %server.management_address,
            workers = settings.server.workers(),
            "listening"
        );
        server.run(stop, reload).await?;
        traces.flush().await;
        tracing::info!("stopped");
        Ok(())
    }
}
