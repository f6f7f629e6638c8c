//! Receipts as banks see them.

use crate::domain::delivery::{Counts, DeliveryKind, DeliveryState, FaultCode, LineFault, Reject};
use crate::domain::relationship::Register;
use crate::http::bank_calls::mark_of;
use crate::http::error::sentence;
use crate::record::DeliveryMark;
use crate::store::Receipt;
use chrono::{DateTime, NaiveDate, SecondsFormat, Utc};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

/// What a bank gets for a delivery.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ReceiptBody {
    #[serde(rename = "deliveryID")]
    pub delivery_id: Uuid,
    /// `wholeSet`, `changes`, `batch`, `rollback`, or `kfrCalls` for the single KFR calls of a day.
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
    /// Of a delivery that was rejected or abandoned: what the bank was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub reason: Option<String>,
    /// Of `kfrCalls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, value_type = Option<String>, format = Date)]
    day: Option<NaiveDate>,
    /// Of `kfrCalls`: how many there were.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    calls: Option<u64>,
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

impl ReceiptBody {
    /// What every delivery has.
    fn new(
        delivery_id: Uuid,
        kind: DeliveryKind,
        register: Register,
        state: DeliveryState,
        received_at: DateTime<Utc>,
        counts: Counts,
    ) -> Self {
        let Counts {
            read,
            stored,
            ended,
            removed,
            rejected,
            customers,
            accounts,
        } = counts;
        Self {
            delivery_id,
            kind: kind_name(kind),
            register: register.name(),
            state: state_name(state),
            received_at: time(received_at),
            published_at: None,
            reason: None,
            day: None,
            calls: None,
            read,
            stored,
            ended,
            removed,
            rejected,
            customers,
            accounts,
            sha256: None,
            delivery_sequence: None,
            discarded_deliveries: Vec::new(),
        }
    }
}

impl From<&Receipt> for ReceiptBody {
    fn from(receipt: &Receipt) -> Self {
        let summary = &receipt.summary;
        Self {
            published_at: receipt.published_at.map(time),
            reason: receipt.reason.clone(),
            day: receipt.calls.map(|(day, _)| day),
            calls: receipt.calls.map(|(_, calls)| calls),
            sha256: summary.sha256.as_ref().map(hex),
            delivery_sequence: summary.sequence,
            discarded_deliveries: summary.discarded.clone(),
            ..Self::new(
                receipt.delivery_id,
                receipt.kind,
                receipt.set.register,
                receipt.state,
                receipt.received_at,
                summary.counts,
            )
        }
    }
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn kind_name(kind: DeliveryKind) -> &'static str {
    match kind {
        DeliveryKind::WholeSet => "wholeSet",
        DeliveryKind::Changes => "changes",
        DeliveryKind::Batch => "batch",
        DeliveryKind::Rollback => "rollback",
        DeliveryKind::KfrCalls => "kfrCalls",
    }
}

fn state_name(state: DeliveryState) -> &'static str {
    match state {
        DeliveryState::Receiving => "receiving",
        DeliveryState::Published => "published",
        DeliveryState::Rejected => "rejected",
        DeliveryState::Abandoned => "abandoned",
        DeliveryState::RolledBack => "rolledBack",
        DeliveryState::Superseded => "superseded",
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
    /// What is recorded of it.
    #[serde(skip)]
    pub delivery: DeliveryMark,
    /// The first 1,000 rejected lines; `rejected` counts all.
    rejects: Vec<RejectBody>,
}

impl RejectedBody {
    pub const CODE: &str = "KFR-012";

    /// For the document.
    pub fn example() -> Self {
        let (kind, state) = (DeliveryKind::WholeSet, DeliveryState::Rejected);
        let counts = Counts {
            read: 4711,
            rejected: 1,
            ..Counts::default()
        };
        let receipt = ReceiptBody {
            reason: Some("1 lines were rejected".to_owned()),
            ..ReceiptBody::new(
                Uuid::nil(),
                kind,
                Register::Kar,
                state,
                DateTime::UNIX_EPOCH,
                counts,
            )
        };
        let fault = LineFault {
            code: FaultCode::InvalidCustomer,
            parameter: "customerID".to_owned(),
            reason: "has a wrong check digit".to_owned(),
        };
        Self {
            error_code: Self::CODE,
            error_message: "Delivery rejected",
            correlation_id: Uuid::nil(),
            receipt,
            delivery: DeliveryMark {
                id: Uuid::nil(),
                sha256: None,
            },
            rejects: vec![RejectBody {
                line: 7,
                faults: vec![FaultBody::from(&fault)],
            }],
        }
    }

