//! `kundeforhold healthcheck`

use super::call::address;
use super::management::Management;
use super::{Failure, out};
use crate::access::outbound;
use crate::config::Settings;
use std::path::PathBuf;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(2);

/// For container probes: exit code 0 when the service on this machine is ready
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold healthcheck --config kundeforhold.toml\n\n\
                  Without --url, the management port is the one that configuration and environment name. Over TLS, the \
                  service is known by its own certificate there."
)]
pub struct Healthcheck {
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The probe to ask, such as http://127.0.0.1:9090/isready
    #[arg(long, conflicts_with = "config", value_parser = address)]
    url: Option<String>,
}

impl Healthcheck {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let request = match &self.url {
            Some(url) => outbound::client(TIMEOUT)?.get(url),
            None => Management::of(&Settings::load(self.config.as_deref())?, TIMEOUT)?.get("/isready"),
        };
        let response = request.send().await?;
        let status = response.status();
        let said = response.text().await?;
        out::say(format_args!("{}", said.trim()))?;
        if status.is_success() {
            Ok(())
        } else {
            Err(Failure::Refused(format!("the service is not ready ({status})")))
        }
    }
}
