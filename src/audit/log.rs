//! A record of use as it is read back: proved entry by entry, and understood.

use super::entry::{
    Endpoint, StoredAct, StoredCall, StoredEntry, StoredEvent, StoredSubject, StoredTurnedAway,
};
use super::hex;
use super::keys::KeyRing;
use crate::chain::{self, Corrupt, Entries, Entry, Fault, Flaw, ReadError};
use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;
use std::path::Path;
use uuid::Uuid;

/// What each call that was turned away was answered with.
const STATUS_OF_TURNED_AWAY: u16 = 429;

/// Where a log cannot be proved or understood.
#[derive(Debug, thiserror::Error)]
pub enum LogFault {
    /// A file of it cannot be read.
    #[error("{0}: {cause}", cause = .0.source)]
    Unreadable(Fault),
    /// It is not what was written.
    #[error("{0}")]
    Corrupt(Corrupt),
    /// A segment's header does not fit any key of the ring.
    #[error(
        "segment {segment:020}: the header is damaged, or was made with a key that is not in the ring \
         (`audit.key_files`)"
    )]
    Header {
        /// The segment, by the sequence number that its file is named by.
        segment: u64,
    },
    /// An entry is proved, but of a version that this program does not know.
    #[error("entry {0} is of a version that this program does not know")]
    UnknownVersion(u64),
    /// The log ends before an entry that this process has written.
    #[error("the log ends at entry {last}, and entry {written} was written")]
    Cut { last: u64, written: u64 },
    /// An entry was made with a key that is not in the ring.
    #[error("entry {0} was made with a key that is not in the ring (`audit.key_files`)")]
    UnknownKey(u64),
}

impl From<Corrupt> for LogFault {
    fn from(corrupt: Corrupt) -> Self {
        match corrupt.flaw {
            Flaw::Header => Self::Header {
                segment: corrupt.segment,
            },
            _ => Self::Corrupt(corrupt),
        }
    }
}

impl From<ReadError> for LogFault {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Io(fault) => Self::Unreadable(fault),
            ReadError::Corrupt(corrupt) => corrupt.into(),
        }
    }
}

/// Starts reading the log in `folder`.
pub(super) fn entries(folder: &Path, ring: &KeyRing) -> Result<Entries, LogFault> {
    Ok(chain::entries(folder, &ring.head_key())?)
}

/// What stands in an entry, if its key is in the ring.
pub(super) fn understand<'a>(entry: &'a Entry, ring: &KeyRing) -> Result<StoredEntry<'a>, LogFault> {
    let stored = StoredEntry::decode(&entry.payload).ok_or(LogFault::UnknownVersion(entry.sequence))?;
    match ring.find(stored.key) {
        Some(_) => Ok(stored),
        None => Err(LogFault::UnknownKey(entry.sequence)),
    }
}

/// Whether the log in `folder` can be read with the ring, judged by its segments' ends; true of a folder without
/// a log.
///
/// # Errors
/// See [`LogFault`].
pub fn check(folder: &Path, ring: &KeyRing) -> Result<(), LogFault> {
    if !folder.exists() {
        return Ok(());
    }
    Ok(chain::check_ends(folder, &ring.head_key())?)
}

/// A recorded call or act of an operator, for reading by people and programs.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    pub time: DateTime<Utc>,
    pub instance: String,
    pub sequence: u64,
    /// Id of the audit key.
    pub key: String,
    /// Absent of an operator's act.
    pub consumer: Option<String>,
    /// Who used the console, by name and session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operator: Option<String>,
    /// The delivery that an operator rolled back.
    #[serde(rename = "deliveryID", skip_serializing_if = "Option::is_none")]
    pub delivery: Option<Uuid>,
    pub supplier: Option<String>,
    pub jti: Option<String>,
    pub client_amr: Option<String>,
    pub endpoint: Endpoint,
    pub service: Option<String>,
    pub outside_terms: Option<String>,
    pub legal_mandate: Option<String>,
    #[serde(rename = "accountInfoRequestID")]
    pub case: Option<Uuid>,
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
    pub status: u16,
    /// How many calls were turned away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calls: Option<u64>,
    pub banks: Vec<String>,
}

impl Record {
    /// `None` for an entry about nothing but the log itself.
    pub(super) fn new(sequence: u64, entry: &StoredEntry) -> Option<Self> {
        match &entry.event {
            StoredEvent::Call(call) => Some(Self::of_call(sequence, entry, call)),
            StoredEvent::Act(act) => Some(Self::of_act(sequence, entry, act)),
            StoredEvent::TurnedAway(calls) => Some(Self::of_turned_away(sequence, entry, calls)),
            StoredEvent::Probe => None,
        }
    }

    fn of_call(sequence: u64, entry: &StoredEntry, call: &StoredCall) -> Self {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let day = |of: fn((i32, i32)) -> i32| {
            call.period
                .and_then(|p| NaiveDate::from_num_days_from_ce_opt(of(p)))
        };
        let (customer, account) = pseudonyms(call);
        Self {
            time: DateTime::from_timestamp_micros(entry.at).unwrap_or_default(),
            instance: entry.instance.to_owned(),
            sequence,
            key: hex::encode(&entry.key),
            consumer: Some(organization(call.consumer)),
            operator: None,
            delivery: None,
            supplier: call.supplier.map(organization),
            jti: text(call.token_id),
            client_amr: text(call.client_amr),
            endpoint: call.endpoint,
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
            status: call.status,
            calls: None,
            banks: call.banks.iter().copied().map(organization).collect(),
        }
    }

    fn of_act(sequence: u64, entry: &StoredEntry, act: &StoredAct) -> Self {
        Self {
            operator: Some(act.operator.to_owned()),
            delivery: act.delivery,
            case: act.sought_case,
            correlation: Some(act.correlation),
            banks: act.bank.into_iter().map(organization).collect(),
            ..Self::of_no_call(sequence, entry, act.endpoint, act.status)
        }
    }

    fn of_turned_away(sequence: u64, entry: &StoredEntry, turned_away: &StoredTurnedAway) -> Self {
        Self {
            consumer: Some(organization(turned_away.consumer)),
            calls: Some(turned_away.calls),
            ..Self::of_no_call(sequence, entry, Endpoint::TurnedAway, STATUS_OF_TURNED_AWAY)
        }
    }

    fn of_no_call(sequence: u64, entry: &StoredEntry, endpoint: Endpoint, status: u16) -> Self {
        Self {
            time: DateTime::from_timestamp_micros(entry.at).unwrap_or_default(),
            instance: entry.instance.to_owned(),
            sequence,
            key: hex::encode(&entry.key),
            consumer: None,
            operator: None,
            delivery: None,
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
            status,
            calls: None,
            banks: Vec::new(),
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
