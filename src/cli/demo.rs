//! `kundeforhold demo`

use super::{Failure, signals};
use crate::cli::out;
use crate::config::{LogLevel, Settings};
use crate::pseudonym::MasterKey;
use crate::sandbox::issuer::Issuer;
use crate::sandbox::world::{self, World};
use crate::server::Server;
use crate::telemetry::{LogTarget, log_to};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Demo tokens are for a day of trying things out; Maskinporten's own live two minutes.
const TOKEN_LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// Longest wait for the demo to come up.
const READY_TIMEOUT: Duration = Duration::from_secs(30);
/// Who gets a token in `--json`.
const CLIENTS: [&str; 5] = ["sandbox", "skatt", "politi", "srf", "bank"];

/// Everything in one process on loopback, nothing else installed: issuer, service, synthetic data
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold demo\n  kundeforhold demo --json --listen 127.0.0.1:0 --management-listen 127.0.0.1:0 --issuer-listen 127.0.0.1:0"
)]
pub struct Demo {
    /// Where the service listens; port 0 takes any free one
    #[arg(long, default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where liveness, readiness and metrics are
    #[arg(long, default_value = "127.0.0.1:9090")]
    management_listen: SocketAddr,
    /// Where the stand-in for Maskinporten listens
    #[arg(long, default_value = "127.0.0.1:8081")]
    issuer_listen: SocketAddr,
    /// Keeps register, record of use and keys in this folder instead of a temporary one
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Uses this store instead of a SQLite file in the folder, such as sqlite:./register.sqlite
    #[arg(long, value_name = "URL")]
    store: Option<String>,
    /// Puts this cache in front of it, such as redis://127.0.0.1:6379/0
    #[arg(long, value_name = "URL")]
    cache: Option<String>,
    /// When ready, prints one line of JSON for scripts
    #[arg(long)]
    json: bool,
}

impl Demo {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let level = if self.json { LogLevel::Info } else { LogLevel::Warn };
        log_to(LogTarget::Stderr, level);
        let (stop, reload) = signals::listen()?;
        let temporary = tempfile::Builder::new().prefix("kundeforhold-demo-").tempdir()?;
        let directory = self.data.clone().unwrap_or_else(|| temporary.path().to_owned());
        std::fs::create_dir_all(&directory)?;

        let world = World::today()?;
        let (issuer, issuer_server) = Issuer::bind(self.issuer_listen, world::clients(&world.banks())?)?;
        world::write_private(&directory.join("client-key.pem"), issuer.client_key_pem())?;
        let settings = self.settings(&directory, &issuer, &world)?;
        let server = Server::build(&settings).await?;
        let (address, management) = (server.address, server.management_address);
        let (delivery, readiness) = (server.parts.delivery.clone(), server.parts.readiness.clone());
        let (store, cache) = (server.parts.store.clone(), server.parts.cache.clone());
        let issuer_handle = issuer_server.handle();
        tokio::task::spawn(issuer_server);
        let service = tokio::task::spawn_local(server.run(stop.clone(), reload));

