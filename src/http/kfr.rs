//! The KFR calls, as banks use them today, under `/kar-ws/api/v1`.

use super::answer::Answer;
use super::bank_calls::BankRefusal;
use super::bank_request::{AddBatch, AddCustomer, AdmittedBank, BankOperation, EndCustomer, ReadOwnCustomer};
use super::batch;
use super::docs::{BankErrors, KfrAddedErrors, PublishedReadErrors};
use super::error::Detail;
use super::multipart;
use super::relationships::CustomerRelationshipsBody;
use super::request::Reader;
use crate::audit::Subject;
use crate::domain::calendar::{parse_day, years_before};
use crate::domain::identifiers::CustomerId;
use crate::domain::overview::{Days, judge};
use crate::domain::relationship::Register;
use crate::register::delivery::{Delivery, KfrEffect};
use crate::register::lookup::{Fault, FaultKind, ListedBank, Lookup, Refusal, RelationshipsAnswer};
use actix_web::HttpResponse;
use actix_web::web::{Data, Payload};

/// The one relationship type there is.
const RELATIONSHIP_TYPE: &str = "DSOPBANK";

/// Registers a customer from today on.
#[utoipa::path(
    post,
    path = "/kar-ws/api/v1/customers/financialInstitutions/{fid}/relationshipType/{type}",
    operation_id = "addCustomerRelationship",
    tag = "KFR calls",
    params(super::docs::KfrTypePath, super::docs::CustomerHeader, super::docs::CorrelationHeader),
    responses(
        (status = 201, description = "Added."), (status = 200, description = "Already running."),
        BankErrors
    ),
    security(("maskinporten" = ["bits:kundeforhold.write"]))
)]
pub async fn add(bank: AdmittedBank<AddCustomer>, delivery: Data<Delivery>) -> Answer {
    let mut reader = Reader::new(bank.request(), &[]);
    let customer = read_customer(&mut reader, &bank);
    let outcome = match (customer, checked(reader, &bank)) {
        (Some(customer), Ok(())) => delivery
            .add_customer(bank.bank(), customer, bank.arrival().today)
            .await
            .map_err(BankRefusal::Failed),
        (_, checked) => Err(checked.err().unwrap_or(BankRefusal::InvalidRequest(Vec::new()))),
    };
    bank.conclude(customer.map(Subject::Customer), outcome, |effect| match effect {
        KfrEffect::Added => HttpResponse::Created().finish(),
        _ => HttpResponse::Ok().finish(),
    })
    .await
}

/// Ends all running registrations of a customer.
#[utoipa::path(
    delete,
    path = "/kar-ws/api/v1/customers/financialInstitutions/{fid}/relationshipType/{type}",
    operation_id = "endCustomerRelationship",
    tag = "KFR calls",
    params(super::docs::KfrTypePath, super::docs::CustomerHeader, super::docs::CorrelationHeader, super::docs::EndDateParameter),
    responses((status = 204, description = "Ended."), BankErrors, KfrAddedErrors),
    security(("maskinporten" = ["bits:kundeforhold.write"]))
)]
pub async fn end(bank: AdmittedBank<EndCustomer>, delivery: Data<Delivery>) -> Answer {
    let today = bank.arrival().today;
    let mut reader = Reader::new(bank.request(), &["toDate"]);
    let customer = read_customer(&mut reader, &bank);
    let to = match reader.parameter("toDate") {
        None => today.pred_opt(),
        Some(text) => parse_day(&text),
    };
    if to.is_none() {
        reader.fault(FaultKind::Period, "toDate", "must be a day, YYYY-MM-DD");
    }
    let outcome = match (customer.zip(to), checked(reader, &bank)) {
        (Some((customer, to)), Ok(())) => {
            let ended = delivery.end_customer(bank.bank(), customer, to, today).await;
            ended
                .map_err(BankRefusal::Failed)
                .and_then(|effect| match effect {
                    KfrEffect::NothingRuns => Err(BankRefusal::NothingRuns),
                    effect => Ok(effect),
                })
        }
        (_, checked) => Err(checked.err().unwrap_or(BankRefusal::InvalidRequest(Vec::new()))),
    };
    bank.conclude(customer.map(Subject::Customer), outcome, |_| {
        HttpResponse::NoContent().finish()
    })
    .await
}

/// Adds a list of customers, all or none.
#[utoipa::path(
    post,
    path = "/kar-ws/api/v1/customers/financialInstitutions/{fid}/batch",
    operation_id = "addCustomerRelationships",
    tag = "KFR calls",
    params(super::docs::InstitutionPath, super::docs::CorrelationHeader),
    request_body(content = super::docs::BatchBody, content_type = "multipart/form-data"),
    responses((status = 201, description = "Added."), BankErrors, super::docs::BatchErrors),
    security(("maskinporten" = ["bits:kundeforhold.write"]))
)]
pub async fn add_list(
    bank: AdmittedBank<AddBatch>,
    delivery: Data<Delivery>,
    limits: Data<multipart::BatchLimits>,
    body: Payload,
) -> Answer {
    let mut reader = Reader::new(bank.request(), &[]);
    reader.uuid("CorrelationID", false);
    let outcome = match takes_part(&bank).and(faults_of(reader.into_faults())) {
        Err(refusal) => Err(refusal),
        Ok(()) => add_batch(&bank, &delivery, &limits, body).await,
    };
    bank.conclude(None, outcome, |()| HttpResponse::Created().finish())
        .await
}

