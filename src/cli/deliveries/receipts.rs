//! `kundeforhold receipts`

use super::Bank;
use crate::cli::Failure;
use crate::cli::call::{Answer, answer, table};
use crate::cli::client::text;
use crate::cli::out;
use crate::cli::receipt;
use crate::text::shown::json;
use reqwest::Method;
use serde_json::Value;
use uuid::Uuid;

/// The columns of the list.
const COLUMNS: [&str; 9] = [
    "deliveryID",
    "kind",
    "register",
    "state",
    "receivedAt",
    "read",
    "stored",
    "rejected",
    "reason",
];

/// Tells what became of a bank's deliveries: all of them, newest first, or one
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold receipts --bank 210011013 --limit 10 --token-file token\n  \
                  kundeforhold receipts --bank 210011013 --delivery 01936c2e-7d3a-7c11-9a55-0f5d2f0c8a11 --rejects --token-file token"
)]
pub struct Receipts {
    #[command(flatten)]
    bank: Bank,
    /// Only this delivery
    #[arg(long, value_name = "UUID")]
    delivery: Option<Uuid>,
    /// The lines of it that were not taken, each with all that is wrong with it; the first 1,000
    #[arg(long, requires = "delivery")]
    rejects: bool,
    /// So many at once; default 50
    #[arg(long, value_name = "NUMBER", conflicts_with = "delivery", value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: Option<u16>,
    /// Those that are older than this delivery
    #[arg(long, value_name = "UUID", conflicts_with = "delivery")]
    before: Option<Uuid>,
}

impl Receipts {
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        match (self.delivery, self.rejects) {
            (None, _) => self.list().await,
            (Some(delivery), false) => {
                let answer = answer(self.bank.request(Method::GET, &format!("/{delivery}")).await?).await?;
                self.bank.show(&answer.with("deliveryID")?, receipt::table)
            }
            (Some(delivery), true) => {
                let tail = format!("/{delivery}/rejects");
                self.show_rejects(&answer(self.bank.request(Method::GET, &tail).await?).await?)
            }
        }
    }

    async fn list(&self) -> Result<(), Failure> {
        let mut query = Vec::new();
        query.extend(self.limit.map(|limit| ("limit", limit.to_string())));
        query.extend(self.before.map(|before| ("before", before.to_string())));
        let request = self.bank.request(Method::GET, "").await?.query(&query);
        let page = answer(request).await?.with("deliveries")?;
        self.bank.show(&page, |page| {
            let receipts = page.get("deliveries").and_then(Value::as_array);
            let mut table = table();
            table.set_header(COLUMNS);
            table.add_rows(
                receipts
                    .into_iter()
                    .flatten()
                    .map(|receipt| COLUMNS.map(|name| text(receipt, name))),
            );
            table
        })?;
        if !self.bank.service.json && page.get("nextBefore").is_some() {
            out::tell(format_args!("older ones: --before {}", text(&page, "nextBefore")));
        }
        Ok(())
    }

    /// As JSON they are one a line, as the service sends them.
    fn show_rejects(&self, answer: &Answer) -> Result<(), Failure> {
        let lines = String::from_utf8_lossy(&answer.body);
        let rejects: Vec<Value> = lines
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        if self.bank.service.json {
            return rejects
                .iter()
                .try_for_each(|reject| out::say(format_args!("{}", json(reject)?)));
        }
        let mut table = table();
        table.set_header(["line", "parameter", "code", "reason"]);
        for reject in &rejects {
            let faults = reject.get("faults").and_then(Value::as_array);
            table.add_rows(faults.into_iter().flatten().map(|fault| {
                let [parameter, code, reason] = ["parameter", "code", "reason"].map(|name| text(fault, name));
                [text(reject, "line"), parameter, code, reason]
            }));
        }
        out::say(format_args!("{table}"))?;
        Ok(())
    }
}
