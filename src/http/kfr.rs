//! The KFR calls, as banks use them today, under `/kar-ws/api/v1`.

use super::answer::Answer;
use super::bank_calls::{BankRefusal, BatchAdded};
use super::bank_request::{AddBatch, AddCustomer, AdmittedBank, BankOperation, EndCustomer, ReadOwnCustomer};
use super::batch;
use super::body::{BodyLimits, DeliveryLimits, Encoding, LineBlock, Separation, pieces_of, read_body};
use super::deliveries::content_length;
use super::docs::{BankErrors, KfrEndErrors, PublishedReadErrors};
use super::error::Detail;
use super::multipart::{BatchField, BatchForm, content_of};
use super::relationships::CustomerRelationshipsBody;
use super::request::{Reader, rules_of};
use crate::domain::calendar::{Period, parse_day};
use crate::domain::identifiers::CustomerId;
use crate::domain::overview::judge;
use crate::domain::relationship::Register;
use crate::record::Subject;
use crate::register::delivery::{Delivery, DeliveryError, IncomingBatch, KfrEffect};
use crate::register::lookup::{Fault, FaultKind, ListedBank, Lookup, Refusal, RelationshipsAnswer};
use actix_web::HttpResponse;
use actix_web::web::{Data, Payload};
use chrono::NaiveDate;
use std::sync::Arc;

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
    let customer = read_customer(&mut reader);
    let outcome = match finish(reader, &bank, customer) {
        Err(refusal) => Err(refusal),
        Ok(customer) => {
            let added = delivery
                .add_customer(bank.bank(), customer, bank.arrival().today)
                .await;
            added.map_err(BankRefusal::Failed)
        }
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
    responses((status = 204, description = "Ended."), BankErrors, KfrEndErrors),
    security(("maskinporten" = ["bits:kundeforhold.write"]))
)]
pub async fn end(bank: AdmittedBank<EndCustomer>, delivery: Data<Delivery>) -> Answer {
    let today = bank.arrival().today;
    let mut reader = Reader::new(bank.request(), &["toDate"]);
    let customer = read_customer(&mut reader);
    let to = read_last_day(&mut reader);
    let outcome = match finish(reader, &bank, customer.zip(to)) {
        Err(refusal) => Err(refusal),
        Ok((customer, to)) => match delivery.end_customer(bank.bank(), customer, to, today).await {
            Ok(KfrEffect::NothingRuns) => Err(BankRefusal::NothingRuns),
            Ok(KfrEffect::EndsBeforeItBegan) => Err(BankRefusal::InvalidDate(vec![Detail::new(
                "toDate",
                "lies before the registration began",
            )])),
            ended => ended.map_err(BankRefusal::Failed),
        },
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
    request_body(content = inline(super::docs::BatchBody), content_type = "multipart/form-data"),
    responses((status = 201, description = "Added."), BankErrors, super::docs::BatchErrors),
    security(("maskinporten" = ["bits:kundeforhold.write"]))
)]
pub async fn add_list(
    bank: AdmittedBank<AddBatch>,
    delivery: Data<Delivery>,
    limits: Data<DeliveryLimits>,
    body: Payload,
) -> Answer {
    let mut reader = Reader::new(bank.request(), &[]);
    reader.correlation(false);
    let outcome = match takes_part(&bank).and(faults_of(reader.into_faults())) {
        Err(refusal) => Err(refusal),
        Ok(()) => add_batch(&bank, &delivery, &limits, body).await,
    };
    bank.conclude(None, outcome, |_| HttpResponse::Created().finish())
        .await
}

async fn add_batch(
    bank: &AdmittedBank<AddBatch>,
    delivery: &Delivery,
    limits: &DeliveryLimits,
    body: Payload,
) -> Result<BatchAdded, BankRefusal> {
    limits
        .batch
        .check_announced(content_length(bank.request().headers()))?;
    let mut form = BatchForm::new(bank.request(), pieces_of(body, limits.batch))?;
    let mut turn = Some(delivery.turn_for_batch(bank.bank()).await?);
    let (mut customer_type, mut taken) = (None, None);
    while let Some(field) = form.next_field().await? {
        let twice = match field {
            BatchField::CustomerType(text) => customer_type.replace(text).map(|_| "customer_type"),
            BatchField::Customers(field) => match turn.take() {
                None => Some("customers"),
                Some(turn) => {
                    let batch = delivery
                        .begin_batch(bank.bank(), bank.arrival().today, turn)
                        .await?;
                    taken = Some(read_customers(bank, delivery, limits.batch, batch, *field).await?);
                    None
                }
            },
        };
        if let Some(parameter) = twice {
            return Err(BankRefusal::invalid(parameter, "is sent more than once"));
        }
    }
    let customer_type = customer_type.ok_or_else(|| BankRefusal::invalid("customer_type", "is missing"))?;
    let (batch, sha256) = taken.ok_or_else(|| BankRefusal::invalid("customers", "is missing"))?;
    check_type(&customer_type, "customer_type")?;
    match delivery.publish_batch(batch, sha256).await? {
        Ok(receipt) => Ok(BatchAdded(receipt)),
        Err(refused) => Err(batch::refuse(&refused)),
    }
}

