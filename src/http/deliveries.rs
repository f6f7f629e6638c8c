//! V2 deliveries: a bank's whole set, streamed.

use super::answer::Answer;
use super::bank_calls::BankRefusal;
use super::bank_request::{AdmittedBank, PutWholeSet};
use super::docs::{BankErrors, DeliveryErrors};
use super::error::Detail;
use super::ndjson::{self, RecordLine};
use super::request::{Reader, arrival_of, rules_of};
use crate::domain::relationship::{Register, SetId};
use crate::journal::Counts;
use crate::register::delivery::{
    Delivery, IncomingSet, Receipt, ReceiptState, RejectedLine, WholeSetRefusal,
};
use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::web::{Data, Payload};
use chrono::SecondsFormat;
use futures_util::StreamExt;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::time::Duration;
use utoipa::ToSchema;
use uuid::Uuid;

/// Bounds of a delivery.
#[derive(Debug, Clone, Copy)]
pub struct DeliveryLimits {
    /// Bytes of a body.
    pub max_body_bytes: u64,
    /// Bytes of a line.
    pub max_line_bytes: usize,
    /// Longest pause between two pieces of a body.
    pub pause: Duration,
}

/// What a bank gets for a delivery.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptBody {
    #[serde(rename = "deliveryID")]
    delivery_id: Uuid,
    kind: &'static str,
    #[schema(example = "KAR")]
    register: &'static str,
    #[schema(example = "published")]
    state: &'static str,
    #[schema(format = DateTime)]
    received_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    published_at: Option<String>,
    /// Lines.
    read: u64,
    /// Identities.
    stored: u64,
    ended: u64,
    removed: u64,
    rejected: u64,
    customers: u64,
    accounts: u64,
    /// Of the decoded body.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
}

impl From<&Receipt> for ReceiptBody {
    fn from(receipt: &Receipt) -> Self {
        let Counts {
            read,
            stored,
            ended,
            removed,
            rejected,
            customers,
            accounts,
        } = receipt.counts;
        Self {
            delivery_id: receipt.delivery_id,
            kind: "wholeSet",
            register: receipt.register.name(),
            state: match receipt.state {
                ReceiptState::Published => "published",
                ReceiptState::Rejected => "rejected",
            },
            received_at: receipt.received_at.to_rfc3339_opts(SecondsFormat::Millis, true),
            published_at: receipt
                .published_at
                .map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true)),
            read,
            stored,
            ended,
            removed,
            rejected,
            customers,
            accounts,
            sha256: receipt.sha256.iter().map(|byte| format!("{byte:02x}")).collect(),
        }
    }
}

/// The receipt of a rejected delivery, with what was wrong.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct RejectedBody {
    #[schema(example = "KFR-012")]
    error_code: &'static str,
    #[schema(example = "Delivery rejected")]
    error_message: &'static str,
    #[serde(rename = "correlationID")]
    correlation_id: Uuid,
    #[serde(flatten)]
    receipt: ReceiptBody,
    /// The first 1,000 rejected lines; `rejected` counts all.
    rejects: Vec<RejectBody>,
}

/// A line that is not a record. What it holds is not repeated.
#[derive(Debug, Serialize, ToSchema)]
struct RejectBody {
    /// Counted from 1.
    line: u64,
    #[schema(example = "customerID")]
    parameter: &'static str,
    reason: String,
}

impl From<RejectedLine> for RejectBody {
    fn from(reject: RejectedLine) -> Self {
        Self {
            line: reject.line,
            parameter: reject.parameter,
            reason: reject.reason,
        }
    }
}

/// Replaces the whole set of the bank in a register. Lookups see the former set until the new one is complete.
#[utoipa::path(
    put,
    path = "/v2/financialInstitutions/{organizationID}/relationships",
    operation_id = "putRelationships",
    tag = "Deliveries",
    params(super::docs::OrganizationPath, super::docs::RegisterParameter, super::docs::OptionalCorrelationHeader),
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
    let outcome = match read_set(&bank) {
        Err(refusal) => Err(refusal),
        Ok(set) => take_whole_set(&bank, set, &delivery, &limits, body).await,
    };
    bank.conclude(None, outcome, |receipt| {
        HttpResponse::Ok().json(ReceiptBody::from(&receipt))
    })
    .await
}

