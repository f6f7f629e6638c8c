//! `kundeforhold participants` and `kundeforhold services`: what an agency asks before it looks anybody up.

use super::call::{AGENCY_SCOPE, Service, answer, table};
use super::client::text;
use super::{Failure, out};
use crate::text::shown;
use comfy_table::Table;
use reqwest::Method;
use serde_json::Value;

/// Lists the banks that the register covers, and how fresh each is
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kundeforhold participants --token \"$TOKEN\"")]
pub struct Participants {
    #[command(flatten)]
    service: Service,
}

/// Lists the DSOP services of the one that asks: what it may ask today, and with which mandates
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kundeforhold services --token \"$TOKEN\"\n\n\
                  --json also tells each mandate percent-encoded, ready to be sent.")]
pub struct Services {
    #[command(flatten)]
    service: Service,
}

impl Participants {
    pub(super) async fn run(self) -> Result<(), Failure> {
        const COLUMNS: [&str; 6] = [
            "organizationID",
            "bankName",
            "registers",
            "state",
            "lastDelivery",
            "coversFrom",
        ];
        let listed = list(&self.service, "participants").await?;
        show(&self.service, &listed, || {
            let mut table = table();
            table.set_header(COLUMNS);
            table.add_rows(items(&listed, "participants").map(|bank| COLUMNS.map(|name| text(bank, name))));
            vec![table]
        })
    }
}

impl Services {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let listed = list(&self.service, "services").await?;
        if items(&listed, "services").next().is_none() {
            out::tell(format_args!("no DSOP service is in force for the one that asks"));
        }
        show(&self.service, &listed, || {
            items(&listed, "services").map(terms).collect()
        })
    }
}

/// The answer of `/v2/NAME`, which has a list of that name.
async fn list(service: &Service, name: &str) -> Result<Value, Failure> {
    let path = format!("/v2/{name}");
    let request = service.request(Method::GET, &path, AGENCY_SCOPE).await?;
    answer(request).await?.with(name)
}

fn items<'a>(object: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    object.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn show(service: &Service, listed: &Value, tables: impl FnOnce() -> Vec<Table>) -> Result<(), Failure> {
    match service.json {
        true => out::say(format_args!("{}", shown::json(listed)?)),
        false => tables()
            .iter()
            .try_for_each(|table| out::say(format_args!("{table}"))),
    }
}

/// The terms of one service, a line each.
fn terms(service: &Value) -> Table {
    let mandates: Vec<String> = items(service, "mandates")
        .map(|mandate| text(mandate, "text"))
        .collect();
    let mandates = match mandates.is_empty() {
        true => "any".to_owned(),
        false => mandates.join("\n"),
    };
    let mut table = table();
    table.add_row(["name".to_owned(), text(service, "name")]);
    table.add_row(["endpoints".to_owned(), text(service, "endpoints")]);
    table.add_row(["mandates".to_owned(), mandates]);
    table.add_row(["customers".to_owned(), text(service, "customers")]);
    for (name, earliest, latest) in [
        ("fromDate", "earliestFromDate", "latestFromDate"),
        ("toDate", "earliestToDate", "latestToDate"),
    ] {
        table.add_row([name.to_owned(), span(service.get("dates"), earliest, latest)]);
    }
    for name in ["onlyPrimaryOwner", "supplier", "scope"] {
        if service.get(name).is_some() {
            table.add_row([name.to_owned(), text(service, name)]);
        }
    }
    table
}

/// Which days are allowed.
fn span(dates: Option<&Value>, earliest: &str, latest: &str) -> String {
    let day = |name| dates.map(|dates| text(dates, name)).unwrap_or_default();
    match (day(earliest).as_str(), day(latest).as_str()) {
        ("", "") => "any day".to_owned(),
        ("", latest) => format!("{latest} at the latest"),
        (earliest, "") => format!("{earliest} at the earliest"),
        (earliest, latest) if earliest == latest => earliest.to_owned(),
        (earliest, latest) => format!("{earliest} to {latest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn days_are_told_as_far_as_they_are_bounded() {
        for (dates, told) in [
            (json!({}), "any day"),
            (json!({"earliest": "2026-01-01"}), "2026-01-01 at the earliest"),
            (json!({"latest": "2026-01-01"}), "2026-01-01 at the latest"),
            (
                json!({"earliest": "2026-01-01", "latest": "2026-01-01"}),
                "2026-01-01",
            ),
            (
                json!({"earliest": "2026-01-01", "latest": "2026-01-02"}),
                "2026-01-01 to 2026-01-02",
            ),
        ] {
            assert_eq!(span(Some(&dates), "earliest", "latest"), told);
        }
        assert_eq!(span(None, "earliest", "latest"), "any day");
    }
}
