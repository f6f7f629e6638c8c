//! Banks as callers: admitted to their own sets, and recorded whatever the outcome.

use super::answer::{Answer, Rejection, respond_to};
use super::bank_calls::{BankOutcome, BankRefusal};
use super::caller::{Admitted, authenticate, count_refusal, refused_too_often, service};
use super::error::Problem;
use super::request::arrival_of;
use crate::access::caller::{Caller, RequiredScopes};
use crate::access::limits::{Limits, OverLimit};
use crate::domain::identifiers::OrganizationNumber;
use crate::record::{Call, Conclusion, Endpoint, Recorded, Recorder, Subject, Unrecorded};
use crate::register::delivery::{BankCaller, Delivery, NotAdmitted};
use crate::register::lookup::{Arrival, Lookup, Refusal};
use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpMessage, HttpRequest, HttpResponse};
use std::convert::Infallible;
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

/// An operation for banks.
pub trait BankOperation: 'static {
    const ENDPOINT: Endpoint;
    /// Whether errors are those of the agencies' family, as published for one of the calls.
    const PUBLISHED_ERRORS: bool = false;
}

/// `POST …/relationshipType/{type}`
pub struct AddCustomer;
/// `DELETE …/relationshipType/{type}`
pub struct EndCustomer;
/// `POST …/batch`
pub struct AddBatch;
/// `GET /customers/financialInstitutions/{fid}/`
pub struct ReadOwnCustomer;
/// `PUT …/relationships`
pub struct PutWholeSet;
/// `POST …/relationships/changes`
pub struct PostChanges;
/// `GET …/deliveries`
pub struct ListDeliveries;
/// `GET …/deliveries/{deliveryID}`
pub struct ReadDelivery;
/// `GET …/deliveries/{deliveryID}/rejects`
pub struct ReadRejects;
/// `POST …/deliveries/{deliveryID}/rollback`
pub struct RollBack;
/// `GET …/relationships`
pub struct ReadOwnRecords;

impl BankOperation for AddCustomer {
    const ENDPOINT: Endpoint = Endpoint::KfrAdd;
}
impl BankOperation for EndCustomer {
    const ENDPOINT: Endpoint = Endpoint::KfrEnd;
}
impl BankOperation for AddBatch {
    const ENDPOINT: Endpoint = Endpoint::KfrBatch;
}
impl BankOperation for ReadOwnCustomer {
    const ENDPOINT: Endpoint = Endpoint::KfrRead;
    const PUBLISHED_ERRORS: bool = true;
}
impl BankOperation for PutWholeSet {
    const ENDPOINT: Endpoint = Endpoint::WholeSet;
}
impl BankOperation for PostChanges {
    const ENDPOINT: Endpoint = Endpoint::Changes;
}
impl BankOperation for ListDeliveries {
    const ENDPOINT: Endpoint = Endpoint::Deliveries;
}
impl BankOperation for ReadDelivery {
    const ENDPOINT: Endpoint = Endpoint::Delivery;
}
impl BankOperation for ReadRejects {
    const ENDPOINT: Endpoint = Endpoint::Rejects;
}
impl BankOperation for RollBack {
    const ENDPOINT: Endpoint = Endpoint::Rollback;
}
impl BankOperation for ReadOwnRecords {
    const ENDPOINT: Endpoint = Endpoint::OwnRecords;
}

/// A bank whose token holds, has the scope, and belongs to the institution in the path or its successor.
pub struct AdmittedBank<O> {
    caller: Arc<Caller>,
    bank: BankCaller,
    arrival: Arrival,
    recorder: Recorder,
    limits: Arc<Limits>,
    request: HttpRequest,
    operation: PhantomData<O>,
}

impl<O: BankOperation> AdmittedBank<O> {
    pub fn bank(&self) -> &BankCaller {
        &self.bank
    }

    pub fn arrival(&self) -> &Arrival {
        &self.arrival
    }

    pub fn request(&self) -> &HttpRequest {
        &self.request
    }

    /// Records what the call ended in, and answers it.
    pub async fn conclude<T>(
        self,
        subject: Option<Subject>,
        outcome: Result<T, BankRefusal>,
        done: impl FnOnce(T) -> HttpResponse,
    ) -> Answer
    where
        BankOutcome<T>: Conclusion,
    {
        if let Err(BankRefusal::Failed(cause)) = &outcome {
            tracing::error!(%cause, correlation = %self.arrival.correlation, "a delivery failed");
        }
        let call = call::<O>(&self.caller, &self.arrival, subject);
        let outcome = BankOutcome(outcome);
        if outcome.is_refusal() {
            self.limits.refusals().count(call.consumer, call.at);
        }
        let recorded = self.recorder.record(call, outcome).await;
        Answer::of(
            recorded,
            &self.request,
            unavailable::<O>(),
            |outcome| match outcome.0 {
                Ok(answer) => done(answer),
                Err(BankRefusal::Rejected(response)) => HttpResponse::UnprocessableEntity().json(*response),
                Err(refusal) => respond_to(&self.request, Problem::from(&refusal)),
            },
        )
    }
}

