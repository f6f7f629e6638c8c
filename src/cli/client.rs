//! What the clients of the service share: how they are let in, and how they read a refusal.

use super::Failure;
use crate::access::grant::{GrantError, GrantRequest, fetch_token};
use crate::access::outbound::{InvalidAddress, IssuerAddress};
use crate::text::shown::shown;
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
    #[error("{path} is empty: there is no token in it")]
    Empty { path: String },
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
            Self::Missing
            | Self::Unreadable { .. }
            | Self::Empty { .. }
            | Self::Endpoint(_)
            | Self::Grant(_) => false,
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
            if token.trim().is_empty() {
                return Err(TokenError::Empty {
                    path: "--token, or KUNDEFORHOLD_TOKEN,".to_owned(),
                });
            }
            return Ok(token.clone());
        }
        if let Some(file) = &self.token_file {
            return match read(file)?.trim() {
                "" => Err(TokenError::Empty {
                    path: file.display().to_string(),
                }),
                token => Ok(token.to_owned()),
            };
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
    shown(&text).into_owned()
}

/// What the service said, as a sentence, and what to look at where that is known.
pub fn refused(status: StatusCode, body: &Value) -> Failure {
    let number = status.as_u16();
    if body.get("errorCode").is_none() {
        return Failure::Refused(format!(
            "the answer with status {number} is none of the service's; is --url its public port?"
        ));
    }
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
    let hint = match status {
        StatusCode::UNAUTHORIZED => {
            "\nThe token is not good, or no longer: tokens live for some minutes. With --client-id, --key and \
             --token-endpoint each call gets a fresh one."
        }
        _ => "",
    };
    Failure::Refused(format!(
        "{number} {code} {message}{details} (correlationID {correlation}){hint}"
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
            "409 KFR-011 Conflict\\u{1b}[2J; register is being\\u{d}\\u{a}delivered.;  (correlationID )"
        );
        assert_eq!(
            refused(StatusCode::BAD_GATEWAY, &Value::Null).to_string(),
            "the answer with status 502 is none of the service's; is --url its public port?"
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
