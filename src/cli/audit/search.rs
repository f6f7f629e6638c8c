//! `kundeforhold audit search`

use super::{Failure, Source};
use crate::config::Settings;
use crate::domain::identifiers::{AccountNumber, Check, CustomerId, IdentifierRules, OrganizationNumber};
use crate::record::{self, Looked, Query, Record, Subject, Way};
use crate::text;
use chrono::NaiveDate;
use std::io::{BufRead, Write};
use uuid::Uuid;

/// Finds recorded calls; everything that is given must hold
#[derive(clap::Args)]
#[command(after_help = "Example: who looked this person up, for an access request\n  \
                  echo 01856867389 | kundeforhold audit search --config kundeforhold.toml --customer -\n\n\
                  The service may run meanwhile. Where an index finds what is looked for, only what it finds is\n\
                  proved; `audit verify` holds the index against the entries, and --prove does without it.")]
#[group(skip)]
pub struct Search {
    #[command(flatten)]
    source: Source,
    #[command(flatten)]
    criteria: Criteria,
    /// Reads and proves every entry, rather than asking the index
    #[arg(long)]
    prove: bool,
    /// Prints one line of JSON a call
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
#[group(required = true, multiple = true)]
struct Criteria {
    /// AccountInfoRequestID
    #[arg(long, value_name = "UUID")]
    case: Option<Uuid>,
    /// CorrelationID
    #[arg(long, value_name = "UUID")]
    correlation: Option<Uuid>,
    /// deliveryID of a receipt
    #[arg(long, value_name = "UUID")]
    delivery: Option<Uuid>,
    /// Organisation number of the one that asked or delivered
    #[arg(long, value_name = "NUMBER", value_parser = OrganizationNumber::parse)]
    consumer: Option<OrganizationNumber>,
    /// Day in Norway, YYYY-MM-DD
    #[arg(long, value_name = "DATE")]
    day: Option<NaiveDate>,
    /// A customer, read from standard input so that it stands in no process list
    #[arg(long, value_name = "-")]
    customer: Option<String>,
    /// An account, read from standard input so that it stands in no process list
    #[arg(long, value_name = "-", conflicts_with = "customer")]
    account: Option<String>,
}

impl Search {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (settings, place, ring) = self.source.open()?;
        let query = self.criteria.query(&settings)?;
        let way = if self.prove { Way::Prove } else { Way::Index };
        let mut out = std::io::stdout().lock();
        let (json, mut count) = (self.json, 0_u64);
        let found = |record: Record| {
            if !json && count == 0 {
                writeln!(out, "{}", row(HEADING))?;
            }
            count += 1;
            match json {
                true => writeln!(out, "{}", serde_json::to_string(&record)?),
                false => writeln!(out, "{}", line(&record)),
            }
        };
        let looked = record::search(&place, &ring, &query, way, found)?;
        eprintln!("{}", told(count, &looked));
        Ok(())
    }
}

/// How many were found, and in how many entries that was looked for, in which way.
fn told(count: u64, looked: &Looked) -> String {
    let found = match count {
        0 => "nothing found".to_owned(),
        count => format!("{count} found"),
    };
    let proved = format!("{} entries that were read and proved", looked.proved);
    match looked.indexed {
        0 => format!("{found} in {proved}"),
        indexed => format!("{found} in {proved}, and {indexed} that were looked up in the index"),
    }
}

impl Criteria {
    fn query(&self, settings: &Settings) -> Result<Query, Failure> {
        Ok(Query {
            case: self.case,
            correlation: self.correlation,
            consumer: self.consumer,
            day: self.day,
            subject: self.subject(settings)?,
            delivery: self.delivery,
        })
    }

    fn subject(&self, settings: &Settings) -> Result<Option<Subject>, Failure> {
        // It may have been recorded when other rules were in force.
        let rules = IdentifierRules {
            check: Check::Format,
            ..settings.identifier_rules()
        };
        if let Some(customer) = &self.customer {
            let customer = CustomerId::parse(&read_line(customer)?, &rules)?;
            return Ok(Some(Subject::Customer(customer)));
        }
        if let Some(account) = &self.account {
            let account = AccountNumber::parse_lookup_key(&read_line(account)?)?;
            return Ok(Some(Subject::Account(account)));
        }
        Ok(None)
    }
}

/// Reads the identifier for which `-` was given. Anything else is refused here and not by the argument's parser,
/// which would repeat it.
fn read_line(given: &str) -> Result<String, Failure> {
    if given != "-" {
        return Err(Failure::Refused(
            "customers and accounts are read from standard input: give `-` instead of the number".to_owned(),
        ));
    }
    let mut line = Vec::new();
    std::io::stdin().lock().read_until(b'\n', &mut line)?;
    Ok(text::decode(line)?.trim().to_owned())
}

const HEADING: [&str; 9] = [
    "time",
    "consumer",
    "endpoint",
    "status",
    "case",
    "correlation",
    "banks",
    "instance/sequence",
    "legal mandate",
];

fn row(cells: [&str; 9]) -> String {
    const WIDTHS: [usize; 9] = [24, 9, 24, 6, 36, 36, 19, 40, 0];
    let padded: Vec<String> = cells
        .iter()
        .zip(WIDTHS)
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    padded.join("  ")
}

fn line(record: &Record) -> String {
    let endpoint = serde_json::to_value(record.endpoint).unwrap_or_default();
    row([
        &record.time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        // A name is no number, so it is not taken for one.
        record
            .consumer
            .as_deref()
            .or(record.operator.as_deref())
            .unwrap_or("-"),
        endpoint.as_str().unwrap_or_default(),
        &text_of(record.status),
        &text_of(record.case),
        &text_of(record.correlation),
        &record.banks.join(","),
        &format!("{}/{}", record.instance, record.sequence),
        record.legal_mandate.as_deref().unwrap_or("-"),
    ])
}

fn text_of(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}