/// Takes the items as they come.
async fn read_customers(
    bank: &AdmittedBank<AddBatch>,
    delivery: &Delivery,
    limits: BodyLimits,
    batch: IncomingBatch,
    field: multer::Field<'static>,
) -> Result<(IncomingBatch, [u8; 32]), BankRefusal> {
    let (rules, today) = (rules_of(bank.request()), bank.arrival().today);
    let batch = Arc::new(batch);
    let taker = Arc::clone(&batch);
    let take = move |items: LineBlock| {
        let mut block = taker.block();
        for (position, item) in items.lines() {
            let item = batch::read_item(item, &rules, today);
            block.push(
                position,
                item.map(|(customer, from)| taker.register(customer, from)),
            );
        }
        block.take()
    };
    let (content, items) = (content_of(field), Separation::Items);
    let read = read_body(
        content,
        Encoding::Identity,
        items,
        limits,
        delivery.workers(),
        take,
    )
    .await;
    let batch = Arc::into_inner(batch).ok_or(DeliveryError::Panicked)?;
    Ok((batch, read?))
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
    let takes_part = takes_part(&bank).map_err(|_| Refusal::NotAdmitted);
    let outcome = match takes_part.and_then(|()| published_question(reader, customer.zip(period))) {
        Err(refusal) => Err(BankRefusal::Published(refusal)),
        Ok((customer, period)) => own_banks(&bank, &delivery, &lookup, customer, &period).await,
    };
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

/// The bank itself, if it has a registration of the customer in the period.
async fn own_banks(
    bank: &AdmittedBank<ReadOwnCustomer>,
    delivery: &Delivery,
    lookup: &Lookup,
    customer: CustomerId,
    period: &Period,
) -> Result<Vec<ListedBank>, BankRefusal> {
    let held = delivery
        .own_customer(bank.bank(), customer)
        .await
        .map_err(|cause| {
            tracing::warn!(%cause, "a bank's own record could not be read");
            BankRefusal::Published(Refusal::Unavailable)
        })?;
    let records: Vec<_> = held.iter().map(|held| held.relationship).collect();
    let today = bank.arrival().today;
    let days = lookup.days(today);
    let participants = lookup.banks();
    let Some(institution) = participants.answering_for(bank.bank().bank(), today) else {
        return Ok(Vec::new());
    };
    let listed = judge(&records, institution.covers_from, period, &days).map(|standing| ListedBank {
        organization: institution.organization,
        name: institution.name.clone(),
        standing,
    });
    Ok(listed.into_iter().collect())
}

/// `CustomerID` and `CorrelationID`.
fn read_customer(reader: &mut Reader<'_>) -> Option<CustomerId> {
    let customer = reader.customer();
    reader.correlation(false);
    customer
}

/// `toDate`, if it is there: `None` outside, a fault; inside, the default.
fn read_last_day(reader: &mut Reader<'_>) -> Option<Option<NaiveDate>> {
    match reader.parameter("toDate") {
        None => Some(None),
        Some(text) => {
            let to = parse_day(&text);
            if to.is_none() {
                reader.fault(FaultKind::Period, "toDate", "must be a day, YYYY-MM-DD");
            }
            to.map(Some)
        }
    }
}

/// The question, if the bank takes part in KFR, the type in the path is right and nothing else is wrong.
fn finish<O: BankOperation, Q>(
    reader: Reader<'_>,
    bank: &AdmittedBank<O>,
    question: Option<Q>,
) -> Result<Q, BankRefusal> {
    takes_part(bank)?;
    check_type(
        bank.request().match_info().get("type").unwrap_or_default(),
        "type",
    )?;
    faults_of(reader.into_faults())?;
    question.ok_or_else(|| BankRefusal::InvalidRequest(Vec::new()))
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
    Err(BankRefusal::InvalidType(vec![Detail::new(parameter, reason)]))
}

/// The KFR code of the first of the broken rules; all are named.
fn faults_of(faults: Vec<Fault>) -> Result<(), BankRefusal> {
    let Some(first) = faults.iter().map(|fault| fault.kind).min() else {
        return Ok(());
    };
    let details = faults.into_iter().map(Detail::from).collect();
    Err(match first {
        FaultKind::CustomerId => BankRefusal::InvalidCustomer(details),
        FaultKind::Period => BankRefusal::InvalidDate(details),
        FaultKind::AccountId | FaultKind::Request => BankRefusal::InvalidRequest(details),
    })
}

/// The errors of the reading call are ERR-001, 002 and 003 only, as published: what else is wrong with the
/// request counts as a wrong period, the only other thing it carries.
fn published_question<Q>(reader: Reader<'_>, question: Option<Q>) -> Result<Q, Refusal> {
    let mut faults = reader.into_faults();
    for fault in &mut faults {
        fault.kind = fault.kind.min(FaultKind::Period);
    }
    question
        .filter(|_| faults.is_empty())
        .ok_or(Refusal::Invalid(faults))
}
