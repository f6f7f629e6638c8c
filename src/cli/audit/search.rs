//! `kundeforhold audit search`

use super::{Failure, Source};
use crate::cli::{call, out};
use crate::config::Settings;
use crate::domain::calendar::parse_day;
use crate::domain::identifiers::{
    AccountNumber, CustomerId, IdentifierRules, OrganizationNumber, SyntheticSeries,
};
use crate::record::{self, Looked, Query, Record, SearchError, Subject, Way};
use crate::text::{self, shown};
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
    #[arg(long, value_name = "YYYY-MM-DD", value_parser = day)]
    day: Option<NaiveDate>,
    /// A customer, read from standard input so that it stands in no process list
    #[arg(long, value_name = "-")]
    customer: Option<String>,
    /// An account, read from standard input so that it stands in no process list
    #[arg(long, value_name = "-", conflicts_with = "customer")]
    account: Option<String>,
}

fn day(text: &str) -> Result<NaiveDate, String> {
    parse_day(text).ok_or_else(|| "must be a day, YYYY-MM-DD, such as 2026-01-31".to_owned())
}

impl Search {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (settings, place, ring) = self.source.open()?;
        let query = self.criteria.query(&settings)?;
        let way = if self.prove { Way::Prove } else { Way::Index };
        let mut lines = std::io::stdout().lock();
        let layout = match self.json {
            true => Layout::Json,
            false => call::width().map_or(Layout::Rows, |width| Layout::Blocks(width.into())),
        };
        let mut count = 0_u64;
        let found = |record: Record| {
            let heading = (count == 0).then(|| layout.heading()).flatten();
            count += 1;
            heading.map_or(Ok(()), |heading| writeln!(lines, "{heading}"))?;
            writeln!(lines, "{}", layout.of(&record)?)
        };
        let looked = record::search(&place, &ring, &query, way, found).map_err(|cause| match cause {
            SearchError::Interrupted(cause) => out::unwritten(&cause),
            cause @ SearchError::Record(_) => cause.into(),
        })?;
        out::tell(format_args!("{}", told(count, &looked)));
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
        // Numbers of persons who do not exist may have been taken when other rules were in force.
        let rules = IdentifierRules {
            synthetic: SyntheticSeries::ALL,
            accept_2032: true,
            ..settings.identifier_rules()
        };
        if let Some(customer) = &self.customer {
            let customer = CustomerId::parse(&read_line(customer)?, &rules)?;
            return Ok(Some(Subject::Customer(customer)));
        }
        if let Some(account) = &self.account {
            let number = read_line(account)?;
            let account = AccountNumber::parse_lookup_key(&number)?;
            if AccountNumber::parse_delivered(&number, &IdentifierRules::PRODUCTION).is_err() {
                out::tell(format_args!(
                    "the check digit of this account is wrong; lookups take such numbers, so it is looked for"
                ));
            }
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

/// How a call is shown.
#[derive(Clone, Copy)]
enum Layout {
    Json,
    /// A line each, for programs that look for lines.
    Rows,
    /// Some lines each, no wider than this.
    Blocks(usize),
}

const NAMES: [&str; 11] = [
    "time",
    "consumer",
    "endpoint",
    "status",
    "case",
    "correlation",
    "service",
    "period",
    "banks",
    "instance/sequence",
    "legal mandate",
];
const WIDTHS: [usize; 11] = [24, 9, 24, 6, 36, 36, 20, 24, 19, 40, 0];

impl Layout {
    fn heading(self) -> Option<String> {
        matches!(self, Self::Rows).then(|| row(&NAMES.map(str::to_owned)))
    }

    fn of(self, record: &Record) -> std::io::Result<String> {
        Ok(match self {
            Self::Json => shown::json(record)?,
            Self::Rows => row(&values(record)),
            Self::Blocks(width) => block(&values(record), width),
        })
    }
}

fn row(cells: &[String; 11]) -> String {
    let padded: Vec<String> = cells
        .iter()
        .zip(WIDTHS)
        .map(|(cell, width)| format!("{cell:width$}"))
        .collect();
    padded.join("  ")
}

/// What there is, a name and a value a line, and the values broken where the terminal ends.
fn block(cells: &[String; 11], width: usize) -> String {
    const INDENT: usize = 19;
    let room = width.saturating_sub(INDENT).max(1);
    let mut block = String::new();
    for (name, cell) in NAMES.iter().zip(cells).filter(|(_, cell)| *cell != "-") {
        let characters: Vec<char> = cell.chars().collect();
        for (at, piece) in characters.chunks(room).enumerate() {
            let name = if at == 0 { name } else { "" };
            block.push_str(&format!("{name:INDENT$}{}\n", String::from_iter(piece)));
        }
    }
    block
}

fn values(record: &Record) -> [String; 11] {
    let endpoint = serde_json::to_value(record.endpoint).unwrap_or_default();
    // A name is no number, so it is not taken for one.
    let who = record.consumer.as_deref().or(record.operator.as_deref());
    let texts = [
        record.time.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        who.unwrap_or("-").to_owned(),
        endpoint.as_str().unwrap_or_default().to_owned(),
        text_of(record.status),
        text_of(record.case),
        text_of(record.correlation),
        text_of(record.service.as_deref()),
        match (record.from_date, record.to_date) {
            (Some(from), Some(to)) => format!("{from} to {to}"),
            _ => "-".to_owned(),
        },
        record.banks.join(","),
        format!("{}/{}", record.instance, record.sequence),
        text_of(record.legal_mandate.as_deref()),
    ];
    texts.map(|text| match text.as_str() {
        "" => "-".to_owned(),
        text => shown::shown(text).into_owned(),
    })
}

fn text_of(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_fits_the_terminal_and_leaves_out_what_is_not_there() {
        let mut cells = NAMES.map(|name| name.repeat(8));
        cells[6] = "-".to_owned();
        for width in [40, 60, 80] {
            let block = block(&cells, width);
            assert!(block.lines().all(|line| line.chars().count() <= width), "{block}");
            assert!(
                !block.contains("service") && block.contains("legal mandate"),
                "{block}"
            );
        }
    }
}
