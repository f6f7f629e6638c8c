//! What is kept of a call. Its sequence number is that of its place in the chain.

use super::ListedBanks;
use super::keys::RecordKey;
use super::stored::{
    FORMAT_VERSION, StoredAct, StoredCall, StoredEntry, StoredEvent, StoredReceipt, StoredSubject,
    StoredTurnedAway,
};
use crate::domain::calendar::Period;
use crate::domain::identifiers::{AccountNumber, CustomerId, OrganizationNumber};
use crate::domain::noted::NotedText;
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Bytes that most entries fit in.
const USUAL_ENTRY_BYTES: usize = 512;

/// The operations that are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Endpoint {
    CustomerRelationships,
    AccountServicingProvider,
    Participants,
    KfrAdd,
    KfrEnd,
    KfrBatch,
    KfrRead,
    WholeSet,
    Services,
    Changes,
    Deliveries,
    Delivery,
    Rejects,
    Rollback,
    OwnRecords,
    /// An operator's search of the record of use, in the console.
    ConsoleSearch,
    /// An operator's rollback: 202 just before it is done, then what it ended in.
    ConsoleRollback,
    /// Of any operation: calls of a consumer that was refused too often in a minute, with their number.
    TurnedAway,
}

impl Endpoint {
    /// Whether its calls deliver, and are answered with a receipt of their own.
    pub(super) fn makes_deliveries(self) -> bool {
        match self {
            Self::KfrBatch | Self::WholeSet | Self::Changes | Self::Rollback => true,
            Self::CustomerRelationships
            | Self::AccountServicingProvider
            | Self::Participants
            | Self::KfrAdd
            | Self::KfrEnd
            | Self::KfrRead
            | Self::Services
            | Self::Deliveries
            | Self::Delivery
            | Self::Rejects
            | Self::OwnRecords
            | Self::ConsoleSearch
            | Self::ConsoleRollback
            | Self::TurnedAway => false,
        }
    }
}

/// Whom or what a call is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    Customer(CustomerId),
    Account(AccountNumber),
}

/// A call that passed authentication.
#[derive(Debug, Clone)]
pub struct Call {
    /// When it arrived.
    pub at: DateTime<Utc>,
    pub endpoint: Endpoint,
    pub consumer: OrganizationNumber,
    pub supplier: Option<OrganizationNumber>,
    /// The token's `jti` and `client_amr`.
    pub token_id: Option<NotedText>,
    pub client_amr: Option<NotedText>,
    pub correlation: Uuid,
    pub case: Option<Uuid>,
    pub legal_mandate: Option<NotedText>,
    pub subject: Option<Subject>,
    pub period: Option<Period>,
    pub only_primary_owner: Option<bool>,
    /// The DSOP service that a lookup fits; outside all terms, the closest one.
    pub service: Option<String>,
    /// The term that a lookup fails. With status 403 it was refused for it; with another one it was let through,
    /// since the terms were only observed.
    pub outside_terms: Option<&'static str>,
}

/// What an operator does in the console.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorAct {
    pub at: DateTime<Utc>,
    /// By name and session.
    pub operator: String,
    /// Of the act itself; entries of one act share it.
    pub correlation: Uuid,
    pub deed: Deed,
    /// The HTTP status that will be answered.
    pub status: u16,
}

/// What of the console's is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    Search {
        case: Option<Uuid>,
        correlation: Option<Uuid>,
    },
    Rollback {
        bank: OrganizationNumber,
        delivery: Uuid,
    },
}

/// What a call ended in, as far as the record keeps it. Implemented beside the one map of errors to statuses.
pub trait Conclusion {
    /// The HTTP status that will be answered.
    fn status(&self) -> u16;
    fn banks(&self) -> ListedBanks;
    /// Whether nothing was done or told. A 404 tells what was asked.
    fn is_refusal(&self) -> bool {
        (400..500).contains(&self.status()) && self.status() != 404
    }
    /// The delivery whose receipt is answered.
    fn delivery(&self) -> Option<DeliveryMark> {
        None
    }
}

/// Which delivery, and what was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliveryMark {
    pub id: Uuid,
    /// Of the decoded body, if it was read to its end.
    pub sha256: Option<[u8; 32]>,
}

/// A delivery that took effect without a record: the process ended in between, or nothing could be recorded, and so the
/// bank was not answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateRecord {
    /// When it arrived.
    pub at: DateTime<Utc>,
    pub bank: OrganizationNumber,
    pub endpoint: Endpoint,
    pub delivery: DeliveryMark,
}

