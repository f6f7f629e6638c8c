//! One fetch of the issuer's keys over HTTP.

use std::time::Duration;

use reqwest::{Client, StatusCode};
use serde_json::Value;

use crate::access::keys::{InvalidKeySet, Keys};
use crate::access::outbound::{self, InvalidAddress, IssuerAddress, OutboundError};
use crate::access::unique_json;

/// Longest discovery document or key set taken, in bytes.
const MAX_DOCUMENT_BYTES: usize = 256 * 1024;
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
    #[error("the issuer answered with status {0}")]
    Status(StatusCode),
    #[error("the discovery document is not JSON with `issuer` and `jwks_uri`")]
    Discovery,
    #[error("the discovery document is another issuer's")]
    OtherIssuer,
    #[error("the discovery document's `jwks_uri` {0}")]
    JwksAddress(#[from] InvalidAddress),
    #[error(transparent)]
    Keys(#[from] InvalidKeySet),
}

pub(super) struct Fetcher {
    client: Client,
    source: KeySource,
    issuer: String,
}

impl Fetcher {
    pub fn new(source: KeySource, issuer: &str, timeout: Duration) -> Result<Self, OutboundError> {
        Ok(Self {
            client: outbound::client(timeout)?,
            source,
            issuer: issuer.to_owned(),
        })
    }

    pub async fn fetch(&self) -> Result<Keys, FetchError> {
        let document = match &self.source {
            KeySource::JwksUri(address) => self.get(address).await?,
            KeySource::WellKnown(address) => {
                let jwks_uri = self.jwks_uri(&self.get(address).await?)?;
                self.get(&jwks_uri).await?
            }
        };
        let read = Keys::parse(&document)?;
        if read.skipped > 0 || read.ambiguous > 0 {
            let (skipped, ambiguous) = (read.skipped, read.ambiguous);
            tracing::warn!(
                skipped,
                ambiguous,
                "the issuer's key set holds keys that are not trusted here"
            );
        }
        Ok(read.keys)
    }

    fn jwks_uri(&self, discovery: &[u8]) -> Result<IssuerAddress, FetchError> {
        let members = unique_json::parse_object(discovery).map_err(|_| FetchError::Discovery)?;
        let text = |name: &str| {
            members
                .get(name)
                .and_then(Value::as_str)
                .ok_or(FetchError::Discovery)
        };
        if text("issuer")? != self.issuer {
            return Err(FetchError::OtherIssuer);
        }
        Ok(IssuerAddress::parse(text("jwks_uri")?)?)
    }

    async fn get(&self, address: &IssuerAddress) -> Result<Vec<u8>, FetchError> {
        match outbound::send(self.client.get(address.url()), MAX_DOCUMENT_BYTES).await? {
            (StatusCode::OK, body) => Ok(body),
            (status, _) => Err(FetchError::Status(status)),
        }
    }
}

#[cfg(test)]
mod tests;