async fn take_whole_set(
    bank: &AdmittedBank<PutWholeSet>,
    set: SetId,
    delivery: &Delivery,
    limits: &DeliveryLimits,
    body: Payload,
) -> Result<Receipt, BankRefusal> {
    let mut incoming = delivery.begin_whole_set(bank.bank(), set)?;
    let sha256 = read_lines(bank, set.register, body, limits, &mut incoming).await?;
    delivery
        .publish_whole_set(incoming, sha256)
        .await
        .map_err(|refusal| match refusal {
            WholeSetRefusal::Failed(cause) => BankRefusal::Failed(cause),
            WholeSetRefusal::Rejected(receipt, rejects) => BankRefusal::Rejected(Box::new(RejectedBody {
                error_code: "KFR-012",
                error_message: "Delivery rejected",
                correlation_id: arrival_of(bank.request()).correlation,
                receipt: ReceiptBody::from(&receipt),
                rejects: rejects.into_iter().map(Into::into).collect(),
            })),
        })
}

/// `?register=`, and a content type that admits NDJSON.
fn read_set(bank: &AdmittedBank<PutWholeSet>) -> Result<SetId, BankRefusal> {
    let mut reader = Reader::new(bank.request(), &["register"]);
    reader.uuid("CorrelationID", true);
    let register = match reader.parameter("register").as_deref() {
        None => Ok(None),
        Some("KAR") => Ok(Some(Register::Kar)),
        Some("KFR") => Ok(Some(Register::Kfr)),
        Some(_) => Err(()),
    };
    let set = register.ok().and_then(|register| bank.bank().set(register));
    let mut details: Vec<Detail> = reader
        .into_faults()
        .into_iter()
        .map(|f| detail(f.parameter, &f.reason))
        .collect();
    if set.is_none() {
        details.push(detail(
            "register",
            "must be KAR or KFR, and one that the bank takes part in",
        ));
    }
    let headers = bank.request().headers();
    let text = |name| {
        headers
            .get(name)
            .map(|value| value.to_str().unwrap_or("?").trim().to_ascii_lowercase())
    };
    let media =
        text(header::CONTENT_TYPE).map(|text| text.split(';').next().unwrap_or_default().trim().to_owned());
    if media.is_some_and(|media| !media.is_empty() && media != "application/x-ndjson") {
        details.push(detail("Content-Type", "must be application/x-ndjson"));
    }
    if text(header::CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity") {
        details.push(detail("Content-Encoding", "is not supported"));
    }
    match set {
        Some(set) if details.is_empty() => Ok(set),
        _ => Err(BankRefusal::InvalidRequest(details)),
    }
}

/// Reads the body line by line within the bounds, and gives its SHA-256.
async fn read_lines(
    bank: &AdmittedBank<PutWholeSet>,
    register: Register,
    mut body: Payload,
    limits: &DeliveryLimits,
    incoming: &mut IncomingSet,
) -> Result<[u8; 32], BankRefusal> {
    let rules = rules_of(bank.request());
    let (mut hash, mut taken, mut number) = (Sha256::new(), 0, 0);
    let mut pending: Vec<u8> = Vec::new();
    let mut push = |line: &[u8]| {
        number += 1;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !line.trim_ascii().is_empty() {
            incoming.push(ndjson::parse_line(number, line, register, &rules));
        }
    };
    while let Some(piece) = tokio::time::timeout(limits.pause, body.next())
        .await
        .map_err(|_| BankRefusal::TooSlow)?
    {
        let piece =
            piece.map_err(|_| BankRefusal::InvalidRequest(vec![detail("body", "ended before its end")]))?;
        taken += piece.len() as u64;
        if taken > limits.max_body_bytes {
            return Err(BankRefusal::TooLarge);
        }
        hash.update(&piece);
        let mut rest = &piece[..];
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            pending.extend_from_slice(&rest[..end]);
            if pending.len() > limits.max_line_bytes {
                return Err(BankRefusal::TooLarge);
            }
            push(&pending);
            pending.clear();
            rest = &rest[end + 1..];
        }
        pending.extend_from_slice(rest);
        if pending.len() > limits.max_line_bytes {
            return Err(BankRefusal::TooLarge);
        }
    }
    push(&pending);
    Ok(hash.finalize().into())
}

fn detail(parameter: &str, reason: &str) -> Detail {
    Detail {
        parameter: parameter.to_owned(),
        reason: reason.to_owned(),
    }
}
