//! A client's side of Maskinporten's JWT grant (RFC 7523): a signed assertion for an access token.

use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::outbound::{self, IssuerAddress, IssuerClient, OutboundError};

/// The grant type of RFC 7523.
pub const GRANT_TYPE: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Lifetime of an assertion, in seconds. Maskinporten takes at most 120.
const ASSERTION_SECONDS: i64 = 60;
/// Longest time for the call.
const GRANT_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest answer taken, in bytes.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// How much of the issuer's own words an error repeats, in characters.
const MAX_REASON_CHARS: usize = 300;

/// What a client needs for a token. No `Debug`: it holds the private key.
pub struct GrantRequest<'a> {
    pub token_endpoint: &'a IssuerAddress,
    /// The issuer's exact name, which the assertion is made out to.
    pub issuer: &'a str,
    pub client_id: &'a str,
    /// The client's RSA private key, PEM (PKCS#8 or PKCS#1).
    pub key_pem: &'a str,
    /// The key's id at the issuer, where the client has registered a key set.
    pub kid: Option<&'a str>,
    /// The scopes wanted, separated by blanks.
    pub scope: &'a str,
}

/// Why there is no token.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    #[error("the client's key is not an RSA private key in PEM form")]
    Key,
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("the issuer refused with status {status}: {reason}")]
    Refused { status: u16, reason: String },
    #[error("the issuer's answer holds no access token")]
    Answer,
}

/// Gets an access token.
///
/// # Errors
/// When the key cannot sign, the issuer cannot be reached within 10 s, or it refuses.
pub async fn fetch_token(request: &GrantRequest<'_>) -> Result<String, GrantError> {
    let assertion = assertion(request)?;
    let grant_type = utf8_percent_encode(GRANT_TYPE, NON_ALPHANUMERIC);
    let call = IssuerClient::new(GRANT_TIMEOUT)?
        .request(Method::POST, request.token_endpoint)
        .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(format!("grant_type={grant_type}&assertion={assertion}"));
    let (status, body) = outbound::send(call, MAX_ANSWER_BYTES).await?;
    if !status.is_success() {
        return Err(GrantError::Refused {
            status: status.as_u16(),
            reason: reason(&body),
        });
    }
    serde_json::from_slice::<Granted>(&body)
        .map(|granted| granted.access_token)
        .map_err(|_| GrantError::Answer)
}

#[derive(Serialize)]
struct Assertion<'a> {
    iss: &'a str,
    aud: &'a str,
    scope: &'a str,
    iat: i64,
    exp: i64,
    jti: Uuid,
}

fn assertion(request: &GrantRequest<'_>) -> Result<String, GrantError> {
    let iat = chrono::Utc::now().timestamp();
    let claims = Assertion {
        iss: request.client_id,
        aud: request.issuer,
        scope: request.scope,
        iat,
        exp: iat + ASSERTION_SECONDS,
        jti: Uuid::new_v4(),
    };
    let header = Header {
        kid: request.kid.map(str::to_owned),
        ..Header::new(Algorithm::RS256)
    };
    let key = EncodingKey::from_rsa_pem(request.key_pem.as_bytes()).map_err(|_| GrantError::Key)?;
    jsonwebtoken::encode(&header, &claims, &key).map_err(|_| GrantError::Key)
}

#[derive(Deserialize)]
struct Granted {
    access_token: String,
}

/// The OAuth error of RFC 6749, section 5.2.
#[derive(Deserialize)]
struct Refusal {
    error: String,
    #[serde(default)]
    error_description: String,
}

/// What the issuer says of its refusal, cut short.
fn reason(body: &[u8]) -> String {
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) => {
            let text = format!("{} {}", refusal.error, refusal.error_description);
            text.trim_end()
                .chars()
                .filter(|c| !c.is_control())
                .take(MAX_REASON_CHARS)
                .collect()
        }
        Err(_) => "no OAuth error in the answer".to_owned(),
    }
}
