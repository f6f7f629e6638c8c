//! V2 deliveries: a bank's whole set, and its changes, streamed.

pub mod history;
mod order;
pub mod receipt;

use super::answer::Answer;
use super::bank_calls::BankRefusal;
use super::bank_request::{AdmittedBank, BankOperation, PostChanges, PutWholeSet};
use super::body::{DeliveryLimits, Encoding, LineBlock, Separation, pieces_of, read_body};
use super::docs::{BankErrors, DeliveryErrors};
use super::ndjson::{self, ChangeLine, RecordLine};
use super::request::{arrival_of, rules_of};
use crate::domain::delivery::{DeliveryKind, LineFault};
use crate::domain::identifiers::IdentifierRules;
use crate::domain::relationship::Register;
use crate::register::delivery::{Delivery, DeliveryError, DeliveryRefusal, Incoming, Line, Order, Taking};
use crate::store::Receipt;
use actix_web::HttpResponse;
use actix_web::web::{Data, Payload};
use futures_util::StreamExt;
pub use order::content_length;
use order::read_order;
use receipt::{ReceiptBody, RejectedBody};
use std::io;
use std::sync::Arc;

/// Parses one line of a delivery to a register.
type ParseLine = fn(&[u8], Register, &IdentifierRules) -> Result<Line, Vec<LineFault>>;

/// Replaces the whole set of the bank in a register. Lookups see the former set until the new one is complete.
#[utoipa::path(
    put,
    path = "/v2/financialInstitutions/{organizationID}/relationships",
    operation_id = "putRelationships",
    tag = "Deliveries",
    params(
        super::docs::OrganizationPath, super::docs::RegisterParameter, super::docs::WholeSetParameters,
        super::docs::DeliveryHeaders, super::docs::OptionalCorrelationHeader
    ),
    request_body(content = Option<RecordLine>, content_type = "application/x-ndjson", description = "One record a line. No line is an empty set."),
    responses(
        (status = 200, description = "Published.", body = ReceiptBody),
        BankErrors, DeliveryErrors
    ),
    security(("maskinporten" = ["bits:kundeforhold.write"]))
)]
pub async fn put_whole_set(
    bank: AdmittedBank<PutWholeSet>,
    delivery: Data<Delivery>,
    limits: Data<DeliveryLimits>,
    body: Payload,
) -> Answer {
    let outcome = match read_order(&bank, DeliveryKind::WholeSet) {
        Err(refusal) => Err(refusal),
        Ok(order) => take_delivery(&bank, order, ndjson::parse_record, &delivery, &limits, body).await,
    };
    conclude(bank, outcome).await
}

/// Changes the set of the bank in a register: in the order of the lines, all or nothing. No line says that
/// there is nothing new.
#[utoipa::path(
    post,
    path = "/v2/financialInstitutions/{organizationID}/relationships/changes",
    operation_id = "postChanges",
    tag = "Deliveries",
    params(
        super::docs::OrganizationPath, super::docs::RegisterParameter, super::docs::MaxRejectsParameter,
        super::docs::DeliveryHeaders, super::docs::SequenceHeader, super::docs::OptionalCorrelationHeader
    ),
    request_body(content = Option<ChangeLine>, content_type = "application/x-ndjson", description = "One change a line."),
    responses(
        (status = 200, description = "Published.", body = ReceiptBody),
        BankErrors, DeliveryErrors
    ),
    security(("maskinporten" = ["bits:kundeforhold.write"]))
)]
pub async fn post_changes(
    bank: AdmittedBank<PostChanges>,
    delivery: Data<Delivery>,
    limits: Data<DeliveryLimits>,
    body: Payload,
) -> Answer {
    let outcome = match read_order(&bank, DeliveryKind::Changes) {
        Err(refusal) => Err(refusal),
        Ok(order) => take_delivery(&bank, order, ndjson::parse_change, &delivery, &limits, body).await,
    };
    conclude(bank, outcome).await
}

async fn conclude<O: BankOperation>(bank: AdmittedBank<O>, outcome: Result<Receipt, BankRefusal>) -> Answer {
    bank.conclude(None, outcome, |receipt| {
        HttpResponse::Ok().json(ReceiptBody::from(&receipt))
    })
    .await
}

/// Takes a delivery to its receipt; one whose key was used before gets the first receipt.
async fn take_delivery<O: BankOperation>(
    bank: &AdmittedBank<O>,
    (order, encoding): (Order, Encoding),
    parse: ParseLine,
    delivery: &Delivery,
    limits: &DeliveryLimits,
    body: Payload,
) -> Result<Receipt, BankRefusal> {
    let (kind, limits) = (order.kind, limits.delivery);
    limits.check_announced(order.body_bytes)?;
    let (body, lines, workers) = (pieces_of(body, limits), Separation::Lines, delivery.workers());
    let taken = match delivery.begin(order, bank.arrival().today).await {
        Err(refusal) => Err(refusal),
        Ok(Taking::Repeat(repeat)) => {
            let sha256 = read_body(body, encoding, lines, limits, workers, |_| Ok(())).await?;
            delivery.repeat(&repeat, sha256).await
        }
        Ok(Taking::New(incoming)) => {
            let (rules, progress) = (rules_of(bank.request()), incoming.progress());
            let body = body.inspect(move |piece| {
                if let Ok(piece) = piece {
                    progress.add_bytes(piece.len() as u64);
                }
            });
            let incoming = Arc::new(*incoming);
            let taker = Arc::clone(&incoming);
            let take = move |block: LineBlock| take_block(&taker, &block, parse, &rules);
            let read = read_body(body, encoding, lines, limits, workers, take).await;
            let incoming = Arc::into_inner(incoming).ok_or(DeliveryError::Panicked)?;
            match (read, kind) {
                (Err(fault), _) => {
                    incoming.abandon(&fault.to_string()).await;
                    return Err(fault.into());
                }
                (Ok(sha256), DeliveryKind::WholeSet) => delivery.publish_whole_set(incoming, sha256).await,
                (Ok(sha256), _) => delivery.publish_changes(incoming, sha256).await,
            }
        }
    };
    taken.map_err(|refusal| refused(bank, refusal))
}

fn take_block(
    incoming: &Incoming,
    lines: &LineBlock,
    parse: ParseLine,
    rules: &IdentifierRules,
) -> io::Result<()> {
    let (mut block, register) = (incoming.block(), incoming.set().register);
    for (number, line) in lines.lines() {
        block.push(number, parse(line, register, rules));
    }
    block.take()
}

fn refused<O: BankOperation>(bank: &AdmittedBank<O>, refusal: DeliveryRefusal) -> BankRefusal {
    match refusal {
        DeliveryRefusal::Conflict(conflict) => BankRefusal::Conflict(conflict),
        DeliveryRefusal::Busy(busy) => BankRefusal::Busy(busy),
        DeliveryRefusal::Failed(cause) => BankRefusal::Failed(cause),
        DeliveryRefusal::Rejected(receipt, rejects) => {
            let correlation = arrival_of(bank.request()).correlation;
            BankRefusal::Rejected(Box::new(RejectedBody::new(&receipt, &rejects, correlation)))
        }
    }
}
