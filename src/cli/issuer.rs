//! `kundeforhold issuer` and `kundeforhold token`: the stand-in for Maskinporten, for trials.

use super::{Failure, signals};
use crate::access::outbound::{IssuerAddress, IssuerClient};
use crate::cli::out;
use crate::config::LogLevel;
use crate::domain::identifiers::OrganizationNumber;
use crate::sandbox::issuer;
use crate::sandbox::world;
use crate::telemetry::{LogTarget, log_to};
use reqwest::Method;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(5);

/// A stand-in for Maskinporten, on loopback only, for trials
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold issuer --listen 127.0.0.1:8081 --bank 210011013\n  kundeforhold token --client sandbox"
)]
pub struct Issuer {
    /// Where to listen; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:8081")]
    listen: SocketAddr,
    /// A bank that gets a client named `bank-NUMBER`; may be repeated
    #[arg(long, value_name = "NUMBER")]
    bank: Vec<String>,
    /// Writes the private key of the clients here, for the JWT grant
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl Issuer {
    pub(super) async fn run(self) -> Result<(), Failure> {
        log_to(LogTarget::Stderr, LogLevel::Info);
        let (stop, _) = signals::listen()?;
        let banks: Vec<OrganizationNumber> = self
            .bank
            .iter()
            .map(|text| OrganizationNumber::parse(text))
            .collect::<Result<_, _>>()?;
        let (issuer, server) = issuer::Issuer::bind(self.listen, world::clients(&banks)?)?;
        if let Some(path) = &self.key_file {
            world::write_private(path, issuer.client_key_pem())?;
        }
        out::say(format_args!("{}", issuer.name()))?;
        let handle = server.handle();
        tokio::task::spawn(async move {
            stop.cancelled().await;
            handle.stop(false).await;
        });
        Ok(server.await?)
    }
}

/// A token from the stand-in issuer
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  TOKEN=$(kundeforhold token --client skatt)\n  TOKEN=$(kundeforhold token --client bank-210011013)"
)]
pub struct Token {
    /// The issuer's address
    #[arg(long, default_value = "http://127.0.0.1:8081/")]
    issuer: String,
    /// `sandbox`, `skatt`, `politi`, `srf`, `bank`, or `bank-NUMBER`
    #[arg(long, default_value = "sandbox")]
    client: String,
    /// The scope to ask for; all of the client's if absent
    #[arg(long)]
    scope: Option<String>,
}

impl Token {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let address = IssuerAddress::parse(&format!("{}/sandbox/token", self.issuer.trim_end_matches('/')));
        let address = address.map_err(|cause| Failure::Refused(format!("--issuer {cause}")))?;
        let mut query = vec![("client", self.client)];
        query.extend(self.scope.map(|scope| ("scope", scope)));
        let request = IssuerClient::new(TIMEOUT)?.request(Method::GET, &address);
        let response = request.query(&query).send().await?;
        let status = response.status();
        let said = response.text().await?;
        if !status.is_success() {
            return Err(Failure::Refused(format!(
                "the issuer gives no token ({status}): {said}"
            )));
        }
        let token = serde_json::from_str::<serde_json::Value>(&said)
            .ok()
            .and_then(|answer| Some(answer.get("access_token")?.as_str()?.to_owned()));
        out::say(format_args!("{}", token.unwrap_or(said)))?;
        Ok(())
    }
}