        let loaded = async {
            wait_until_ready(&readiness).await?;
            world
                .deliver(&format!("http://{address}"), &issuer, TOKEN_LIFETIME)
                .await?;
            // Only now, since a paused bank could not have delivered.
            Ok::<_, Failure>(
                delivery
                    .participants()
                    .replace(world.participants().clone(), &store.sets())?,
            )
        };
        match loaded.await {
            Ok(()) => self.introduce(address, management, &issuer, &world)?,
            Err(failure) => {
                stop.cancel();
                return Err(failure);
            }
        }
        service.await??;
        issuer_handle.stop(false).await;
        if let Some(cache) = cache.filter(|_| self.data.is_none()) {
            // The key that its entries can be read with goes with the temporary folder.
            cache.clear().await?;
        }
        Ok(())
    }

    fn settings(&self, directory: &Path, issuer: &Issuer, world: &World) -> Result<Settings, Failure> {
        let key_file = directory.join("pseudonym.key");
        if !key_file.exists() {
            MasterKey::create(&key_file)?;
        }
        let participants_file = directory.join("participants.toml");
        std::fs::write(&participants_file, world.participants_before_pauses())?;
        let services_file = directory.join("dsop-services.toml");
        std::fs::write(&services_file, world::service_terms())?;
        let file = format!("sqlite:{}", directory.join("register.sqlite").display());
        let mut settings =
            Settings::from_toml("identifiers.synthetic = [\"tenor\", \"helsenett\", \"dolly\"]")?;
        settings.participants_file = Some(participants_file);
        settings.access.services_file = Some(services_file);
        settings.server.listen = self.listen;
        settings.server.management_listen = self.management_listen;
        settings.server.drain_seconds = 0;
        settings.maskinporten.issuer = Some(issuer.name().to_owned());
        settings.maskinporten.jwks_uri = Some(issuer.jwks_uri());
        settings.store.url = self.store.clone().unwrap_or(file).into();
        settings.cache.url = self.cache.clone().unwrap_or_default().into();
        // Whoever tries an interface out, a fuzzer above all, gets much of it wrong and wants to be told what.
        settings.access.refusals_per_minute = NonZeroU32::MAX;
        settings.record.key_files = vec![key_file.clone()];
        settings.pseudonym.key_file = Some(key_file);
        Ok(settings)
    }

    fn introduce(
        &self,
        address: SocketAddr,
        management: SocketAddr,
        issuer: &Issuer,
        world: &World,
    ) -> Result<(), Failure> {
        let tokens = CLIENTS.map(|client| issuer.token(client, TOKEN_LIFETIME).map(|token| (client, token)));
        let tokens: Vec<(&str, String)> = tokens.into_iter().collect::<Result<_, _>>()?;
        if self.json {
            let tokens: serde_json::Map<_, _> = tokens
                .into_iter()
                .map(|(client, token)| (client.to_owned(), token.into()))
                .collect();
            let line = serde_json::json!({
                "service": format!("http://{address}"),
                "management": format!("http://{management}"),
                "issuer": issuer.name(),
                "jwksUri": issuer.jwks_uri(),
                "tokens": tokens,
            });
            out::say(format_args!("{line}"))?;
        } else {
            out::say(format_args!(
                "{}",
                introduction(address, management, issuer, &tokens, world)
            ))?;
        }
        Ok(())
    }
}

async fn wait_until_ready(readiness: &crate::http::management::Readiness) -> Result<(), Failure> {
    let started = std::time::Instant::now();
    while !readiness.waiting_for().is_empty() {
        if started.elapsed() > READY_TIMEOUT {
            return Err(Failure::Refused(format!(
                "the demo waits in vain for {}",
                readiness.waiting_for().join(" and ")
            )));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(())
}

/// What to paste into another terminal.
fn introduction(
    address: SocketAddr,
    management: SocketAddr,
    issuer: &Issuer,
    tokens: &[(&str, String)],
    world: &World,
) -> String {
    let token = |client: &str| {
        tokens
            .iter()
            .find(|(name, _)| *name == client)
            .map_or("", |(_, token)| token)
    };
    let headers = "-H \"CorrelationID: $(cat /proc/sys/kernel/random/uuid)\" \
                   -H 'AccountInfoRequestID: 6a0c3f1e-52b8-4a39-8a53-70f35ce0b2f1' -H 'Legal-Mandate: Sandbox'";
    let (today, bank) = (world.day(), world::DEMO_BANK);
    format!(
        "TOKEN={sandbox}
BANK_TOKEN={bank_token}

# Which banks has Marit had a relationship with?
curl -s 'http://{address}/v2/customers/customerRelationships?fromDate=2024-01-01&toDate={today}&onlyPrimaryOwner=false' \
-H \"Authorization: Bearer $TOKEN\" -H 'CustomerID: 01856867389' {headers}

# Which bank services this account?
curl -s 'http://{address}/v2/customers/accountServicingProvider' \
-H \"Authorization: Bearer $TOKEN\" -H 'AccountID: 17101002225' {headers}

# A bank delivers: a customer of its own from today on. It is in the next answer.
curl -s -o /dev/null -w '%{{http_code}}\\n' -X POST \
'http://{address}/kar-ws/api/v1/customers/financialInstitutions/{bank}/relationshipType/DSOPBANK' \
-H \"Authorization: Bearer $BANK_TOKEN\" -H 'CustomerID: 17912099997' -H \"CorrelationID: $(cat /proc/sys/kernel/random/uuid)\"

API pages:  http://{address}/docs/
Console:    http://{management}/console
Management: http://{management}/isready  http://{management}/metrics
Issuer:     {issuer} (another token: curl '{issuer}sandbox/token?client=skatt')
Ctrl-C ends the demo.",
        sandbox = token("sandbox"),
        bank_token = token("bank"),
        issuer = issuer.name(),
    )
}
