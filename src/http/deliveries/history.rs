//! What became of a bank's deliveries: receipts, rejects, rollback, and the bank's own records of a customer.

use super::order::flag;
use super::receipt::{ReceiptBody, RejectBody};
use super::refused;
use crate::domain::overview::HeldRelationship;
use crate::domain::relationship::{Role, SetId};
use crate::http::answer::Answer;
use crate::http::bank_calls::BankRefusal;
use crate::http::bank_request::{
    AdmittedBank, BankOperation, ListDeliveries, ReadDelivery, ReadOwnRecords, ReadRejects, RollBack,
};
use crate::http::docs::{BankErrors, ConflictErrors, NotFoundErrors};
use crate::http::error::Detail;
use crate::http::request::Reader;
use crate::record::Subject;
use crate::register::delivery::{Delivery, Discard};
use crate::store::Receipt;
use actix_web::HttpResponse;
use actix_web::web::Data;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// Receipts of a page, by default and at most.
const PAGE: usize = 50;
const MAX_PAGE: usize = 500;

/// A page of receipts.
#[derive(Serialize, ToSchema)]
pub struct DeliveriesBody {
    /// Newest first.
    deliveries: Vec<ReceiptBody>,
    /// `before` of the next page; absent on the last.
    #[serde(rename = "nextBefore", skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    next_before: Option<Uuid>,
}

/// The bank's deliveries, newest first.
#[utoipa::path(
    get,
    path = "/v2/financialInstitutions/{organizationID}/deliveries",
    operation_id = "listDeliveries",
    tag = "Deliveries",
    params(super::super::docs::OrganizationPath, super::super::docs::PageParameters, super::super::docs::OptionalCorrelationHeader),
    responses((status = 200, description = "A page of receipts.", body = DeliveriesBody), BankErrors),
    security(("maskinporten" = ["bits:kundeforhold.write"]))
)]
pub async fn list(bank: AdmittedBank<ListDeliveries>, delivery: Data<Delivery>) -> Answer {
    let mut reader = Reader::new(bank.request(), &["limit", "before"]);
    reader.correlation(true);
    let mut faults = Vec::new();
    let limit = match reader.parameter("limit").map(|text| text.parse::<usize>()) {
        None => PAGE,
        Some(Ok(limit @ 1..=MAX_PAGE)) => limit,
        Some(_) => {
            faults.push(Detail::new("limit", "must be a number from 1 to 500"));
            PAGE
        }
    };
    let before = match reader.parameter("before").map(|text| Uuid::try_parse(&text)) {
        None => None,
        Some(Ok(id)) => Some(id),
        Some(Err(_)) => {
            faults.push(Detail::new("before", "must be a deliveryID"));
            None
        }
    };
    let outcome = match faults_of(reader, faults) {
        Err(refusal) => Err(refusal),
        Ok(()) => page(&bank, &delivery, limit, before).await,
    };
    bank.conclude(None, outcome, |page| HttpResponse::Ok().json(page))
        .await
}

async fn page(
    bank: &AdmittedBank<ListDeliveries>,
    delivery: &Delivery,
    limit: usize,
    before: Option<Uuid>,
) -> Result<DeliveriesBody, BankRefusal> {
    let (receipts, next_before) = delivery.receipts(bank.bank(), limit, before).await?;
    Ok(DeliveriesBody {
        deliveries: receipts.iter().map(Into::into).collect(),
        next_before,
    })
}

/// A delivery's receipt.
#[utoipa::path(
    get,
    path = "/v2/financialInstitutions/{organizationID}/deliveries/{deliveryID}",
    operation_id = "getDelivery",
    tag = "Deliveries",
    params(super::super::docs::DeliveryPath, super::super::docs::OptionalCorrelationHeader),
    responses((status = 200, description = "The receipt.", body = ReceiptBody), BankErrors, NotFoundErrors),
    security(("maskinporten" = ["bits:kundeforhold.write"]))
)]
pub async fn get(bank: AdmittedBank<ReadDelivery>, delivery: Data<Delivery>) -> Answer {
    let outcome = read_receipt(&bank, &delivery).await;
    bank.conclude(None, outcome, |receipt| {
        HttpResponse::Ok().json(ReceiptBody::from(&receipt))
    })
    .await
}

/// The lines of a delivery that were not taken, each with all that is wrong with it, as NDJSON; the first 1,000.
#[utoipa::path(
    get,
    path = "/v2/financialInstitutions/{organizationID}/deliveries/{deliveryID}/rejects",
    operation_id = "getRejects",
    tag = "Deliveries",
    params(super::super::docs::DeliveryPath, super::super::docs::OptionalCorrelationHeader),
    responses(
        (status = 200, description = "A rejected line a line.", body = RejectBody, content_type = "application/x-ndjson"),
        BankErrors, NotFoundErrors
    ),
    security(("maskinporten" = ["bits:kundeforhold.write"]))
)]
pub async fn rejects(bank: AdmittedBank<ReadRejects>, delivery: Data<Delivery>) -> Answer {
    let outcome = match read_receipt(&bank, &delivery).await {
        Ok(receipt) => delivery
            .rejects(receipt.delivery_id)
            .await
            .map_err(BankRefusal::Failed),
        Err(refusal) => Err(refusal),
    };
    bank.conclude(None, outcome, |rejects| {
        let line = |reject| serde_json::to_string(&RejectBody::from(reject)).map(|line| line + "\n");
        let lines: Result<String, _> = rejects.iter().map(line).collect();
        match lines {
            Ok(lines) => HttpResponse::Ok()
                .content_type("application/x-ndjson")
                .body(lines),
            Err(_) => HttpResponse::InternalServerError().finish(),
        }
    })
    .await
}

