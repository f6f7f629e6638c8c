//! Receipts as banks see them.

use crate::journal::{Counts, Operation, Receipt, ReceiptState, Reject, RejectCode};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a bank gets for a delivery.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptBody {
    #[serde(rename = "deliveryID")]
    pub delivery_id: Uuid,
    /// `wholeSet`, `changes` or `rollback`.
    #[schema(example = "wholeSet")]
    kind: &'static str,
    #[schema(example = "KAR")]
    register: &'static str,
    /// `receiving`, `published`, `rejected`, `abandoned`, `rolledBack` or `superseded`.
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
    /// Of the decoded body, once it was read to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, pattern = "^[0-9a-f]{64}$")]
    pub sha256: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    delivery_sequence: Option<u64>,
    /// What a rollback undid, the whole set first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    discarded_deliveries: Vec<Uuid>,
}

impl From<&Receipt> for ReceiptBody {
    fn from(receipt: &Receipt) -> Self {
        let summary = &receipt.summary;
        let Counts {
            read,
            stored,
            ended,
            removed,
            rejected,
            customers,
            accounts,
        } = summary.counts;
        Self {
            delivery_id: receipt.delivery_id,
            kind: match receipt.operation {
                Operation::WholeSet => "wholeSet",
                Operation::Changes => "changes",
                Operation::Rollback => "rollback",
            },
            register: receipt.set.register.name(),
            state: state_name(receipt.state),
            received_at: time(receipt.received_at),
            published_at: receipt.published_at.map(time),
            read,
            stored,
            ended,
            removed,
            rejected,
            customers,
            accounts,
            sha256: body_hash(receipt),
            delivery_sequence: summary.sequence,
            discarded_deliveries: summary.discarded.clone(),
        }
    }
}

/// A rollback has no body, and that of others may not be there yet, or never.
fn body_hash(receipt: &Receipt) -> Option<String> {
    let incomplete = matches!(receipt.state, ReceiptState::Receiving | ReceiptState::Abandoned);
    if incomplete || receipt.operation == Operation::Rollback {
        return None;
    }
    let bytes = receipt.summary.sha256.iter();
    Some(bytes.map(|byte| format!("{byte:02x}")).collect())
}

fn state_name(state: ReceiptState) -> &'static str {
    match state {
        ReceiptState::Receiving => "receiving",
        ReceiptState::Published => "published",
        ReceiptState::Rejected => "rejected",
        ReceiptState::Abandoned => "abandoned",
        ReceiptState::RolledBack => "rolledBack",
        ReceiptState::Superseded => "superseded",
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
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

impl RejectedBody {
    pub fn new(receipt: &Receipt, correlation_id: Uuid) -> Self {
        Self {
            error_code: "KFR-012",
            error_message: "Delivery rejected",
            correlation_id,
            receipt: receipt.into(),
            rejects: receipt.summary.rejects.iter().map(Into::into).collect(),
        }
    }
}

/// A line that was not taken. What it holds is not repeated.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectBody {
    /// Counted from 1.
    pub line: u64,
    #[schema(example = "KFR-005")]
    pub code: &'static str,
    #[schema(example = "customerID")]
    pub parameter: String,
    pub reason: String,
}

impl From<&Reject> for RejectBody {
    fn from(reject: &Reject) -> Self {
        Self {
            line: reject.line,
            code: match reject.code {
                RejectCode::InvalidRecord => "KFR-004",
                RejectCode::InvalidCustomer => "KFR-005",
                RejectCode::NotFound => "KFR-008",
                RejectCode::InvalidDate => "KFR-010",
            },
            parameter: reject.parameter.clone(),
            reason: reject.reason.clone(),
        }
    }
}
