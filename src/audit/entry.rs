//! What is kept of a call. Its sequence number is that of its place in the chain.

use super::ListedBanks;
use super::instance::InstanceId;
use super::keys::AuditKey;
use crate::domain::calendar::Period;
use crate::domain::identifiers::{AccountNumber, CustomerId, OrganizationNumber};
use crate::domain::noted::NotedText;
use crate::pseudonym::KeyFingerprint;
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// First byte of every entry: the lowest version that has what the entry holds, so that a program of a former version
/// reads on as far as it can. An entry of another version is refused.
const FORMAT_VERSION: u8 = 1;
/// Since then there are acts of operators.
const FORMAT_VERSION_OF_ACTS: u8 = 2;
/// Since then there are calls that were turned away.
const FORMAT_VERSION_OF_TURNED_AWAY: u8 = 3;

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
}

/// An entry as it stands in the log.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredEntry<'a> {
    /// The instance that wrote it.
    pub(super) instance: &'a str,
    /// The key that it was made with.
    pub(super) key: KeyFingerprint,
    /// When the call arrived; microseconds since 1970.
    pub(super) at: i64,
    #[serde(borrow)]
    pub(super) event: StoredEvent<'a>,
}

#[derive(Serialize, Deserialize)]
pub(super) enum StoredEvent<'a> {
    #[serde(borrow)]
    Call(StoredCall<'a>),
    /// Written to find out whether the log can be written.
    Probe,
    #[serde(borrow)]
    Act(StoredAct<'a>),
    TurnedAway(StoredTurnedAway),
}

/// Calls of one consumer in one minute, whose beginning is the time of the entry.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredTurnedAway {
    pub(super) consumer: u32,
    pub(super) calls: u64,
}

/// Stored in the order of the fields; what is not of the deed is absent.
#[derive(Serialize, Deserialize)]
pub(super) struct StoredAct<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) operator: &'a str,
    pub(super) correlation: Uuid,
    pub(super) sought_case: Option<Uuid>,
    pub(super) sought_correlation: Option<Uuid>,
    pub(super) bank: Option<u32>,
    pub(super) delivery: Option<Uuid>,
    pub(super) status: u16,
}

#[derive(Serialize, Deserialize)]
pub(super) struct StoredCall<'a> {
    pub(super) endpoint: Endpoint,
    pub(super) consumer: u32,
    pub(super) supplier: Option<u32>,
    pub(super) token_id: Option<&'a str>,
    pub(super) client_amr: Option<&'a str>,
    pub(super) correlation: Uuid,
    pub(super) case: Option<Uuid>,
    pub(super) legal_mandate: Option<&'a str>,
    /// As its pseudonym.
    #[serde(borrow)]
    pub(super) subject: Option<StoredSubject<'a>>,
    /// First and last day, counted from the first of year 1.
    pub(super) period: Option<(i32, i32)>,
    pub(super) only_primary_owner: Option<bool>,
    pub(super) status: u16,
    pub(super) banks: Vec<u32>,
    pub(super) service: Option<&'a str>,
    pub(super) outside_terms: Option<&'a str>,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum StoredSubject<'a> {
    Customer(&'a [u8]),
    Account(&'a [u8]),
}

impl<'a> StoredSubject<'a> {
    /// The subject as `pseudonym`, which is of its kind.
    pub(super) fn of(subject: &Subject, pseudonym: &'a [u8]) -> Self {
        match subject {
            Subject::Customer(_) => Self::Customer(pseudonym),
            Subject::Account(_) => Self::Account(pseudonym),
        }
    }
}

impl<'a> StoredEntry<'a> {
    /// `None` for bytes that no version known here wrote.
    pub(super) fn decode(bytes: &'a [u8]) -> Option<Self> {
        match bytes.split_first()? {
            (&(FORMAT_VERSION..=FORMAT_VERSION_OF_TURNED_AWAY), entry) => postcard::from_bytes(entry).ok(),
            _ => None,
        }
    }
}

pub(super) fn encode(
    call: &Call,
    conclusion: &impl Conclusion,
    instance: &InstanceId,
    key: &AuditKey,
) -> Vec<u8> {
    let pseudonym = call.subject.as_ref().map(|subject| key.pseudonym(subject));
    let subject = call.subject.as_ref().zip(pseudonym.as_ref());
    to_bytes(&StoredEntry {
        instance: instance.as_str(),
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
        }),
    })
}

pub(super) fn probe(instance: &InstanceId, key: &AuditKey) -> Vec<u8> {
    to_bytes(&StoredEntry {
        instance: instance.as_str(),
        key: key.id(),
        at: Utc::now().timestamp_micros(),
        event: StoredEvent::Probe,
    })
}

pub(super) fn encode_act(act: &OperatorAct, instance: &InstanceId, key: &AuditKey) -> Vec<u8> {
    let (endpoint, sought, undone) = match act.deed {
        Deed::Search { case, correlation } => (Endpoint::ConsoleSearch, (case, correlation), None),
        Deed::Rollback { bank, delivery } => {
            (Endpoint::ConsoleRollback, (None, None), Some((bank, delivery)))
        }
    };
    to_bytes(&StoredEntry {
        instance: instance.as_str(),
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
    instance: &InstanceId,
    key: &AuditKey,
) -> Vec<u8> {
    to_bytes(&StoredEntry {
        instance: instance.as_str(),
        key: key.id(),
        at: minute.timestamp_micros(),
        event: StoredEvent::TurnedAway(StoredTurnedAway {
            consumer: consumer.as_u32(),
            calls,
        }),
    })
}

fn to_bytes(entry: &StoredEntry) -> Vec<u8> {
    let version = match entry.event {
        StoredEvent::Call(_) | StoredEvent::Probe => FORMAT_VERSION,
        StoredEvent::Act(_) => FORMAT_VERSION_OF_ACTS,
        StoredEvent::TurnedAway(_) => FORMAT_VERSION_OF_TURNED_AWAY,
    };
    let mut bytes = Vec::with_capacity(USUAL_ENTRY_BYTES);
    bytes.push(version);
    postcard::to_extend(entry, bytes).expect("a vector grows as needed, and every field has a known length")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pseudonym::MasterKey;

    #[test]
    fn an_act_is_of_a_later_version_than_what_was_there_before() {
        let key = AuditKey::of(&MasterKey::generate().unwrap());
        let instance = InstanceId::parse("one").unwrap();
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
        let bytes = encode_act(&act, &instance, &key);
        assert_eq!((bytes[0], probe(&instance, &key)[0]), (2, 1));
        let decoded = StoredEntry::decode(&bytes).unwrap();
        assert!(matches!(decoded.event, StoredEvent::Act(act) if act.operator == "Kari (0011aabb)"));
        let later = [&[4], &bytes[1..]].concat();
        assert!(StoredEntry::decode(&later).is_none());
    }
}
