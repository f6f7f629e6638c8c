//! `kundeforhold receipts` and `kundeforhold rollback`: a bank's own deliveries.

mod receipts;
mod rollback;

pub use receipts::Receipts;
pub use rollback::Rollback;

use super::call::{BANK_SCOPE, Service};
use super::{Failure, out};
use crate::domain::identifiers::OrganizationNumber;
use crate::text::shown;
use comfy_table::Table;
use reqwest::{Method, RequestBuilder};
use serde_json::Value;

/// Whose deliveries, at which service.
#[derive(clap::Args)]
struct Bank {
    /// The bank's organisation number
    #[arg(long, value_name = "NUMBER", value_parser = OrganizationNumber::parse)]
    bank: OrganizationNumber,
    #[command(flatten)]
    service: Service,
}

impl Bank {
    /// A call on the bank's deliveries; `tail` is empty or begins with a slash.
    async fn request(&self, method: Method, tail: &str) -> Result<RequestBuilder, Failure> {
        let path = format!("/v2/financialInstitutions/{}/deliveries{tail}", self.bank);
        self.service.request(method, &path, BANK_SCOPE).await
    }

    fn show(&self, body: &Value, table: impl FnOnce(&Value) -> Table) -> Result<(), Failure> {
        match self.service.json {
            true => out::say(format_args!("{}", shown::json(body)?))?,
            false => out::say(format_args!("{}", table(body)))?,
        }
        Ok(())
    }
}
