//! `kundeforhold push`: a bank's client.

mod attempts;
mod receipt;
mod upload;

use super::call::{BANK_SCOPE, Service};
use super::progress::Sending;
use super::{Failure, out};
use crate::access::outbound;
use crate::domain::identifiers::OrganizationNumber;
use attempts::Delivery;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Client, RequestBuilder};
use std::path::PathBuf;
use std::time::Duration;
use upload::Upload;
use uuid::Uuid;

/// Longest time for one attempt, from the connection to the receipt.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(12 * 3600);
const MAX_ATTEMPTS: i64 = 100;

/// Delivers a bank's relationships: the whole set, or changes to it
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold push --url http://127.0.0.1:8080 --bank 210011013 --file relationships.ndjson.gz --token-file token\n\n\
                  A delivery that got no answer is sent again with the same key, so that it is never published twice."
)]
pub struct Push {
    /// The bank's organisation number
    #[arg(long, value_name = "NUMBER", value_parser = OrganizationNumber::parse)]
    bank: OrganizationNumber,
    /// The register; default: the bank's only one, else KAR
    #[arg(long, value_parser = ["KAR", "KFR"])]
    register: Option<String>,
    /// One record a line, plain or compressed with gzip or Zstandard; `-` reads standard input
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
    /// The lines are changes to the set: `put`, `end` and `remove`, in order, all or nothing
    #[arg(long)]
    changes: bool,
    /// Publishes in spite of up to so many bad lines
    #[arg(long, value_name = "NUMBER")]
    max_rejects: Option<u64>,
    /// Publishes a set with far fewer running records than the present one
    #[arg(long, conflicts_with = "changes")]
    confirm_shrink: bool,
    /// The number of these changes in the bank's own order, from 1
    #[arg(long, value_name = "NUMBER", requires = "changes", value_parser = clap::value_parser!(u64).range(1..))]
    sequence: Option<u64>,
    /// Names the delivery, so that it is published once; one is drawn and told if absent
    #[arg(long, value_name = "KEY", value_parser = idempotency_key)]
    idempotency_key: Option<HeaderValue>,
    /// How often to try while the service cannot be reached or says `not now`
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=MAX_ATTEMPTS))]
    attempts: u32,
    #[command(flatten)]
    service: Service,
}

/// A header holds printable ASCII only.
fn idempotency_key(text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_str(text)
        .ok()
        .filter(|key| !key.is_empty() && key.to_str().is_ok())
        .ok_or_else(|| "must be printable ASCII characters".to_owned())
}

impl Push {
    pub(super) async fn run(self) -> Result<(), Failure> {
        let upload = Upload::open(&self.file)?;
        let key = match &self.idempotency_key {
            Some(key) => key.clone(),
            None => {
                let key = Uuid::new_v4().to_string();
                out::tell(format_args!(
                    "the key of this delivery is {key}; --idempotency-key delivers it again, but not twice"
                ));
                HeaderValue::try_from(key)?
            }
        };
        // Neither redirects nor proxies from the environment: the body is full of identifiers.
        let client = outbound::client(ATTEMPT_TIMEOUT)?;
        let delivery = Delivery {
            request: || self.request(&client, &key),
            credentials: &self.service.credentials,
            scope: self.service.scope(BANK_SCOPE),
            progress: Sending::of(upload.length())?,
            upload: &upload,
            attempts: self.attempts,
        };
        let answer = delivery.deliver().await;
        delivery.progress.bar.finish_and_clear();
        receipt::show(&answer?, self.service.json)
    }

    /// The call, still without token and body.
    fn request(&self, client: &Client, key: &HeaderValue) -> RequestBuilder {
        let path = format!("/v2/financialInstitutions/{}/relationships", self.bank);
        let set = self.service.address(&path);
        let request = match self.changes {
            true => client.post(format!("{set}/changes")),
            false => client.put(set),
        };
        let mut query = Vec::new();
        query.extend(self.register.clone().map(|register| ("register", register)));
        query.extend(self.max_rejects.map(|bound| ("maxRejects", bound.to_string())));
        query.extend(self.confirm_shrink.then(|| ("confirmShrink", "true".to_owned())));
        let request = request
            .query(&query)
            .header(CONTENT_TYPE, "application/x-ndjson")
            .header("Idempotency-Key", key);
        match self.sequence {
            Some(number) => request.header("Delivery-Sequence", number.to_string()),
            None => request,
        }
    }
}
