//! One fetch of the issuer's keys over HTTP.

use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde_json::Value;

use crate::access::keys::{InvalidKeySet, Keys, listed};
use crate::access::outbound::{self, InvalidAddress, IssuerAddress, IssuerClient, OutboundError};
use crate::access::unique_json;

/// Longest discovery document or key set taken, in bytes.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
/// Longest name of another issuer that is told.
const MOST_NAME_CHARS: usize = 200;
/// Where RFC 8414 documents stand, below an issuer's name that ends in a slash.
const WELL_KNOWN_PATH: &str = ".well-known/oauth-authorization-server";

/// Where the keys are found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// The key set itself.
    JwksUri(IssuerAddress),
    /// A discovery document (RFC 8414) that names the key set. Read anew at every fetch.
    WellKnown(IssuerAddress),
}

impl KeySource {
    /// The discovery document where the issuer's name says it is.
    ///
    /// # Errors
    /// When the issuer's name is no permitted address.
    pub fn of_issuer(issuer: &str) -> Result<Self, InvalidAddress> {
        let slash = if issuer.ends_with('/') { "" } else { "/" };
        IssuerAddress::parse(&format!("{issuer}{slash}{WELL_KNOWN_PATH}")).map(Self::WellKnown)
    }
}

/// Why a fetch failed.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("{address} answered with status {status}")]
    Status { address: String, status: StatusCode },
    #[error("{address} gave a discovery document that {reason}")]
    Discovery { address: String, reason: String },
    #[error("{address} gave the discovery document of another issuer, {named:?}")]
    OtherIssuer { address: String, named: String },
    #[error("{address} gave a discovery document whose `jwks_uri` {cause}")]
    JwksAddress { address: String, cause: InvalidAddress },
    #[error("{address}: {cause}")]
    Keys { address: String, cause: InvalidKeySet },
}

pub(super) struct Fetcher {
    client: IssuerClient,
    source: KeySource,
    issuer: String,
}

impl Fetcher {
    pub fn new(source: KeySource, issuer: &str, timeout: Duration) -> Result<Self, OutboundError> {
        Ok(Self {
            client: IssuerClient::new(timeout)?,
            source,
            issuer: issuer.to_owned(),
        })
    }

    pub async fn fetch(&self) -> Result<Keys, FetchError> {
        let address = match &self.source {
            KeySource::JwksUri(address) => address.clone(),
            KeySource::WellKnown(address) => self.jwks_uri(address, &self.get(address).await?)?,
        };
        let document = self.get(&address).await?;
        let read = Keys::parse(&document).map_err(|cause| FetchError::Keys {
            address: address.as_str().to_owned(),
            cause,
        })?;
        if !read.skipped.is_empty() {
            tracing::warn!(
                address = address.as_str(),
                skipped = read.skipped.len(),
                keys = listed(&read.skipped),
                "the issuer's key set holds keys that are not trusted here"
            );
        }
        Ok(read.keys)
    }

    fn jwks_uri(&self, at: &IssuerAddress, discovery: &[u8]) -> Result<IssuerAddress, FetchError> {
        let address = || at.as_str().to_owned();
        let refused = |reason: String| FetchError::Discovery {
            address: address(),
            reason,
        };
        let members = unique_json::parse_object(discovery)
            .map_err(|cause| refused(format!("is not one JSON object without doubled members: {cause}")))?;
        let text = |name: &str| {
            let text = members.get(name).and_then(Value::as_str);
            text.ok_or_else(|| refused(format!("has no text `{name}`")))
        };
        let issuer = text("issuer")?;
        if issuer != self.issuer {
            return Err(FetchError::OtherIssuer {
                address: address(),
                named: issuer.chars().take(MOST_NAME_CHARS).collect(),
            });
        }
        IssuerAddress::parse(text("jwks_uri")?).map_err(|cause| FetchError::JwksAddress {
            address: address(),
            cause,
        })
    }

    async fn get(&self, address: &IssuerAddress) -> Result<Vec<u8>, FetchError> {
        match outbound::send(self.client.request(Method::GET, address), MAX_DOCUMENT_BYTES).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(FetchError::Status {
                address: address.as_str().to_owned(),
                status,
            }),
        }
    }
}

#[cfg(test)]
mod tests;
