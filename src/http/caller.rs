//! Authorisation as a parameter: a handler that takes a [`LookupCaller`] cannot forget to ask for it.

use super::answer::Rejection;
use super::error::Problem;
use super::request::arrival_of;
use crate::access::authenticator::{AuthenticationError, Authenticator};
use crate::access::caller::Caller;
use crate::access::limits::OverLimit;
use crate::access::terms::{LookupEndpoint, TermsInForce};
use crate::domain::identifiers::OrganizationNumber;
use crate::record::{Conclusion, Endpoint};
use crate::register::lookup::{
    AccountAnswer, Lookup, OwnServices, ParticipantStatus, Refusal, RelationshipsAnswer,
};
use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage, HttpRequest};
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

/// An operation for agencies.
pub trait LookupOperation: 'static {
    type Answer: 'static;
    const ENDPOINT: Endpoint;
    /// Whether a scope of the caller opens it: a general one, or the own scope of one of its services.
    fn is_open_to(caller: &Caller, terms: &TermsInForce) -> bool;
    /// Whose scopes are told to a caller that has none of them.
    const OPENED_AS: LookupEndpoint = LookupEndpoint::CustomerRelationships;
}

/// `customerRelationships`.
pub struct CustomerRelationships;
/// `accountServicingProvider`.
pub struct AccountServicingProvider;
/// `participants`.
pub struct ListParticipants;
/// `services`.
pub struct ListServices;

impl LookupOperation for CustomerRelationships {
    type Answer = RelationshipsAnswer;
    const ENDPOINT: Endpoint = Endpoint::CustomerRelationships;
    fn is_open_to(caller: &Caller, terms: &TermsInForce) -> bool {
        has_scope(caller, terms, LookupEndpoint::CustomerRelationships)
    }
}

impl LookupOperation for AccountServicingProvider {
    type Answer = AccountAnswer;
    const ENDPOINT: Endpoint = Endpoint::AccountServicingProvider;
    const OPENED_AS: LookupEndpoint = LookupEndpoint::AccountServicingProvider;
    fn is_open_to(caller: &Caller, terms: &TermsInForce) -> bool {
        has_scope(caller, terms, LookupEndpoint::AccountServicingProvider)
    }
}

impl LookupOperation for ListParticipants {
    type Answer = Vec<ParticipantStatus>;
    const ENDPOINT: Endpoint = Endpoint::Participants;
    fn is_open_to(caller: &Caller, terms: &TermsInForce) -> bool {
        terms.has_general_scope(caller, LookupEndpoint::CustomerRelationships)
    }
}

impl LookupOperation for ListServices {
    type Answer = OwnServices;
    const ENDPOINT: Endpoint = Endpoint::Services;
    fn is_open_to(caller: &Caller, terms: &TermsInForce) -> bool {
        terms.has_general_scope(caller, LookupEndpoint::CustomerRelationships)
            || terms.has_any_own_scope(caller)
    }
}

fn has_scope(caller: &Caller, terms: &TermsInForce, endpoint: LookupEndpoint) -> bool {
    terms.has_general_scope(caller, endpoint) || terms.has_own_scope(caller, endpoint)
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

/// Who called, for the log line of the request.
#[derive(Debug, Clone, Copy)]
pub struct NotedConsumer(pub OrganizationNumber);

/// The caller may use the operation, so that its number may be a label of metrics: any organisation at all can have
/// a token, and each label is kept for good.
#[derive(Debug, Clone, Copy)]
pub struct Admitted;

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
            let lookup = service::<Lookup>(&request)?;
            if let Some(over) = refused_too_often(lookup, &request, caller.consumer) {
                return Err(Rejection::turned_away(&request, Problem::too_many(over)));
            }
            if O::is_open_to(&caller, lookup.terms()) {
                request.extensions_mut().insert(Admitted);
                return Ok(Self {
                    caller,
                    operation: PhantomData,
                });
            }
            count_refusal("scope");
            let refusal = Refusal::MissingScope(lookup.terms().scopes_for(&caller, O::OPENED_AS));
            let problem = Problem::from(&refusal);
            let refused = lookup.refuse::<O::Answer>(O::ENDPOINT, &caller, arrival_of(&request), refusal);
            let refused = Box::pin(refused).await;
            Err(Rejection::recorded(
                refused,
                &request,
                Problem::UNAVAILABLE,
                |_| problem,
            ))
        })
    }
}

/// Verifies the request's token.
pub async fn authenticate(request: &HttpRequest) -> Result<Arc<Caller>, AuthenticationError> {
    let Some(authenticator) = request.app_data::<Data<Authenticator>>() else {
        return Err(AuthenticationError::KeysUnavailable);
    };
    let caller = authenticator
        .authenticate(authorization(request.headers()))
        .await?;
    request.extensions_mut().insert(NotedConsumer(caller.consumer));
    Ok(caller)
}

/// `Authorization`, if it is there. What is there twice, or no text, is nothing that can be read.
pub fn authorization(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(header::AUTHORIZATION);
    match (values.next()?, values.next()) {
        (value, None) => Some(std::str::from_utf8(value.as_bytes()).unwrap_or_default()),
        (_, Some(_)) => Some(""),
    }
}

/// Whether a consumer was refused so often in this minute that nothing else of its call is looked at.
pub fn refused_too_often(
    lookup: &Lookup,
    request: &HttpRequest,
    consumer: OrganizationNumber,
) -> Option<OverLimit> {
    let refusals = lookup.limits().refusals();
    let retry_after = refusals.admit(consumer, arrival_of(request).at).err()?;
    count_refusal("refusals");
    Some(OverLimit::Refusals { retry_after })
}

/// A part of the server that `routes` hands to the handlers.
pub fn service<T: 'static>(request: &HttpRequest) -> Result<&T, Rejection> {
    let service = request.app_data::<Data<T>>().map(|data| data.get_ref());
    service.ok_or_else(|| Rejection::defect(request))
}

/// Counts a refusal by its reason.
pub fn count_refusal(reason: &'static str) {
    metrics::counter!("kundeforhold_refusals_total", "reason" => reason).increment(1);
}
