//! The stand-in's routes.

use actix_web::{HttpResponse, web};
use chrono::Utc;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::assertion::Assertion;
use super::claims::Grant;
use super::{Issuer, TOKEN_SECONDS};
use crate::access::grant::GRANT_TYPE;
use crate::domain::identifiers::OrganizationNumber;

pub(super) fn configure(app: &mut web::ServiceConfig) {
    app.route(
        "/.well-known/oauth-authorization-server",
        web::get().to(discovery),
    )
    .route("/jwk", web::get().to(jwk))
    .route("/token", web::post().to(token))
    .route("/sandbox/token", web::get().to(sandbox_token));
}

async fn discovery(issuer: web::Data<Issuer>) -> HttpResponse {
    HttpResponse::Ok().json(json!({
        "issuer": issuer.name(),
        "token_endpoint": issuer.token_endpoint().as_str(),
        "jwks_uri": issuer.jwks_uri(),
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "grant_types_supported": [GRANT_TYPE],
        "token_endpoint_auth_signing_alg_values_supported": ["RS256"],
    }))
}

async fn jwk(issuer: web::Data<Issuer>) -> HttpResponse {
    HttpResponse::Ok().json(json!({"keys": [issuer.0.signing_key.jwk()]}))
}

#[derive(Deserialize)]
struct TokenRequest {
    grant_type: String,
    assertion: String,
}

async fn token(
    issuer: web::Data<Issuer>,
    form: Result<web::Form<TokenRequest>, actix_web::Error>,
) -> HttpResponse {
    let granted = form
        .map_err(|_| {
            OauthError::new(
                "invalid_request",
                "a form with grant_type and assertion is wanted",
            )
        })
        .and_then(|request| grant(&issuer, &request));
    answer(granted)
}

#[derive(Deserialize)]
struct SandboxRequest {
    client: String,
    scope: Option<String>,
}

/// A token without any proof. The real issuer has no such route.
async fn sandbox_token(
    issuer: web::Data<Issuer>,
    query: Result<web::Query<SandboxRequest>, actix_web::Error>,
) -> HttpResponse {
    let granted = query
        .map_err(|_| OauthError::new("invalid_request", "?client=NAME is wanted"))
        .and_then(|request| {
            let client = issuer.client(&request.client).ok_or(OauthError::UNKNOWN_CLIENT)?;
            let grant = match &request.scope {
                None => Grant::to(client),
                Some(scope) => Grant::to(client).narrowed_to(scope).ok_or(OauthError::SCOPE)?,
            };
            Granted::by(&issuer, &grant)
        });
    answer(granted)
}

fn grant(issuer: &Issuer, request: &TokenRequest) -> Result<Granted, OauthError> {
    if request.grant_type != GRANT_TYPE {
        return Err(OauthError::new("unsupported_grant_type", GRANT_TYPE));
    }
    let now = Utc::now().timestamp() as f64;
    let key = issuer.0.client_key.decoding_key();
    let invalid_grant = |reason| OauthError::new("invalid_grant", reason);
    let assertion = Assertion::verify(&request.assertion, &key, issuer.name(), now).map_err(invalid_grant)?;
    let client = issuer.client(&assertion.iss).ok_or(OauthError::UNKNOWN_CLIENT)?;
    issuer
        .0
        .seen_assertions
        .note(&assertion, now)
        .map_err(invalid_grant)?;
    let mut grant = Grant::to(client)
        .narrowed_to(&assertion.scope)
        .ok_or(OauthError::SCOPE)?;
    if let Some(consumer) = &assertion.consumer_org {
        let consumer = OrganizationNumber::parse(consumer)
            .map_err(|_| OauthError::new("invalid_request", "consumer_org is no organisation number"))?;
        grant = grant.on_behalf_of(consumer);
    }
    Granted::by(issuer, &grant.for_audience(assertion.resource))
}

#[derive(Serialize)]
struct Granted {
    access_token: String,
    token_type: &'static str,
    /// In seconds; one less than the lifetime, as Maskinporten says it.
    expires_in: i64,
    scope: String,
}

impl Granted {
    fn by(issuer: &Issuer, grant: &Grant<'_>) -> Result<Self, OauthError> {
        let access_token = issuer
            .sign(grant, TOKEN_SECONDS)
            .map_err(|_| OauthError::new("server_error", "the token could not be signed"))?;
        Ok(Self {
            access_token,
            token_type: "Bearer",
            expires_in: TOKEN_SECONDS - 1,
            scope: grant.scope().to_owned(),
        })
    }
}

/// The error of RFC 6749, section 5.2.
#[derive(Serialize)]
struct OauthError {
    error: &'static str,
    error_description: &'static str,
}

impl OauthError {
    const UNKNOWN_CLIENT: Self = Self::new("invalid_client", "no such client is registered");
    const SCOPE: Self = Self::new("invalid_scope", "the client does not have that scope");

    const fn new(error: &'static str, error_description: &'static str) -> Self {
        Self {
            error,
            error_description,
        }
    }
}

fn answer(granted: Result<Granted, OauthError>) -> HttpResponse {
    match granted {
        Ok(granted) => HttpResponse::Ok()
            .insert_header(("Cache-Control", "no-store"))
            .json(granted),
        Err(error) => HttpResponse::BadRequest().json(error),
    }
}
