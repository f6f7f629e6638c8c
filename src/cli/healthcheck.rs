//! `kundeforhold healthcheck`

use super::Failure;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(2);

/// For container probes: exit code 0 when the service is ready
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kundeforhold healthcheck --url http://127.0.0.1:9090/isready")]
pub struct Healthcheck {
    /// The probe to ask
    #[arg(long, default_value = "http://127.0.0.1:9090/isready")]
    url: String,
}

impl Healthcheck {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
        let response = client.get(&self.url).send().await?;
        let status = response.status();
        let said = response.text().await?;
        println!("{}", said.trim());
        if status.is_success() {
            Ok(())
        } else {
            Err(Failure(format!("the service is not ready ({status})")))
        }
    }
}
