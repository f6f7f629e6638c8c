//! `kundeforhold lookup` and `kundeforhold account`: an agency's client.

use super::Failure;
use super::client::{Credentials, refused, text};
use crate::access::outbound;
use crate::domain::calendar::oslo_day;
use chrono::Utc;
use comfy_table::Table;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use std::io::Read;
use std::time::Duration;
use uuid::Uuid;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Where the service is, and how to be let in.
#[derive(clap::Args)]
struct Connection {
    /// The service
    #[arg(long, default_value = "http://127.0.0.1:8080")]
    url: String,
    #[command(flatten)]
    credentials: Credentials,
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
        self.connection.show(
            &answer,
            &["organizationID", "bankName", "activeAccount", "ownershipType"],
            |columns| {
                let banks = answer.body.get("banks").and_then(Value::as_array);
                banks
                    .into_iter()
                    .flatten()
                    .map(|bank| columns.iter().map(|name| text(bank, name)).collect())
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
                vec![columns.iter().map(|name| text(&answer.body, name)).collect()]
            })
    }
}

struct Answer {
    body: Value,
    coverage: Option<String>,
}

impl Connection {
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
            .bearer_auth(self.credentials.token(&self.scope).await?)
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
            .set_content_arrangement(comfy_table::ContentArrangement::Dynamic)
            .set_header(columns.to_vec());
        table.add_rows(rows(columns));
        println!("{table}");
        println!("coverage: {}", answer.coverage.as_deref().unwrap_or("not told"));
        Ok(())
    }
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
