//! `kundeforhold lookup` and `kundeforhold account`: an agency's client.

use super::call::{AGENCY_SCOPE, Service, answer, table};
use super::client::text;
use super::{Failure, out};
use crate::domain::calendar::oslo_day;
use crate::text::shown;
use chrono::Utc;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use serde_json::Value;
use std::borrow::Cow;
use std::io::{IsTerminal, Read};
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
    #[arg(long, value_name = "true|false", value_parser = flag)]
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

/// In any letter case, as the service takes it.
fn flag(text: &str) -> Result<bool, &'static str> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false"),
    }
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
                ("CustomerID", identifier("customer", &self.customer)?),
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
        let account = ("AccountID", identifier("account", &self.account)?);
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

impl Found {
    fn coverage(&self) -> Cow<'_, str> {
        shown::shown(self.coverage.as_deref().unwrap_or("not told"))
    }
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
            out::tell(format_args!("coverage: {}", answer.coverage()));
            return out::say(format_args!("{}", shown::json(&answer.body)?));
        }
        let mut table = table();
        table.set_header(columns.to_vec());
        table.add_rows(rows(columns));
        out::say(format_args!("{table}"))?;
        out::say(format_args!("coverage: {}", answer.coverage()))?;
        Ok(())
    }
}

/// The identifier itself, or standard input for `-`; on a terminal it is asked for.
fn identifier(what: &str, argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Ok(crate::text::read_all(stdin.take(64))?.trim().to_owned());
    }
    out::tell(format_args!("The {what}'s number, and Enter:"));
    let mut line = String::new();
    stdin.read_line(&mut line)?;
    Ok(line.trim().to_owned())
}