pub(super) fn encode(call: &Call, conclusion: &impl Conclusion, key: &RecordKey) -> Vec<u8> {
    let pseudonym = call.subject.as_ref().map(|subject| key.pseudonym(subject));
    let subject = call.subject.as_ref().zip(pseudonym.as_ref());
    to_bytes(&StoredEntry {
        key: key.id(),
        at: call.at.timestamp_micros(),
        event: StoredEvent::Call(StoredCall {
            endpoint: call.endpoint,
            consumer: call.consumer.as_u32(),
            supplier: call.supplier.map(OrganizationNumber::as_u32),
            token_id: call.token_id.as_ref().map(NotedText::as_str),
            client_amr: call.client_amr.as_ref().map(NotedText::as_str),
            correlation: call.correlation,
            case: call.case,
            legal_mandate: call.legal_mandate.as_ref().map(NotedText::as_str),
            subject: subject.map(|(subject, sealed)| StoredSubject::of(subject, sealed.as_bytes())),
            period: call
                .period
                .map(|period| (period.from().num_days_from_ce(), period.to().num_days_from_ce())),
            only_primary_owner: call.only_primary_owner,
            status: conclusion.status(),
            banks: conclusion
                .banks()
                .into_iter()
                .map(OrganizationNumber::as_u32)
                .collect(),
            service: call.service.as_deref(),
            outside_terms: call.outside_terms,
            delivery: conclusion.delivery(),
        }),
    })
}

pub(super) fn probe(key: &RecordKey) -> Vec<u8> {
    to_bytes(&StoredEntry {
        key: key.id(),
        at: Utc::now().timestamp_micros(),
        event: StoredEvent::Probe,
    })
}

pub(super) fn encode_late(receipt: &LateRecord, key: &RecordKey) -> Vec<u8> {
    to_bytes(&StoredEntry {
        key: key.id(),
        at: receipt.at.timestamp_micros(),
        event: StoredEvent::Late(StoredReceipt {
            endpoint: receipt.endpoint,
            bank: receipt.bank.as_u32(),
            delivery: receipt.delivery,
        }),
    })
}

pub(super) fn encode_act(act: &OperatorAct, key: &RecordKey) -> Vec<u8> {
    let (endpoint, sought, undone) = match act.deed {
        Deed::Search { case, correlation } => (Endpoint::ConsoleSearch, (case, correlation), None),
        Deed::Rollback { bank, delivery } => {
            (Endpoint::ConsoleRollback, (None, None), Some((bank, delivery)))
        }
    };
    to_bytes(&StoredEntry {
        key: key.id(),
        at: act.at.timestamp_micros(),
        event: StoredEvent::Act(StoredAct {
            endpoint,
            operator: &act.operator,
            correlation: act.correlation,
            sought_case: sought.0,
            sought_correlation: sought.1,
            bank: undone.map(|(bank, _)| bank.as_u32()),
            delivery: undone.map(|(_, delivery)| delivery),
            status: act.status,
        }),
    })
}

pub(super) fn encode_turned_away(
    consumer: OrganizationNumber,
    minute: DateTime<Utc>,
    calls: u64,
    key: &RecordKey,
) -> Vec<u8> {
    to_bytes(&StoredEntry {
        key: key.id(),
        at: minute.timestamp_micros(),
        event: StoredEvent::TurnedAway(StoredTurnedAway {
            consumer: consumer.as_u32(),
            calls,
        }),
    })
}

fn to_bytes(entry: &StoredEntry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_ENTRY_BYTES);
    bytes.push(FORMAT_VERSION);
    postcard::to_extend(entry, bytes).expect("a vector grows as needed, and every field has a known length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pseudonym::MasterKey;

    #[test]
    fn an_entry_of_another_version_is_not_understood() {
        let key = RecordKey::of(&MasterKey::generate().unwrap());
        let act = OperatorAct {
            at: Utc::now(),
            operator: "Kari (0011aabb)".to_owned(),
            correlation: Uuid::new_v4(),
            deed: Deed::Search {
                case: Some(Uuid::new_v4()),
                correlation: None,
            },
            status: 200,
        };
        let bytes = encode_act(&act, &key);
        let decoded = StoredEntry::decode(&bytes).unwrap();
        assert!(matches!(decoded.event, StoredEvent::Act(act) if act.operator == "Kari (0011aabb)"));
        let later = [&[FORMAT_VERSION + 1], &bytes[1..]].concat();
        assert!(StoredEntry::decode(&later).is_none());
    }
}
