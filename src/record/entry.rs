//! What is kept of a call. Its sequence number is that of its place in the chain.

use super::ListedBanks;
use super::keys::RecordKey;
use super::stored::{
    FORMAT_VERSION, StoredAct, StoredCall, StoredEntry, StoredEvent, StoredReceipt, StoredSubject,
};
use crate::domain::calendar::Period;
use crate::domain::identifiers::{AccountNumber, CustomerId, OrganizationNumber};
use chrono::{DateTime, Datelike, Utc};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
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
            | Self::ConsoleRollback => false,
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
    pub token_id: Option<String>,
    pub client_amr: Option<String>,
    pub correlation: Uuid,
    pub case: Option<Uuid>,
    pub legal_mandate: Option<String>,
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
    let legal_mandate = call.legal_mandate.as_deref().map(mask_identifiers);
    let pseudonym = call.subject.as_ref().map(|subject| key.pseudonym(subject));
    let subject = call.subject.as_ref().zip(pseudonym.as_ref());
    to_bytes(&StoredEntry {
        key: key.id(),
        at: call.at.timestamp_micros(),
        event: StoredEvent::Call(StoredCall {
            endpoint: call.endpoint,
            consumer: call.consumer.as_u32(),
            supplier: call.supplier.map(OrganizationNumber::as_u32),
            token_id: call.token_id.as_deref(),
            client_amr: call.client_amr.as_deref(),
            correlation: call.correlation,
            case: call.case,
            legal_mandate: legal_mandate.as_deref(),
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

fn to_bytes(entry: &StoredEntry) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(USUAL_ENTRY_BYTES);
    bytes.push(FORMAT_VERSION);
    postcard::to_extend(entry, bytes).expect("a vector grows as needed, and every field has a known length")
}

/// Digits that are kept where they stand together.
const MOST_DIGITS_KEPT: usize = 8;
/// How identifiers are written with blanks or dots: persons, accounts, organisations.
const GROUPS: [&[usize]; 3] = [&[6, 5], &[4, 2, 5], &[3, 3, 3]];
const FEWEST_DIGITS_OF_A_GROUP: usize = 3;
const BETWEEN_GROUPS: [&str; 4] = [" ", ".", "\u{a0}", "\u{202f}"];

/// A mandate is the caller's own text. Should somebody write an identifier into it, it is not kept.
fn mask_identifiers(text: &str) -> Cow<'_, str> {
    if !runs_of(text).any(|run| digits_of(run) >= FEWEST_DIGITS_OF_A_GROUP) {
        return text.into();
    }
    let runs: Vec<&str> = runs_of(text).collect();
    let (mut masked, mut rest) = (String::with_capacity(text.len()), &runs[..]);
    while let Some(run) = rest.first() {
        let identifier = identifier_at(rest);
        masked.push_str(if identifier == 0 { run } else { "(masked)" });
        rest = &rest[identifier.max(1)..];
    }
    masked.into()
}

/// Digits and what is between them, in turn.
fn runs_of(text: &str) -> impl Iterator<Item = &str> {
    let alike = |a: &u8, b: &u8| a.is_ascii_digit() == b.is_ascii_digit();
    let mut rest = text;
    text.as_bytes().chunk_by(alike).map(move |run| {
        let (run, after) = rest.split_at(run.len());
        rest = after;
        run
    })
}

fn digits_of(run: &str) -> usize {
    match run.as_bytes() {
        [b'0'..=b'9', ..] => run.len(),
        _ => 0,
    }
}

/// How many runs are the identifier that begins with the first; 0: none does.
fn identifier_at(runs: &[&str]) -> usize {
    if digits_of(runs[0]) > MOST_DIGITS_KEPT {
        return 1;
    }
    let is_written = |groups: &&&[usize]| {
        let length = 2 * groups.len() - 1;
        runs.len() >= length
            && runs
                .iter()
                .step_by(2)
                .zip(**groups)
                .all(|(run, digits)| digits_of(run) == *digits)
            && runs[..length]
                .iter()
                .skip(1)
                .step_by(2)
                .all(|between| BETWEEN_GROUPS.contains(between))
    };
    GROUPS
        .iter()
        .find(is_written)
        .map_or(0, |groups| 2 * groups.len() - 1)
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

    #[test]
    fn an_identifier_in_a_mandate_is_not_kept() {
        assert_eq!(
            mask_identifiers("§ 10-2 om 17912099997, æ"),
            "§ 10-2 om (masked), æ"
        );
        assert_eq!(mask_identifiers("123456785"), "(masked)");
        for written in [
            "179120 99997",
            "8601.11.17947",
            "8601 11 17947",
            "974 760 673",
            "179120\u{a0}99997",
        ] {
            assert_eq!(
                mask_identifiers(&format!("om {written}, § 2")),
                "om (masked), § 2",
                "{written}"
            );
        }
        for kept in [
            "LOV-2005-05-20-28",
            "§ 10-2-1",
            "15. juni 2018 nr. 38",
            "01.01.2024",
            "179120, 99997",
            "§ 210 123456",
            "æ",
        ] {
            assert_eq!(mask_identifiers(kept), kept);
        }
        assert_eq!(mask_identifiers("Lov 20240101"), "Lov 20240101");
    }
}
