//! Finds recorded calls in one log or several.

use super::entry::{
    StoredAct, StoredCall, StoredEntry, StoredEvent, StoredSubject, StoredTurnedAway, Subject,
};
use super::keys::KeyRing;
use super::log::{LogFault, Record, entries, understand};
use crate::domain::calendar::oslo_day;
use crate::domain::identifiers::OrganizationNumber;
use crate::pseudonym::Sealed;
use chrono::{DateTime, NaiveDate};
use std::path::{Path, PathBuf};
use uuid::Uuid;

/// What is looked for; everything that is given must hold.
#[derive(Debug, Clone, Default)]
pub struct Query {
    /// AccountInfoRequestID.
    pub case: Option<Uuid>,
    pub correlation: Option<Uuid>,
    pub consumer: Option<OrganizationNumber>,
    /// The day in Oslo.
    pub day: Option<NaiveDate>,
    pub subject: Option<Subject>,
}

/// Why a search ended early.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error("{}: {fault}", folder.display())]
    Log { folder: PathBuf, fault: LogFault },
    /// What was found could not be handed on.
    #[error("the search was cut short: {0}")]
    Interrupted(#[from] std::io::Error),
}

/// Hands every recorded call that fits to `found`, log by log and in the order of each, proving the logs on the
/// way. Holds one segment in memory. What was found before a damaged place has been handed on.
///
/// # Errors
/// At the first place where a log cannot be proved, or when `found` fails.
pub fn search(
    folders: &[PathBuf],
    ring: &KeyRing,
    query: &Query,
    mut found: impl FnMut(&Record) -> std::io::Result<()>,
) -> Result<(), SearchError> {
    let wanted = Wanted::new(query, ring);
    for folder in folders {
        search_one(folder, ring, &wanted, &mut found)?;
    }
    Ok(())
}

fn search_one(
    folder: &Path,
    ring: &KeyRing,
    wanted: &Wanted,
    found: &mut impl FnMut(&Record) -> std::io::Result<()>,
) -> Result<(), SearchError> {
    let damaged = |fault| SearchError::Log {
        folder: folder.to_owned(),
        fault,
    };
    for entry in entries(folder, ring).map_err(damaged)? {
        let entry = entry.map_err(|error| damaged(error.into()))?;
        let stored = understand(&entry, ring).map_err(damaged)?;
        if wanted.is(&stored)
            && let Some(record) = Record::new(entry.sequence, &stored)
        {
            found(&record)?;
        }
    }
    Ok(())
}

/// A query with the subject's pseudonym under every key of the ring.
pub(super) struct Wanted<'a> {
    query: &'a Query,
    pseudonyms: Vec<Sealed>,
}

impl<'a> Wanted<'a> {
    pub(super) fn new(query: &'a Query, ring: &KeyRing) -> Self {
        let under_each_key = |subject| ring.all().map(|key| key.pseudonym(subject)).collect();
        Self {
            query,
            pseudonyms: query.subject.as_ref().map(under_each_key).unwrap_or_default(),
        }
    }

    pub(super) fn is(&self, entry: &StoredEntry) -> bool {
        let is_it = match &entry.event {
            StoredEvent::Call(call) => self.is_call(call),
            StoredEvent::Act(act) => self.is_act(act),
            StoredEvent::TurnedAway(calls) => self.is_turned_away(calls),
            StoredEvent::Probe => false,
        };
        is_it && self.query.day.is_none_or(|day| day_of(entry) == day)
    }

    /// Acts are found by what they sought, too.
    fn is_act(&self, act: &StoredAct) -> bool {
        let Query {
            case,
            correlation,
            consumer,
            day: _,
            subject,
        } = self.query;
        case.is_none_or(|case| act.sought_case == Some(case))
            && correlation.is_none_or(|id| act.correlation == id || act.sought_correlation == Some(id))
            && consumer.is_none()
            && subject.is_none()
    }

    /// What each of them was about is not known.
    fn is_turned_away(&self, calls: &StoredTurnedAway) -> bool {
        let query = self.query;
        query
            .consumer
            .is_none_or(|consumer| calls.consumer == consumer.as_u32())
            && query.case.is_none()
            && query.correlation.is_none()
            && query.subject.is_none()
    }

    fn is_call(&self, call: &StoredCall) -> bool {
        let query = self.query;
        query.case.is_none_or(|case| call.case == Some(case))
            && query.correlation.is_none_or(|id| call.correlation == id)
            && query
                .consumer
                .is_none_or(|consumer| call.consumer == consumer.as_u32())
            && query.subject.as_ref().is_none_or(|subject| {
                let is_it =
                    |sealed: &Sealed| call.subject == Some(StoredSubject::of(subject, sealed.as_bytes()));
                self.pseudonyms.iter().any(is_it)
            })
    }
}

/// The day in Oslo on which the entry was made.
pub(super) fn day_of(entry: &StoredEntry) -> NaiveDate {
    oslo_day(DateTime::from_timestamp_micros(entry.at).unwrap_or_default())
}
