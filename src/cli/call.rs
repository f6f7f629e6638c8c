//! One call of the service's public API: where it is, how to be let in, what it answers.

use super::Failure;
use super::client::{Credentials, refused};
use crate::access::outbound;
use crate::config;
use comfy_table::Table;
use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder, StatusCode, Url};
use serde_json::Value;
use std::time::Duration;
use uuid::Uuid;

/// Longest wait for an answer, unless the command says otherwise.
const TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer taken, in bytes: 500 receipts, or 1,000 rejected lines with many faults each.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// What agencies ask for, unless they say otherwise.
pub const AGENCY_SCOPE: &str = "bits:kundeforhold";
/// And banks.
pub const BANK_SCOPE: &str = "bits:kundeforhold.write";

/// Where the service is, and how to be let in.
#[derive(clap::Args)]
pub struct Service {
    /// The service
    #[arg(long, default_value = "http://127.0.0.1:8080", value_parser = address)]
    url: String,
    #[command(flatten)]
    pub credentials: Credentials,
    /// The scope to ask for; default `bits:kundeforhold`, and for banks `bits:kundeforhold.write`
    #[arg(long)]
    scope: Option<String>,
    /// Prints the answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// The address of a service, or what is wrong with it.
pub fn address(text: &str) -> Result<String, String> {
    let scheme_is_known = text.starts_with("http://") || text.starts_with("https://");
    if !scheme_is_known {
        return Err(format!(
            "must begin with http:// or https://, such as http://{text}"
        ));
    }
    match Url::parse(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(cause) => Err(format!("is no address: {cause}")),
    }
}

impl Service {
    pub fn address(&self, path: &str) -> String {
        format!("{}{path}", self.url.trim_end_matches('/'))
    }

    /// The scope that was given, or this one.
    pub fn scope<'a>(&'a self, usual: &'a str) -> &'a str {
        self.scope.as_deref().unwrap_or(usual)
    }

    /// A call with a token that has this scope by default, still to be completed and [sent](answer).
    pub async fn request(&self, method: Method, path: &str, scope: &str) -> Result<RequestBuilder, Failure> {
        // Neither redirects nor proxies from the environment: an identifier may be in a header.
        let client = outbound::client(TIMEOUT)?;
        let request = client.request(method, self.address(path));
        Ok(request
            .bearer_auth(self.credentials.token(self.scope(scope)).await?)
            .header("CorrelationID", Uuid::new_v4().to_string()))
    }
}

/// What the service said, if it did what it was asked.
pub struct Answer {
    status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

/// Sends a request. A refusal is a failure that says what the service said.
pub async fn answer(request: RequestBuilder) -> Result<Answer, Failure> {
    let mut response = request.send().await?;
    let answer = Answer {
        status: response.status(),
        headers: response.headers().clone(),
        body: outbound::read(&mut response, MAX_ANSWER_BYTES).await?,
    };
    match answer.status.is_success() {
        true => Ok(answer),
        false => Err(refused(
            answer.status,
            &serde_json::from_slice(&answer.body).unwrap_or_default(),
        )),
    }
}

impl Answer {
    /// The body, which has a field of this name.
    pub fn with(&self, field: &str) -> Result<Value, Failure> {
        let body = serde_json::from_slice::<Value>(&self.body).ok();
        body.filter(|body| body.get(field).is_some()).ok_or_else(|| {
            Failure::Refused(format!(
                "the answer with status {} has no {field}; is --url the service?",
                self.status.as_u16()
            ))
        })
    }
}

/// An empty table, as all commands show theirs: as wide as the terminal at most.
pub fn table() -> Table {
    let mut table = Table::new();
    table
        .load_style(comfy_table::presets::UTF8_BORDERS_ONLY)
        .set_content_arrangement(comfy_table::ContentArrangement::Dynamic);
    if let Some(columns) = config::columns() {
        table.set_width(columns);
    }
    table
}

/// How wide what is shown may be: by the environment, or as the terminal is. `None`: it goes elsewhere.
pub fn width() -> Option<u16> {
    table().width()
}
