//! What the clients of the service share: how they are let in, and how they read a refusal.

use super::Failure;
use crate::access::grant::{GrantError, GrantRequest, fetch_token};
use crate::access::outbound::{InvalidAddress, IssuerAddress};
use reqwest::StatusCode;
use serde_json::Value;
use std::path::{Path, PathBuf};

/// How to be let in: a token, or the means to get one.
#[derive(clap::Args)]
pub struct Credentials {
    /// An access token; or a file that holds one; or the options below to get one by the JWT grant
    #[arg(long, env = "KUNDEFORHOLD_TOKEN", hide_env_values = true, conflicts_with_all = ["token_file", "client_id", "key", "token_endpoint"])]
    token: Option<String>,
    /// A file that holds an access token, which keeps it out of the process list
    #[arg(long, value_name = "FILE", conflicts_with_all = ["client_id", "key", "token_endpoint"])]
    token_file: Option<PathBuf>,
    /// Client id at Maskinporten
    #[arg(long, requires_all = ["key", "token_endpoint"])]
    client_id: Option<String>,
    /// The client's private key, PEM
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    /// The key's id, if it is registered with one
    #[arg(long)]
    key_id: Option<String>,
    /// Maskinporten's token endpoint
    #[arg(long)]
    token_endpoint: Option<String>,
    /// The issuer's name, which the grant is addressed to. By default the host of the token endpoint
    #[arg(long)]
    issuer: Option<String>,
}

/// Why there is no token to call with.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    #[error("either --token, --token-file, or --client-id with --key and --token-endpoint")]
    Missing,
    #[error("{path} cannot be read: {cause}")]
    Unreadable { path: String, cause: std::io::Error },
    #[error("--token-endpoint {0}")]
    Endpoint(#[from] InvalidAddress),
    #[error(transparent)]
    Grant(#[from] GrantError),
}

impl TokenError {
    /// Whether another try may succeed: the issuer did not answer, or not in earnest.
    pub fn may_pass(&self) -> bool {
        match self {
            Self::Grant(GrantError::Outbound(_)) => true,
            Self::Grant(GrantError::Refused { status, .. }) => {
                StatusCode::from_u16(*status).is_ok_and(is_passing)
            }
            Self::Missing | Self::Unreadable { .. } | Self::Endpoint(_) | Self::Grant(_) => false,
        }
    }
}

/// Whether a refusal says: not now.
pub fn is_passing(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::REQUEST_TIMEOUT
            | StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

impl Credentials {
    /// The token that was given, or a fresh one with these scopes.
    pub async fn token(&self, scope: &str) -> Result<String, TokenError> {
        if let Some(token) = &self.token {
            return Ok(token.clone());
        }
        if let Some(file) = &self.token_file {
            return Ok(read(file)?.trim().to_owned());
        }
        let given = |option: &'_ Option<String>| option.clone().ok_or(TokenError::Missing);
        let client_id = given(&self.client_id)?;
        let token_endpoint = IssuerAddress::parse(&given(&self.token_endpoint)?)?;
        let issuer = self.issuer.clone().unwrap_or_else(|| token_endpoint.issuer());
        let key_pem = read(self.key.as_ref().ok_or(TokenError::Missing)?)?;
        let request = GrantRequest {
            token_endpoint: &token_endpoint,
            issuer: &issuer,
            client_id: &client_id,
            key_pem: &key_pem,
            kid: self.key_id.as_deref(),
            scope,
        };
        Ok(fetch_token(&request).await?)
    }
}

fn read(path: &Path) -> Result<String, TokenError> {
    crate::text::read_file(path).map_err(|cause| TokenError::Unreadable {
        path: path.display().to_string(),
        cause,
    })
}

/// A field of an answer as text that is safe to show on a terminal, a list with commas; empty if it is not there.
pub fn text(object: &Value, name: &str) -> String {
    let text = match object.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => {
            let items = items
                .iter()
                .map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
            items.collect::<Vec<_>>().join(", ")
        }
        Some(value) => value.to_string(),
    };
    text.chars().filter(|character| !character.is_control()).collect()
}

/// What the service said, as a sentence.
pub fn refused(status: StatusCode, body: &Value) -> Failure {
    let details = body
        .get("details")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let details: String = details
        .map(|detail| format!("; {}", text(detail, "reason")))
        .collect();
    let (code, message) = (text(body, "errorCode"), text(body, "errorMessage"));
    let correlation = text(body, "correlationID");
    Failure::Refused(format!(
        "{} {code} {message}{details} (correlationID {correlation})",
        status.as_u16()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_the_service_says_cannot_move_the_cursor() {
        let body = json!({
            "errorCode": "KFR-011", "errorMessage": "Conflict\u{1b}[2J", "correlationID": null,
            "details": [{"parameter": "register", "reason": "register is being\r\ndelivered."}, {"parameter": 7}],
        });
        assert_eq!(
            refused(StatusCode::CONFLICT, &body).to_string(),
            "409 KFR-011 Conflict[2J; register is beingdelivered.;  (correlationID )"
        );
        assert_eq!(
            refused(StatusCode::BAD_GATEWAY, &Value::Null).to_string(),
            "502   (correlationID )"
        );
    }

    #[test]
    fn only_not_now_is_passing() {
        let passing: Vec<u16> = (100..600)
            .filter(|status| is_passing(StatusCode::from_u16(*status).unwrap()))
            .collect();
        assert_eq!(passing, [408, 429, 502, 503, 504]);
    }
}