fn call<O: BankOperation>(caller: &Caller, arrival: &Arrival, subject: Option<Subject>) -> Call {
    let (consumer, supplier) = parties(caller);
    Call {
        at: arrival.at,
        endpoint: O::ENDPOINT,
        consumer,
        supplier,
        token_id: caller.token_id.clone(),
        client_amr: caller.client_amr.clone(),
        correlation: arrival.correlation,
        case: None,
        legal_mandate: None,
        subject,
        period: None,
        only_primary_owner: None,
        service: None,
        outside_terms: None,
    }
}

/// For a system user the bank is the one behind it, and the vendor that calls is the supplier.
fn parties(caller: &Caller) -> (OrganizationNumber, Option<OrganizationNumber>) {
    match caller.system_user {
        Some(bank) => (bank, Some(caller.consumer)),
        None => (caller.consumer, caller.supplier),
    }
}

impl<O: BankOperation> FromRequest for AdmittedBank<O> {
    type Error = Rejection;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Rejection>>>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let caller = authenticate(&request).await.map_err(|cause| {
                count_refusal("authentication");
                let published = O::PUBLISHED_ERRORS.then(|| Problem::not_authenticated(&cause));
                let problem = published.unwrap_or_else(|| Problem::bank_not_authenticated(&cause));
                Rejection::unauthenticated(&request, problem)
            })?;
            let (delivery, recorder) = (
                service::<Delivery>(&request)?,
                service::<Recorder>(&request)?.clone(),
            );
            let lookup = service::<Lookup>(&request)?;
            let required = service::<RequiredScopes>(&request)?;
            let arrival = arrival_of(&request);
            if let Some(over) = refused_too_often(lookup, &request, parties(&caller).0) {
                return Err(Rejection::turned_away(&request, too_many::<O>(over)));
            }
            match admit(&request, &caller, delivery, required, &arrival) {
                Ok(bank) => {
                    request.extensions_mut().insert(Admitted);
                    Ok(Self {
                        caller,
                        bank,
                        arrival,
                        recorder,
                        limits: Arc::clone(lookup.limits()),
                        request,
                        operation: PhantomData,
                    })
                }
                Err(refusal) => {
                    count_refusal("bank");
                    lookup.limits().refusals().count(parties(&caller).0, arrival.at);
                    let recorded = refuse::<O>(&recorder, &caller, &arrival, refusal).await;
                    Err(Rejection::recorded(
                        recorded,
                        &request,
                        unavailable::<O>(),
                        |outcome| problem_of::<O>(outcome),
                    ))
                }
            }
        })
    }
}

fn admit(
    request: &HttpRequest,
    caller: &Caller,
    delivery: &Delivery,
    required: &RequiredScopes,
    arrival: &Arrival,
) -> Result<BankCaller, BankRefusal> {
    if !caller.scopes.has_any(&required.write) {
        return Err(BankRefusal::MissingScope(required.write.clone()));
    }
    let institution = request.match_info().get("institution").unwrap_or_default();
    let institution = OrganizationNumber::parse(institution).map_err(|_| BankRefusal::OtherBank)?;
    delivery
        .admit(parties(caller).0, institution, arrival.today)
        .map_err(|cause| match cause {
            NotAdmitted::OtherBank => BankRefusal::OtherBank,
            NotAdmitted::NotParticipating => BankRefusal::NotParticipating,
        })
}

async fn refuse<O: BankOperation>(
    recorder: &Recorder,
    caller: &Caller,
    arrival: &Arrival,
    refusal: BankRefusal,
) -> Result<Recorded<BankOutcome<Infallible>>, Unrecorded> {
    recorder
        .record(call::<O>(caller, arrival, None), BankOutcome(Err(refusal)))
        .await
}

/// The 503 of the operation's family.
fn unavailable<O: BankOperation>() -> Problem {
    if O::PUBLISHED_ERRORS {
        Problem::UNAVAILABLE
    } else {
        Problem::bank_unavailable()
    }
}

/// The 429 of the operation's family.
fn too_many<O: BankOperation>(over: OverLimit) -> Problem {
    if O::PUBLISHED_ERRORS {
        Problem::too_many(over)
    } else {
        Problem::bank_too_many(over)
    }
}

fn problem_of<O: BankOperation>(outcome: BankOutcome<Infallible>) -> Problem {
    match outcome.0 {
        Ok(never) => match never {},
        Err(BankRefusal::MissingScope(wanted)) if O::PUBLISHED_ERRORS => {
            Problem::from(&Refusal::MissingScope(wanted))
        }
        Err(_) if O::PUBLISHED_ERRORS => Problem::from(&Refusal::NotAdmitted),
        Err(refusal) => Problem::from(&refusal),
    }
}
