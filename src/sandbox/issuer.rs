//! A stand-in for Maskinporten, on loopback only: discovery, key set, and tokens by the JWT grant.
//!
//! It signs what its clients ask for with a key made at start. `GET /sandbox/token` hands out tokens
//! without any proof; nothing like it exists at Maskinporten.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Server;
use actix_web::{App, HttpServer, web};
use chrono::Utc;

use crate::access::outbound::{InvalidAddress, IssuerAddress};
use crate::domain::identifiers::OrganizationNumber;
use assertion::SeenAssertions;
use claims::Grant;
use signing_key::SigningKey;

mod assertion;
mod claims;
mod routes;
mod signing_key;

/// Lifetime of a token got over HTTP, in seconds, as Maskinporten gives it here.
pub const TOKEN_SECONDS: i64 = 120;

/// A client registered with the stand-in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Client {
    pub client_id: String,
    /// The organisation that owns the client, and on whose behalf it asks unless told otherwise.
    pub consumer: OrganizationNumber,
    /// A supplier that calls for the consumer in every token of this client.
    pub supplier: Option<OrganizationNumber>,
    /// What the client may ask for; a token asked for without naming scopes has them all.
    pub scopes: Vec<String>,
    /// Makes every token one for a system user owned by this organisation.
    pub system_user: Option<OrganizationNumber>,
}

impl Client {
    /// A client that asks for its own organisation.
    pub fn new(client_id: &str, consumer: OrganizationNumber, scopes: &[&str]) -> Self {
        Self {
            client_id: client_id.to_owned(),
            consumer,
            supplier: None,
            scopes: scopes.iter().map(|scope| (*scope).to_owned()).collect(),
            system_user: None,
        }
    }
}

/// Why the stand-in does not start or sign.
#[derive(Debug, thiserror::Error)]
pub enum IssuerError {
    #[error("the stand-in issuer listens on loopback only")]
    NotLoopback,
    #[error("the stand-in issuer cannot listen: {0}")]
    Listen(#[from] io::Error),
    #[error("the stand-in issuer's own address {0}")]
    Address(#[from] InvalidAddress),
    #[error("a key could not be made or used")]
    Key,
    #[error("the stand-in issuer knows no such client")]
    UnknownClient,
}

/// The stand-in. Clones are the same issuer.
#[derive(Clone)]
pub struct Issuer(Arc<State>);

struct State {
    /// With its trailing slash.
    name: String,
    token_endpoint: IssuerAddress,
    signing_key: SigningKey,
    /// One pair shared by all clients, so that a start stays quick.
    client_key: SigningKey,
    clients: Vec<Client>,
    seen_assertions: SeenAssertions,
}

impl Issuer {
    /// Binds `listen` (port 0: any free one) and makes the keys. The server runs once it is awaited or
    /// spawned, and stops through its `handle()`; it takes no signals.
    ///
    /// # Errors
    /// When the address is not on loopback or is taken, or no key can be made.
    pub fn bind(listen: SocketAddr, clients: Vec<Client>) -> Result<(Self, Server), IssuerError> {
        if !listen.ip().is_loopback() {
            return Err(IssuerError::NotLoopback);
        }
        let listener = TcpListener::bind(listen)?;
        let name = format!("http://{}/", listener.local_addr()?);
        let issuer = Self(Arc::new(State {
            token_endpoint: IssuerAddress::parse(&format!("{name}token"))?,
            name,
            signing_key: SigningKey::generate()?,
            client_key: SigningKey::generate()?,
            clients,
            seen_assertions: SeenAssertions::default(),
        }));
        let data = web::Data::new(issuer.clone());
        let server = HttpServer::new(move || App::new().app_data(data.clone()).configure(routes::configure))
            .workers(1)
            .disable_signals()
            .listen(listener)?
            .run();
        Ok((issuer, server))
    }

    /// The exact `iss` of its tokens: `http://ADDRESS:PORT/`.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    pub fn jwks_uri(&self) -> String {
        format!("{}jwk", self.name())
    }

    /// Where the JWT grant is taken.
    pub fn token_endpoint(&self) -> &IssuerAddress {
        &self.0.token_endpoint
    }

    /// The private key of every client, PEM (PKCS#8). For a file that only its owner reads.
    pub fn client_key_pem(&self) -> &str {
        self.0.client_key.pem()
    }

    /// A token with all the client's scopes, signed in this process.
    ///
    /// # Errors
    /// When there is no such client.
    pub fn token(&self, client_id: &str, lifetime: Duration) -> Result<String, IssuerError> {
        let client = self.client(client_id).ok_or(IssuerError::UnknownClient)?;
        let lifetime_seconds = i64::try_from(lifetime.as_secs()).unwrap_or(i64::MAX);
        self.sign(&Grant::to(client), lifetime_seconds)
    }

    fn client(&self, client_id: &str) -> Option<&Client> {
        self.0.clients.iter().find(|client| client.client_id == client_id)
    }

    fn sign(&self, grant: &Grant<'_>, lifetime_seconds: i64) -> Result<String, IssuerError> {
        let claims = grant.claims(self.name(), Utc::now().timestamp(), lifetime_seconds);
        self.0.signing_key.sign(&claims)
    }
}

#[cfg(test)]
mod tests;