/// Goes back to the state just before a whole set, the latest published one.
#[utoipa::path(
    post,
    path = "/v2/financialInstitutions/{organizationID}/deliveries/{deliveryID}/rollback",
    operation_id = "rollBack",
    tag = "Deliveries",
    params(super::super::docs::DeliveryPath, super::super::docs::DiscardParameter, super::super::docs::OptionalCorrelationHeader),
    responses(
        (status = 200, description = "Rolled back.", body = ReceiptBody),
        BankErrors, NotFoundErrors, ConflictErrors
    ),
    security(("maskinporten" = ["bits:kundeforhold.write"]))
)]
pub async fn roll_back(bank: AdmittedBank<RollBack>, delivery: Data<Delivery>) -> Answer {
    let mut reader = Reader::new(bank.request(), &["discardLaterChanges"]);
    reader.correlation(true);
    let mut faults = Vec::new();
    let discard = match flag(&mut reader, "discardLaterChanges", &mut faults) {
        true => Discard::Anything,
        false => Discard::Nothing,
    };
    let outcome = match faults_of(reader, faults).and_then(|()| delivery_id(&bank)) {
        Err(refusal) => Err(refusal),
        Ok(id) => match delivery
            .roll_back(bank.bank(), id, discard, bank.arrival().today)
            .await
        {
            Ok(Some(receipt)) => Ok(receipt),
            Ok(None) => Err(BankRefusal::NoSuchDelivery),
            Err(refusal) => Err(refused(&bank, refusal)),
        },
    };
    super::conclude(bank, outcome).await
}

async fn read_receipt<O: BankOperation>(
    bank: &AdmittedBank<O>,
    delivery: &Delivery,
) -> Result<Receipt, BankRefusal> {
    let mut reader = Reader::new(bank.request(), &[]);
    reader.correlation(true);
    faults_of(reader, Vec::new())?;
    let receipt = delivery
        .find_receipt(bank.bank().bank(), delivery_id(bank)?)
        .await?;
    receipt.ok_or(BankRefusal::NoSuchDelivery)
}

/// What is no id names no delivery.
fn delivery_id<O: BankOperation>(bank: &AdmittedBank<O>) -> Result<Uuid, BankRefusal> {
    let text = bank.request().match_info().get("delivery").unwrap_or_default();
    Uuid::try_parse(text).map_err(|_| BankRefusal::NoSuchDelivery)
}

/// The bank's own records of a customer.
#[derive(Serialize, ToSchema)]
pub struct OwnRecordsBody {
    relationships: Vec<OwnRecordBody>,
}

/// A record as the register holds it. Accounts and references are kept as pseudonyms, and not told.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct OwnRecordBody {
    #[schema(example = "KAR")]
    register: &'static str,
    #[schema(example = "owner")]
    role: &'static str,
    creditable: bool,
    holds_funds: bool,
    #[schema(format = Date)]
    from_date: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = Date)]
    to_date: Option<String>,
}

impl OwnRecordBody {
    fn new(set: SetId, held: &HeldRelationship) -> Self {
        let (relationship, interval) = (&held.relationship, held.relationship.interval());
        Self {
            register: set.register.name(),
            role: match relationship.role {
                Role::Owner => "owner",
                Role::SecondaryOwner => "secondaryOwner",
                Role::Other => "other",
                Role::Unknown => "unknown",
            },
            creditable: relationship.creditable,
            holds_funds: relationship.holds_funds,
            from_date: interval.from().to_string(),
            to_date: interval.to().map(|day| day.to_string()),
        }
    }
}

/// The bank's own records of one customer, as they stand.
#[utoipa::path(
    get,
    path = "/v2/financialInstitutions/{organizationID}/relationships",
    operation_id = "getOwnRelationships",
    tag = "Deliveries",
    params(super::super::docs::OrganizationPath, super::super::docs::CustomerHeader, super::super::docs::OptionalCorrelationHeader),
    responses((status = 200, description = "The records.", body = OwnRecordsBody), BankErrors),
    security(("maskinporten" = ["bits:kundeforhold.write"]))
)]
pub async fn own_records(bank: AdmittedBank<ReadOwnRecords>, delivery: Data<Delivery>) -> Answer {
    let mut reader = Reader::new(bank.request(), &[]);
    let customer = reader.customer();
    reader.correlation(true);
    let outcome = match (faults_of(reader, Vec::new()), customer) {
        (Err(refusal), _) => Err(refusal),
        (Ok(()), None) => Err(BankRefusal::InvalidCustomer(Vec::new())),
        (Ok(()), Some(customer)) => {
            let found = delivery.own_records(bank.bank(), customer).await;
            found.map_err(BankRefusal::Failed).map(|found| OwnRecordsBody {
                relationships: found
                    .iter()
                    .map(|(set, held)| OwnRecordBody::new(*set, held))
                    .collect(),
            })
        }
    };
    bank.conclude(customer.map(Subject::Customer), outcome, |records| {
        HttpResponse::Ok().json(records)
    })
    .await
}

fn faults_of(reader: Reader<'_>, mut faults: Vec<Detail>) -> Result<(), BankRefusal> {
    let of_reader = reader.into_faults();
    let customer = of_reader
        .iter()
        .any(|fault| fault.kind == crate::register::lookup::FaultKind::CustomerId);
    faults.extend(of_reader.into_iter().map(Detail::from));
    match (faults.is_empty(), customer) {
        (true, _) => Ok(()),
        (false, true) => Err(BankRefusal::InvalidCustomer(faults)),
        (false, false) => Err(BankRefusal::InvalidRequest(faults)),
    }
}
