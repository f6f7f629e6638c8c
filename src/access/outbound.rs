//! Calls to the issuer: where they may go, how long they may take, how much they may bring.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Response, StatusCode, Url, redirect};

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// An address that keys and tokens may be fetched from: `https`, or `http` on loopback.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssuerAddress(Url);

/// Why an address is refused. Never carries the address, which may hold a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    #[error("is not an absolute address")]
    Shape,
    #[error("must be https (http on loopback only)")]
    Insecure,
    #[error("must not hold a user name or password")]
    Credentials,
}

impl IssuerAddress {
    /// Parses an absolute address.
    ///
    /// # Errors
    /// When it is none, holds credentials, or is neither `https` nor `http` on loopback
    /// (`127.0.0.0/8`, `::1`, `localhost`).
    pub fn parse(text: &str) -> Result<Self, InvalidAddress> {
        let url = Url::parse(text).map_err(|_| InvalidAddress::Shape)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(InvalidAddress::Credentials);
        }
        match url.scheme() {
            "https" => Ok(Self(url)),
            "http" if is_loopback(&url) => Ok(Self(url)),
            _ => Err(InvalidAddress::Insecure),
        }
    }

    /// The issuer whose token endpoint this is, by its host alone: Maskinporten's name is `https://maskinporten.no/`.
    pub fn issuer(&self) -> String {
        format!("{}/", self.0.origin().ascii_serialization())
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Why a call brought nothing.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    #[error("the call failed: {}", causes(.0))]
    Call(#[source] reqwest::Error),
    #[error("the answer is longer than {0} bytes")]
    TooLarge(usize),
}

impl From<reqwest::Error> for OutboundError {
    fn from(error: reqwest::Error) -> Self {
        Self::Call(error)
    }
}

/// The error with its causes, of which reqwest's own text shows none.
fn causes(error: &reqwest::Error) -> String {
    let first: &dyn std::error::Error = error;
    let chain = std::iter::successors(Some(first), |cause| cause.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// How long a peer may take no byte of a large body: it is busy. One that is gone is noticed by then.
const BUSY_TIMEOUT: Duration = Duration::from_secs(300);

/// A client that follows no redirect, heeds no proxy settings of the environment, and lets a call take
/// `timeout` at most, its answer included.
///
/// # Errors
/// When the system's TLS roots cannot be loaded.
pub fn client(timeout: Duration) -> Result<Client, OutboundError> {
    Ok(builder(timeout).no_proxy().build()?)
}

fn builder(timeout: Duration) -> ClientBuilder {
    Client::builder()
        .redirect(redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(timeout)
        .tcp_user_timeout(BUSY_TIMEOUT)
        .user_agent(concat!("kundeforhold/", env!("CARGO_PKG_VERSION")))
}

/// Calls the issuer: through the proxy that `HTTPS_PROXY` and `NO_PROXY` of the environment name, which is how many
/// networks let anything out; what is on this machine is called directly.
pub struct IssuerClient {
    direct: Client,
    outward: Client,
}

impl IssuerClient {
    /// Follows no redirect, and lets a call take `timeout` at most.
    ///
    /// # Errors
    /// When the system's TLS roots cannot be loaded.
    pub fn new(timeout: Duration) -> Result<Self, OutboundError> {
        Ok(Self {
            direct: client(timeout)?,
            outward: builder(timeout).build()?,
        })
    }

    /// A call, still to be completed and sent.
    pub fn request(&self, method: Method, address: &IssuerAddress) -> RequestBuilder {
        let client = match is_loopback(&address.0) {
            true => &self.direct,
            false => &self.outward,
        };
        client.request(method, address.0.clone())
    }
}

/// Sends a request and takes at most `max_bytes` of its answer.
pub(super) async fn send(
    request: RequestBuilder,
    max_bytes: usize,
) -> Result<(StatusCode, Vec<u8>), OutboundError> {
    let mut response = request.send().await?;
    let body = read(&mut response, max_bytes).await?;
    Ok((response.status(), body))
}

/// The body of an answer, of at most `max_bytes`.
///
/// # Errors
/// When it is longer, or does not come to its end.
pub async fn read(response: &mut Response, max_bytes: usize) -> Result<Vec<u8>, OutboundError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > max_bytes {
            return Err(OutboundError::TooLarge(max_bytes));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_loopback_only() {
        for text in [
            "https://maskinporten.no/",
            "http://127.0.0.1:8081/",
            "http://127.9.9.9/jwk",
            "http://[::1]:80/",
            "http://localhost:1/",
        ] {
            assert!(IssuerAddress::parse(text).is_ok(), "{text}");
        }
        for text in [
            "http://maskinporten.no/",
            "http://localhost.evil.example/",
            "http://127.0.0.1.evil.example/",
            "http://0.0.0.0/",
            "http://10.0.0.1/",
            "file:///etc/passwd",
            "ftp://127.0.0.1/",
        ] {
            assert_eq!(
                IssuerAddress::parse(text),
                Err(InvalidAddress::Insecure),
                "{text}"
            );
        }
    }

    #[test]
    fn addresses_hold_no_credentials() {
        for text in [
            "https://user@host/",
            "https://user:secret@host/",
            "http://127.0.0.1@evil.example/",
        ] {
            assert_eq!(
                IssuerAddress::parse(text),
                Err(InvalidAddress::Credentials),
                "{text}"
            );
        }
        for text in ["", "maskinporten.no", "/jwk", "https://"] {
            assert_eq!(IssuerAddress::parse(text), Err(InvalidAddress::Shape), "{text}");
        }
    }
}
