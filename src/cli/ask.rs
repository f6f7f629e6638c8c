//! `kundeforhold lookup` and `kundeforhold account`: an agency's client.

use super::Failure;
use crate::access::grant::{GrantRequest, fetch_token};
use crate::access::outbound::{self, IssuerAddress};
use crate::domain::calendar::oslo_day;
use chrono::Utc;
use comfy_table::Table;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::io::Read;
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the service is, and how to be let in.
#[derive(clap::Args)]
struct Connection {
    /// The service
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    /// An access token; or the four options below to get one by the JWT grant
    #[arg(long, env = "KUNDEFORHOLD_TOKEN", hide_env_values = true, conflicts_with_all = ["client_id", "key", "token_endpoint"])]
    token: Option<String>,
    /// Client id at Maskinporten
    #[arg(long, requires_all = ["key", "token_endpoint", "issuer"])]
    client_id: Option<String>,
    /// The client's private key, PEM
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The key's id, if it is registered with one
    #[arg(long)]
    key_id: Option<String>,
    /// Maskinporten's token endpoint
    #[arg(long)]
    token_endpoint: Option<String>,
    /// The issuer's name, which the grant is addressed to
    #[arg(long)]
    issuer: Option<String>,
    /// The scope to ask for
    #[arg(long, default_value = "bits:kundeforhold")]
    scope: String,
    /// The legal basis, in plain text
    #[arg(long)]
    mandate: String,
    /// Id of the case; made if absent
    #[arg(long)]
    case: Option<Uuid>,
    /// Prints the answer as JSON
    #[arg(long)]
    json: bool,
}

/// Asks which banks a customer has or had a relationship with
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  echo 13897210066 | kundeforhold lookup --from 2026-01-01 --mandate 'Test' --token \"$TOKEN\""
)]
pub struct Lookup {
    /// The customer; `-` reads it from standard input and keeps it out of the process list
    #[arg(long, default_value = "-")]
    customer: String,
    /// First day, YYYY-MM-DD; default today
    #[arg(long)]
    from: Option<String>,
    /// Last day, YYYY-MM-DD; default today
    #[arg(long)]
    to: Option<String>,
    /// `true`: only banks where the customer is primary owner; sent only if given
    #[arg(long)]
    only_primary_owner: Option<bool>,
    #[command(flatten)]
    connection: Connection,
}

/// Asks which bank services an account
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  echo 17101002225 | kundeforhold account --mandate 'Test' --token \"$TOKEN\""
)]
pub struct Account {
    /// The account; `-` reads it from standard input and keeps it out of the process list
    #[arg(long, default_value = "-")]
    account: String,
    #[command(flatten)]
    connection: Connection,
}

impl Lookup {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let today = oslo_day(Utc::now()).to_string();
        let mut query = vec![
            ("fromDate", self.from.unwrap_or(today.clone())),
            ("toDate", self.to.unwrap_or(today)),
        ];
        query.extend(
            self.only_primary_owner
                .map(|only| ("onlyPrimaryOwner", only.to_string())),
        );
        let answer = self
            .connection
            .ask(
                "customerRelationships",
                &query,
                ("CustomerID", identifier(&self.customer)?),
            )
            .await?;
        let cell = |bank: &Value, name: &str| match bank.get(name) {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
        };
        self.connection.show(
            &answer,
            &["organizationID", "bankName", "activeAccount", "ownershipType"],
            |columns| {
                let banks = answer.body.get("banks").and_then(Value::as_array);
                banks
                    .into_iter()
                    .flatten()
                    .map(|bank| columns.iter().map(|name| cell(bank, name)).collect())
                    .collect()
            },
        )
    }
}

impl Account {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let account = ("AccountID", identifier(&self.account)?);
        let answer = self
            .connection
            .ask("accountServicingProvider", &[], account)
            .await?;
        self.connection
            .show(&answer, &["organizationID", "bankName"], |columns| {
                let cell = |name: &&str| {
                    answer
                        .body
                        .get(*name)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                vec![columns.iter().map(cell).collect()]
            })
    }
}

struct Answer {
    body: Value,
    coverage: Option<String>,
}

impl Connection {
    async fn token(&self) -> Result<String, Failure> {
        if let Some(token) = &self.token {
            return Ok(token.clone());
        }
        let missing =
            || Failure("either --token, or --client-id with --key, --token-endpoint and --issuer".to_owned());
        let (client_id, key) = (
            self.client_id.as_deref().ok_or_else(missing)?,
            self.key.as_ref().ok_or_else(missing)?,
        );
        let token_endpoint = IssuerAddress::parse(self.token_endpoint.as_deref().ok_or_else(missing)?)?;
        let key_pem = std::fs::read_to_string(key)?;
        let request = GrantRequest {
            token_endpoint: &token_endpoint,
            issuer: self.issuer.as_deref().ok_or_else(missing)?,
            client_id,
            key_pem: &key_pem,
            kid: self.key_id.as_deref(),
            scope: &self.scope,
        };
        Ok(fetch_token(&request).await?)
    }

    async fn ask(
        &self,
        operation: &str,
        query: &[(&str, String)],
        (header, value): (&str, String),
    ) -> Result<Answer, Failure> {
        // Neither redirects nor proxies from the environment: the identifier is in a header.
        let client = outbound::client(TIMEOUT)?;
        let mandate = utf8_percent_encode(&self.mandate, NON_ALPHANUMERIC).to_string();
        let response = client
            .get(format!(
                "{}/v2/customers/{operation}",
                self.url.trim_end_matches('/')
            ))
            .query(query)
            .bearer_auth(self.token().await?)
            .header(header, value)
            .header("CorrelationID", Uuid::new_v4().to_string())
            .header("Legal-Mandate", mandate)
            .header(
                "AccountInfoRequestID",
                self.case.unwrap_or_else(Uuid::new_v4).to_string(),
            )
            .send()
            .await?;
        let status = response.status();
        let coverage = response
            .headers()
            .get("Register-Coverage")
            .and_then(|value| value.to_str().ok());
        let coverage = coverage.map(str::to_owned);
        let body: Value = response.json().await?;
        if status.is_success() {
            Ok(Answer { body, coverage })
        } else {
            Err(refused(status, &body))
        }
    }

    fn show(
        &self,
        answer: &Answer,
        columns: &[&str],
        rows: impl FnOnce(&[&str]) -> Vec<Vec<String>>,
    ) -> Result<(), Failure> {
        if self.json {
            println!("{}", serde_json::to_string(&answer.body)?);
            return Ok(());
        }
        let mut table = Table::new();
        table
            .load_style(comfy_table::presets::UTF8_BORDERS_ONLY)
            .set_header(columns.to_vec());
        table.add_rows(rows(columns));
        println!("{table}");
        println!("coverage: {}", answer.coverage.as_deref().unwrap_or("not told"));
        Ok(())
    }
}

/// What the service said, as a sentence.
fn refused(status: reqwest::StatusCode, body: &Value) -> Failure {
    let text = |value: &Value, name: &str| {
        value
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let details = body
        .get("details")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let details: Vec<String> = details
        .map(|detail| format!("{} {}", text(detail, "parameter"), text(detail, "reason")))
        .collect();
    let (code, message) = (text(body, "errorCode"), text(body, "errorMessage"));
    let correlation = text(body, "correlationID");
    Failure(format!(
        "{} {code} {message}; {} (correlationID {correlation})",
        status.as_u16(),
        details.join("; ")
    ))
}

/// The identifier itself, or standard input for `-`.
fn identifier(argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    std::io::stdin().take(64).read_to_string(&mut text)?;
    Ok(text.trim().to_owned())
}
