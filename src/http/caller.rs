//! Authorisation as a parameter: a handler that takes a [`LookupCaller`] cannot forget to ask for it.

use super::answer::Rejection;
use super::error::Problem;
use super::request::arrival_of;
use crate::access::authenticator::{AuthenticationError, Authenticator};
use crate::access::caller::{Caller, Scope};
use crate::audit::{Conclusion, Endpoint};
use crate::domain::identifiers::OrganizationNumber;
use crate::register::lookup::{AccountAnswer, Lookup, ParticipantStatus, Refusal, RelationshipsAnswer};
use actix_web::dev::Payload;
use actix_web::http::header;
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

/// The scopes that open each kind of operation; any one of a list is enough (`access.scopes`).
#[derive(Debug, Clone)]
pub struct RequiredScopes {
    pub customer_relationships: Vec<Scope>,
    pub account_servicing_provider: Vec<Scope>,
    pub write: Vec<Scope>,
}

/// An operation for agencies.
pub trait LookupOperation: 'static {
    type Answer: 'static;
    const ENDPOINT: Endpoint;
    fn scopes(required: &RequiredScopes) -> &[Scope];
}

/// `customerRelationships`.
pub struct CustomerRelationships;
/// `accountServicingProvider`.
pub struct AccountServicingProvider;
/// `participants`.
pub struct ListParticipants;

impl LookupOperation for CustomerRelationships {
    type Answer = RelationshipsAnswer;
    const ENDPOINT: Endpoint = Endpoint::CustomerRelationships;
    fn scopes(required: &RequiredScopes) -> &[Scope] {
        &required.customer_relationships
    }
}

impl LookupOperation for AccountServicingProvider {
    type Answer = AccountAnswer;
    const ENDPOINT: Endpoint = Endpoint::AccountServicingProvider;
    fn scopes(required: &RequiredScopes) -> &[Scope] {
        &required.account_servicing_provider
    }
}

impl LookupOperation for ListParticipants {
    type Answer = Vec<ParticipantStatus>;
    const ENDPOINT: Endpoint = Endpoint::Participants;
    fn scopes(required: &RequiredScopes) -> &[Scope] {
        &required.customer_relationships
    }
}

/// An agency whose token holds and has a scope of the operation `O`.
pub struct LookupCaller<O> {
    caller: Arc<Caller>,
    operation: PhantomData<O>,
}

impl<O> std::ops::Deref for LookupCaller<O> {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

/// Who called, for the log line and the metrics of the request.
#[derive(Debug, Clone, Copy)]
pub struct NotedConsumer(pub OrganizationNumber);

impl<O: LookupOperation> FromRequest for LookupCaller<O>
where
    Result<O::Answer, Refusal>: Conclusion,
{
    type Error = Rejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Rejection>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = authenticate(&request).await.map_err(|cause| {
                count_refusal("authentication");
                Rejection::unauthenticated(&request, Problem::not_authenticated(&cause))
            })?;
            if caller.system_user.is_some() {
                count_refusal("system_user");
                return Err(Rejection::unauthenticated(
                    &request,
                    Problem::system_user_not_admitted(),
                ));
            }
            let (lookup, required) = (service::<Lookup>(&request)?, service::<RequiredScopes>(&request)?);
            if caller.scopes.has_any(O::scopes(required)) {
                return Ok(Self {
                    caller,
                    operation: PhantomData,
                });
            }
            count_refusal("scope");
            let refused =
                lookup.refuse::<O::Answer>(O::ENDPOINT, &caller, arrival_of(&request), Refusal::MissingScope);
            let refused = refused.await;
            Err(Rejection::recorded(
                refused,
                &request,
                Problem::UNAVAILABLE,
                |_| Problem::from(&Refusal::MissingScope),
            ))
        })
    }
}

/// Verifies the request's token.
pub async fn authenticate(request: &HttpRequest) -> Result<Arc<Caller>, AuthenticationError> {
    let Some(authenticator) = request.app_data::<Data<Authenticator>>() else {
        return Err(AuthenticationError::KeysUnavailable);
    };
    let mut values = request.headers().get_all(header::AUTHORIZATION);
    let text = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    };
    let caller = authenticator.authenticate(text).await?;
    request.extensions_mut().insert(NotedConsumer(caller.consumer));
    Ok(caller)
}

/// A part of the server that `routes` hands to the handlers.
pub fn service<T: 'static>(request: &HttpRequest) -> Result<&T, Rejection> {
    let service = request.app_data::<Data<T>>().map(|data| data.get_ref());
    service.ok_or_else(|| Rejection::unauthenticated(request, Problem::DEFECT))
}

/// Counts a refusal by its reason.
pub fn count_refusal(reason: &'static str) {
    metrics::counter!("kundeforhold_refusals_total", "reason" => reason).increment(1);
}