async fn add_batch(
    bank: &AdmittedBank<AddBatch>,
    delivery: &Delivery,
    limits: &multipart::BatchLimits,
    body: Payload,
) -> Result<(), BankRefusal> {
    let form = multipart::read_batch(bank.request(), body, limits).await?;
    check_type(&form.customer_type, "customer_type")?;
    let rules = *Reader::new(bank.request(), &[]).rules();
    let customers = batch::read_items(&form.customers, &rules, bank.arrival().today)?;
    Ok(delivery
        .add_customers(bank.bank(), &customers, bank.arrival().today)
        .await?)
}

/// A bank's own KFR registration of one customer.
#[utoipa::path(
    get,
    path = "/kar-ws/api/v1/customers/financialInstitutions/{fid}/",
    operation_id = "getOwnCustomerRelationship",
    tag = "KFR calls",
    params(super::docs::InstitutionPath, super::docs::CustomerHeader, super::docs::ForgivingCorrelationHeader, super::docs::OptionalPeriodParameters),
    responses(
        (status = 200, description = "At most the bank itself.", body = CustomerRelationshipsBody),
        PublishedReadErrors
    ),
    security(("maskinporten" = ["bits:kundeforhold.write"]))
)]
pub async fn read(
    bank: AdmittedBank<ReadOwnCustomer>,
    delivery: Data<Delivery>,
    lookup: Data<Lookup>,
) -> Answer {
    let mut reader = Reader::new(bank.request(), &["fromDate", "toDate"]);
    let customer = reader.customer();
    let period = reader.period(bank.arrival().today, true);
    let faults = published_faults(reader.into_faults());
    let outcome = match (customer.zip(period), faults) {
        (Some((customer, period)), Ok(())) => {
            let today = bank.arrival().today;
            let days = Days {
                today,
                retained_from: years_before(today, lookup.retention_closed_years),
            };
            match delivery.own_customer(bank.bank(), customer).await {
                Ok(held) => {
                    let records: Vec<_> = held.iter().map(|held| held.relationship).collect();
                    Ok(judge(&records, &period, &days).map(|standing| own_bank(&bank, &lookup, standing)))
                }
                Err(cause) => Err(BankRefusal::Published(unavailable(&cause))),
            }
        }
        (_, faults) => Err(faults.err().unwrap_or(BankRefusal::Published(Refusal::Defect))),
    };
    let outcome = outcome.map(|bank| bank.into_iter().collect::<Vec<ListedBank>>());
    bank.conclude(customer.map(Subject::Customer), outcome, |banks| {
        let answer = RelationshipsAnswer {
            banks,
            tells_ownership: false,
            coverage: Default::default(),
        };
        HttpResponse::Ok().json(CustomerRelationshipsBody::from(answer))
    })
    .await
}

fn own_bank(
    bank: &AdmittedBank<ReadOwnCustomer>,
    lookup: &Lookup,
    standing: crate::domain::overview::Standing,
) -> ListedBank {
    let organization = bank.bank().bank();
    let participants = lookup.participants.load();
    let answering = participants.answering_for(organization, bank.arrival().today);
    let (organization, name) = answering.map_or((organization, String::new()), |bank| {
        (bank.organization, bank.name.clone())
    });
    ListedBank {
        organization,
        name,
        standing,
    }
}

fn unavailable(cause: &crate::register::delivery::DeliveryError) -> Refusal {
    tracing::warn!(%cause, "a bank's own record could not be read");
    Refusal::Unavailable
}

/// `CustomerID` and `CorrelationID`, and the type in the path.
fn read_customer<O: BankOperation>(reader: &mut Reader<'_>, _: &AdmittedBank<O>) -> Option<CustomerId> {
    let customer = reader.customer();
    reader.uuid("CorrelationID", false);
    customer
}

fn checked<O: BankOperation>(reader: Reader<'_>, bank: &AdmittedBank<O>) -> Result<(), BankRefusal> {
    takes_part(bank)?;
    check_type(
        bank.request().match_info().get("type").unwrap_or_default(),
        "type",
    )?;
    faults_of(reader.into_faults())
}

fn takes_part<O: BankOperation>(bank: &AdmittedBank<O>) -> Result<(), BankRefusal> {
    bank.bank()
        .set(Some(Register::Kfr))
        .map(|_| ())
        .ok_or(BankRefusal::NotParticipating)
}

fn check_type(text: &str, parameter: &str) -> Result<(), BankRefusal> {
    if text.trim() == RELATIONSHIP_TYPE {
        return Ok(());
    }
    let reason = format!("must be {RELATIONSHIP_TYPE}");
    Err(BankRefusal::InvalidType(vec![Detail {
        parameter: parameter.to_owned(),
        reason,
    }]))
}

/// The KFR code of the first of the broken rules; all are named.
fn faults_of(faults: Vec<Fault>) -> Result<(), BankRefusal> {
    let Some(first) = faults.iter().map(|fault| fault.kind).min() else {
        return Ok(());
    };
    let details = faults
        .into_iter()
        .map(|f| Detail {
            parameter: f.parameter.to_owned(),
            reason: f.reason,
        })
        .collect();
    Err(match first {
        FaultKind::CustomerId => BankRefusal::InvalidCustomer(details),
        FaultKind::Period => BankRefusal::InvalidDate(details),
        FaultKind::AccountId | FaultKind::Request => BankRefusal::InvalidRequest(details),
    })
}

/// The errors of the reading call are ERR-001, 002 and 003 only, as published: what else is wrong with the
/// request counts as a wrong period, the only other thing it carries.
fn published_faults(mut faults: Vec<Fault>) -> Result<(), BankRefusal> {
    for fault in &mut faults {
        fault.kind = fault.kind.min(FaultKind::Period);
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(BankRefusal::Published(Refusal::Invalid(faults)))
    }
}
