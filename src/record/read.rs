//! An entry as it is read back: understood, and as people and programs read it.

use super::fault::Flaw;
use super::hex;
use super::keys::KeyRing;
use super::stored::{
    StoredAct, StoredCall, StoredEntry, StoredEvent, StoredReceipt, StoredSubject, StoredTurnedAway,
};
use super::{DeliveryMark, Endpoint};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use uuid::Uuid;

/// What each call that was turned away was answered with.
const STATUS_OF_TURNED_AWAY: u16 = 429;

/// What stands in an entry, if its key is in the ring.
pub(super) fn understand<'a>(entry: &'a [u8], ring: &KeyRing) -> Result<StoredEntry<'a>, Flaw> {
    let stored = StoredEntry::decode(entry).ok_or(Flaw::UnknownVersion)?;
    match ring.find(stored.key) {
        Some(_) => Ok(stored),
        None => Err(Flaw::UnknownKey),
    }
}

/// A recorded call or act of an operator, for reading by people and programs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub time: DateTime<Utc>,
    pub instance: Uuid,
    pub sequence: u64,
    /// Id of the key that it was made with.
    pub key: String,
    /// Absent of an operator's act.
    pub consumer: Option<String>,
    /// Who used the console, by name and session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// The delivery that was received, told of, or rolled back.
    #[serde(rename = "deliveryID", skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Uuid>,
    /// Of the delivery's decoded body.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    pub supplier: Option<String>,
    pub jti: Option<String>,
    pub client_amr: Option<String>,
    pub endpoint: Endpoint,
    pub service: Option<String>,
    pub outside_terms: Option<String>,
    pub legal_mandate: Option<String>,
    #[serde(rename = "accountInfoRequestID")]
    pub case: Option<Uuid>,
    /// Absent of a delivery that took effect without a record, and of calls that were turned away.
    #[serde(rename = "correlationID")]
    pub correlation: Option<Uuid>,
    /// The pseudonym under `key`.
    #[serde(rename = "customerPseudonym")]
    pub customer: Option<String>,
    /// The pseudonym under `key`.
    #[serde(rename = "accountPseudonym")]
    pub account: Option<String>,
    pub from_date: Option<NaiveDate>,
    pub to_date: Option<NaiveDate>,
    pub only_primary_owner: Option<bool>,
    /// Absent of a delivery that took effect without a record.
    pub status: Option<u16>,
    /// How many calls were turned away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    pub banks: Vec<String>,
}

impl Record {
    /// `None` for an entry about nothing but the record itself.
    pub(super) fn new(instance: Uuid, sequence: u64, entry: &StoredEntry) -> Option<Self> {
        let about = |endpoint| Self::about(instance, sequence, entry, endpoint);
        match &entry.event {
            StoredEvent::Call(call) => Some(about(call.endpoint).of_call(call)),
            StoredEvent::Act(act) => Some(about(act.endpoint).of_act(act)),
            StoredEvent::Late(receipt) => Some(about(receipt.endpoint).of_late(receipt)),
            StoredEvent::TurnedAway(calls) => Some(about(Endpoint::TurnedAway).of_turned_away(calls)),
            StoredEvent::Probe => None,
        }
    }

    /// What every entry has.
    fn about(instance: Uuid, sequence: u64, entry: &StoredEntry, endpoint: Endpoint) -> Self {
        Self {
            time: DateTime::from_timestamp_micros(entry.at).unwrap_or_default(),
            instance,
            sequence,
            key: hex::encode(&entry.key),
            consumer: None,
            operator: None,
            delivery: None,
            sha256: None,
            supplier: None,
            jti: None,
            client_amr: None,
            endpoint,
            service: None,
            outside_terms: None,
            legal_mandate: None,
            case: None,
            correlation: None,
            customer: None,
            account: None,
            from_date: None,
            to_date: None,
            only_primary_owner: None,
            status: None,
            calls: None,
            banks: Vec::new(),
        }
    }

    fn of_call(self, call: &StoredCall) -> Self {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let day = |of: fn((i32, i32)) -> i32| {
            call.period
                .and_then(|p| NaiveDate::from_num_days_from_ce_opt(of(p)))
        };
        let (customer, account) = pseudonyms(call);
        Self {
            consumer: Some(organization(call.consumer)),
            supplier: call.supplier.map(organization),
            jti: text(call.token_id),
            client_amr: text(call.client_amr),
            service: text(call.service),
            outside_terms: text(call.outside_terms),
            legal_mandate: text(call.legal_mandate),
            case: call.case,
            correlation: Some(call.correlation),
            customer,
            account,
            from_date: day(|period| period.0),
            to_date: day(|period| period.1),
            only_primary_owner: call.only_primary_owner,
            status: Some(call.status),
            banks: call.banks.iter().copied().map(organization).collect(),
            ..self.of_delivery(call.delivery)
        }
    }

    fn of_act(self, act: &StoredAct) -> Self {
        Self {
            operator: Some(act.operator.to_owned()),
            delivery: act.delivery,
            case: act.sought_case,
            correlation: Some(act.correlation),
            status: Some(act.status),
            banks: act.bank.into_iter().map(organization).collect(),
            ..self
        }
    }

    fn of_turned_away(self, turned_away: &StoredTurnedAway) -> Self {
        Self {
            consumer: Some(organization(turned_away.consumer)),
            status: Some(STATUS_OF_TURNED_AWAY),
            calls: Some(turned_away.calls),
            ..self
        }
    }

    fn of_late(self, receipt: &StoredReceipt) -> Self {
        Self {
            consumer: Some(organization(receipt.bank)),
            ..self.of_delivery(Some(receipt.delivery))
        }
    }

    fn of_delivery(self, delivery: Option<DeliveryMark>) -> Self {
        let sha256 = delivery.and_then(|delivery| delivery.sha256);
        Self {
            delivery: delivery.map(|delivery| delivery.id),
            sha256: sha256.map(|hash| hex::encode(&hash)),
            ..self
        }
    }
}

fn pseudonyms(call: &StoredCall) -> (Option<String>, Option<String>) {
    match call.subject {
        Some(StoredSubject::Customer(bytes)) => (Some(hex::encode(bytes)), None),
        Some(StoredSubject::Account(bytes)) => (None, Some(hex::encode(bytes))),
        None => (None, None),
    }
}

fn organization(number: u32) -> String {
    format!("{number:09}")
}