    pub fn new(receipt: &Receipt, rejects: &[Reject], correlation_id: Uuid) -> Self {
        Self {
            error_code: Self::CODE,
            error_message: "Delivery rejected",
            correlation_id,
            receipt: receipt.into(),
            delivery: mark_of(receipt),
            rejects: rejects.iter().map(Into::into).collect(),
        }
    }
}

/// A line that was not taken, with all that is wrong with it. What it holds is not repeated.
#[derive(Debug, Serialize, ToSchema)]
pub struct RejectBody {
    /// Counted from 1.
    pub line: u64,
    /// At least one.
    pub faults: Vec<FaultBody>,
}

/// One thing that is wrong with a line.
#[derive(Debug, Serialize, ToSchema)]
pub struct FaultBody {
    /// The field; `line` where it is none.
    #[schema(example = "customerID")]
    pub parameter: String,
    #[schema(example = "KFR-005")]
    pub code: &'static str,
    #[schema(example = "customerID has a wrong check digit.")]
    pub reason: String,
}

impl From<&Reject> for RejectBody {
    fn from(reject: &Reject) -> Self {
        Self {
            line: reject.line,
            faults: reject.faults.iter().map(Into::into).collect(),
        }
    }
}

impl From<&LineFault> for FaultBody {
    fn from(fault: &LineFault) -> Self {
        Self {
            parameter: fault.parameter.clone(),
            code: match fault.code {
                FaultCode::InvalidRecord => "KFR-004",
                FaultCode::InvalidCustomer => "KFR-005",
                FaultCode::NotFound => "KFR-008",
                FaultCode::InvalidDate => "KFR-010",
            },
            reason: sentence(&fault.parameter, &fault.reason),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_rejected_line_is_told_with_all_its_faults() {
        let fault = |code, parameter: &str| LineFault {
            code,
            parameter: parameter.to_owned(),
            reason: "is no good".to_owned(),
        };
        let reject = Reject {
            line: 7,
            faults: vec![
                fault(FaultCode::InvalidCustomer, "customerID"),
                fault(FaultCode::InvalidRecord, "line"),
                fault(FaultCode::InvalidDate, "toDate"),
                fault(FaultCode::NotFound, "end"),
            ],
        };
        let expected = json!({"line": 7, "faults": [
            {"parameter": "customerID", "code": "KFR-005", "reason": "customerID is no good."},
            {"parameter": "line", "code": "KFR-004", "reason": "The line is no good."},
            {"parameter": "toDate", "code": "KFR-010", "reason": "toDate is no good."},
            {"parameter": "end", "code": "KFR-008", "reason": "end is no good."},
        ]});
        assert_eq!(json!(RejectBody::from(&reject)), expected);
    }

    fn receipt(kind: DeliveryKind, state: DeliveryState) -> ReceiptBody {
        let at = "2026-11-20T12:00:00Z".parse().unwrap();
        ReceiptBody::new(Uuid::nil(), kind, Register::Kfr, state, at, Counts::default())
    }

    #[test]
    fn a_receipt_has_only_what_is_there() {
        use DeliveryKind::{Batch, Changes, KfrCalls, Rollback, WholeSet};
        use DeliveryState::{Abandoned, Published, Receiving, Rejected};
        for (kind, state, name) in [
            (WholeSet, Published, "wholeSet"),
            (WholeSet, Receiving, "wholeSet"),
            (Changes, Abandoned, "changes"),
            (Batch, Rejected, "batch"),
            (Rollback, Published, "rollback"),
            (KfrCalls, Published, "kfrCalls"),
        ] {
            let told = json!(receipt(kind, state));
            assert_eq!(told["kind"], name);
            for absent in [
                "publishedAt",
                "reason",
                "day",
                "calls",
                "sha256",
                "deliverySequence",
                "discardedDeliveries",
            ] {
                assert_eq!(told.get(absent), None, "{absent}");
            }
        }
        assert_eq!(hex(&[0xab; 32]), "ab".repeat(32));
        let calls = ReceiptBody {
            day: NaiveDate::from_ymd_opt(2026, 11, 20),
            calls: Some(3),
            ..receipt(KfrCalls, Published)
        };
        let told = json!(calls);
        assert_eq!((&told["day"], &told["calls"]), (&json!("2026-11-20"), &json!(3)));
        let refused = ReceiptBody {
            reason: Some("the connection broke".to_owned()),
            ..receipt(WholeSet, Abandoned)
        };
        assert_eq!(json!(refused)["reason"], "the connection broke");
    }
}
