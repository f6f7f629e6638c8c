//! `kundeforhold lookup` and `kundeforhold account`: an agency's client.

use super::Failure;
use super::call::{AGENCY_SCOPE, Service, answer, table};
use super::client::text;
use crate::domain::calendar::oslo_day;
use chrono::Utc;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;
use std::io::Read;
use uuid::Uuid;

/// At which service, and on what grounds.
#[derive(clap::Args)]
struct Connection {
    #[command(flatten)]
    service: Service,
    /// The legal basis, in plain text
    #[arg(long)]
    mandate: String,
    /// Id of the case; made if absent
    #[arg(long)]
    case: Option<Uuid>,
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
                ("customerRelationships", "banks"),
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
            .ask(("accountServicingProvider", "organizationID"), &[], account)
            .await?;
        self.connection
            .show(&answer, &["organizationID", "bankName"], |columns| {
                vec![columns.iter().map(|name| text(&answer.body, name)).collect()]
            })
    }
}

struct Found {
    body: Value,
    coverage: Option<String>,
}

impl Connection {
    /// The answer, which has this field.
    async fn ask(
        &self,
        (operation, field): (&str, &str),
        query: &[(&str, String)],
        (header, value): (&str, String),
    ) -> Result<Found, Failure> {
        let mandate = utf8_percent_encode(&self.mandate, NON_ALPHANUMERIC).to_string();
        let case = self.case.unwrap_or_else(Uuid::new_v4);
        let path = format!("/v2/customers/{operation}");
        let request = self.service.request(Method::GET, &path, AGENCY_SCOPE).await?;
        let request = request
            .query(query)
            .header(header, value)
            .header("Legal-Mandate", mandate)
            .header("AccountInfoRequestID", case.to_string());
        let answer = answer(request).await?;
        let coverage = answer.headers.get("Register-Coverage");
        Ok(Found {
            coverage: coverage.and_then(|value| value.to_str().ok()).map(str::to_owned),
            body: answer.with(field)?,
        })
    }

    fn show(
        &self,
        answer: &Found,
        columns: &[&str],
        rows: impl FnOnce(&[&str]) -> Vec<Vec<String>>,
    ) -> Result<(), Failure> {
        if self.service.json {
            println!("{}", serde_json::to_string(&answer.body)?);
            return Ok(());
        }
        let mut table = table();
        table.set_header(columns.to_vec());
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
    let text = crate::text::read_all(std::io::stdin().take(64))?;
    Ok(text.trim().to_owned())
}
