//! Finds recorded calls: by the index where there is one, and by reading the entries that it does not hold yet.

use super::engine::{Reader, RecordPlace};
use super::entry::Subject;
use super::fault::{Flaw, RecordFault};
use super::heads::{Chain, Chains};
use super::index::{BATCH_ENTRIES, BatchId, Key, KeyKind, subject_key};
use super::keys::KeyRing;
use super::read::{Record, understand};
use super::reading::Reading;
use super::stored::{
    StoredAct, StoredCall, StoredEntry, StoredEvent, StoredReceipt, StoredSubject, StoredTurnedAway,
};
use super::walk::Walk;
use crate::domain::calendar::oslo_day;
use crate::domain::identifiers::OrganizationNumber;
use crate::pseudonym::Sealed;
use chrono::{DateTime, Datelike, NaiveDate};
use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;
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
    /// deliveryID.
    pub delivery: Option<Uuid>,
}

/// How a search looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// By the index, which `audit verify` holds against the entries.
    Index,
    /// By reading and proving every entry.
    Prove,
}

/// In how many entries was looked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looked {
    /// By the index only.
    pub indexed: u64,
    /// Read and proved.
    pub proved: u64,
}

/// Why a search ended early.
#[derive(Debug, thiserror::Error)]
pub enum SearchError {
    #[error(transparent)]
    Record(#[from] RecordFault),
    /// What was found could not be handed on.
    #[error("the search was cut short: {0}")]
    Interrupted(#[from] std::io::Error),
}

/// Hands every recorded call that fits to `found`, chain by chain and in the order of each. What was found before a
/// damaged place has been handed on.
///
/// # Errors
/// At the first entry that is not what was written, or when `found` fails.
pub fn search(
    place: &RecordPlace,
    ring: &KeyRing,
    query: &Query,
    way: Way,
    mut found: impl FnMut(Record) -> std::io::Result<()>,
) -> Result<Looked, SearchError> {
    let mut interrupted = None;
    let search = Search::new(ring, query, way);
    let looked = search.run(place, &Reading::endless(), &mut |record| match found(record) {
        Ok(()) => ControlFlow::Continue(()),
        Err(cause) => {
            interrupted = Some(cause);
            ControlFlow::Break(())
        }
    })?;
    interrupted.map_or(Ok(looked.0), |cause| Err(cause.into()))
}

/// A search that can be run.
pub(super) struct Search<'a> {
    ring: &'a KeyRing,
    wanted: Wanted<'a>,
    way: Way,
}

/// What one run of a search has to hand.
struct Run<'a, 'f> {
    search: &'a Search<'a>,
    reader: &'a Reader,
    reading: &'a Reading,
    found: &'f mut dyn FnMut(Record) -> ControlFlow<()>,
    looked: Looked,
}

impl<'a> Search<'a> {
    pub(super) fn new(ring: &'a KeyRing, query: &'a Query, way: Way) -> Self {
        Self {
            ring,
            wanted: Wanted::new(query, ring),
            way,
        }
    }

    /// Gives in how many entries was looked, and whether that is all of them.
    pub(super) fn run(
        &self,
        place: &RecordPlace,
        reading: &Reading,
        found: &mut dyn FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(Looked, bool), RecordFault> {
        let reader = Reader::open(place)?;
        let chains = Chains::prove(&reader.heads()?, self.ring)?;
        let mut run = Run {
            search: self,
            reader: &reader,
            reading,
            found,
            looked: Looked::default(),
        };
        for chain in &chains.all {
            if run.chain(chain)?.is_break() {
                return Ok((run.looked, false));
            }
        }
        Ok((run.looked, true))
    }
}

impl Run<'_, '_> {
    fn chain(&mut self, chain: &Arc<Chain>) -> Result<ControlFlow<()>, RecordFault> {
        let indexed = match self.search.way {
            Way::Index => self.reader.indexed(chain.number)?,
            Way::Prove => 0,
        };
        let first = chain.start.sequence / BATCH_ENTRIES;
        let batches = (first..indexed).map(|number| BatchId {
            chain: chain.number,
            number,
        });
        if self.batches(chain, batches)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        self.stretch(chain, indexed.max(first) * BATCH_ENTRIES, u64::MAX)
    }

    /// Looks into batches: at what the index names, or through those that the index names.
    fn batches(
        &mut self,
        chain: &Arc<Chain>,
        batches: impl Iterator<Item = BatchId>,
    ) -> Result<ControlFlow<()>, RecordFault> {
        let (keys, of_day) = (self.search.wanted.keys(), self.batches_of_day(chain)?);
        for batch in batches {
            let goes_on = match &keys {
                Some(keys) => self.named(chain, batch, keys)?,
                None if of_day.as_ref().is_none_or(|days| days.contains(&batch.number)) => {
                    self.stretch(chain, batch.after(), batch.last())?
                }
                None => {
                    self.look_up(chain, batch);
                    ControlFlow::Continue(())
                }
            };
            if goes_on.is_break() {
                return Ok(goes_on);
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// The chain's batches that have entries of the day and the consumer; `None`: neither is looked for.
    fn batches_of_day(&self, chain: &Arc<Chain>) -> Result<Option<BTreeSet<u64>>, RecordFault> {
        let Query { day, consumer, .. } = self.search.wanted.query;
        if day.is_none() && consumer.is_none() {
            return Ok(None);
        }
        let fits = |(its_day, its_consumer): (i32, u32)| {
            day.is_none_or(|day| day.num_days_from_ce() == its_day)
                && consumer.is_none_or(|consumer| consumer.as_u32() == its_consumer)
        };
        let days = self.reader.days()?.into_iter();
        let fitting = days.filter(|(row, batch)| batch.chain == chain.number && fits(*row));
        Ok(Some(fitting.map(|(_, batch)| batch.number).collect()))
    }

    /// Entries that the index names in a batch. Each is held against its hash and the one before it.
    fn named(
        &mut self,
        chain: &Arc<Chain>,
        batch: BatchId,
        keys: &[Key],
    ) -> Result<ControlFlow<()>, RecordFault> {
        let mut named = BTreeSet::new();
        for key in keys {
            named.extend(self.reader.found_by(batch, *key)?);
        }
        self.look_up(chain, batch);
        for sequence in named
            .into_iter()
            .filter(|sequence| *sequence > chain.start.sequence)
        {
            let read = self.read(chain, sequence - 1, sequence)?;
            if read.is_enough {
                return Ok(ControlFlow::Break(()));
            }
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Counts the entries of a batch, which need not be read.
    fn look_up(&mut self, chain: &Chain, batch: BatchId) {
        self.looked.indexed += batch.last() - batch.after().max(chain.start.sequence);
    }

    /// Reads, proves and counts entries behind one, up to another.
    fn stretch(&mut self, chain: &Arc<Chain>, after: u64, last: u64) -> Result<ControlFlow<()>, RecordFault> {
        let read = self.read(chain, after, last)?;
        self.looked.proved += read.entries;
        Ok(match read.is_enough {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        })
    }

    fn read(&mut self, chain: &Arc<Chain>, after: u64, last: u64) -> Result<Read, RecordFault> {
        let (search, reading) = (self.search, self.reading);
        let mut walk = Walk::behind(self.reader, search.ring, Arc::clone(chain), after)?;
        let mut read = Read::default();
        walk.entries(&mut |head, entry| {
            if head.sequence > last {
                return Ok(ControlFlow::Break(()));
            }
            let flawed = |flaw: Flaw| chain.flawed(head.sequence, flaw);
            let stored = understand(entry, search.ring).map_err(flawed)?;
            read.entries += 1;
            let record = search
                .wanted
                .is(&stored)
                .then(|| Record::new(chain.instance, head.sequence, &stored));
            let has_enough = record
                .flatten()
                .is_some_and(|record| (self.found)(record).is_break());
            read.is_enough = has_enough || !reading.goes_on();
            Ok(match read.is_enough || head.sequence == last {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            })
        })?;
        Ok(read)
    }
}

/// What was read at one go.
#[derive(Default)]
struct Read {
    entries: u64,
    /// Nothing more is to be read.
    is_enough: bool,
}

/// A query with the subject's pseudonym under every key of the ring.
struct Wanted<'a> {
    query: &'a Query,
    pseudonyms: Vec<Sealed>,
}

impl<'a> Wanted<'a> {
    fn new(query: &'a Query, ring: &KeyRing) -> Self {
        let under_each_key = |subject| ring.all().map(|key| key.pseudonym(subject)).collect();
        Self {
            query,
            pseudonyms: query.subject.as_ref().map(under_each_key).unwrap_or_default(),
        }
    }

    /// By what the index finds it; any one will do. `None`: it does not.
    fn keys(&self) -> Option<Vec<Key>> {
        let Query {
            case,
            correlation,
            subject,
            delivery,
            consumer: _,
            day: _,
        } = self.query;
        let id = |kind: KeyKind, id: &Option<Uuid>| id.map(|id| vec![kind.key(id.as_bytes())]);
        let of_subject = subject.as_ref().map(|subject| {
            let keys = self.pseudonyms.iter();
            keys.map(|sealed| subject_key(StoredSubject::of(subject, sealed.as_bytes())))
                .collect()
        });
        id(KeyKind::Correlation, correlation)
            .or_else(|| id(KeyKind::Delivery, delivery))
            .or_else(|| id(KeyKind::Case, case))
            .or(of_subject)
    }

    fn is(&self, entry: &StoredEntry) -> bool {
        let is_it = match &entry.event {
            StoredEvent::Call(call) => self.is_call(call),
            StoredEvent::Act(act) => self.is_act(act),
            StoredEvent::Late(receipt) => self.is_late(receipt),
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
            delivery,
        } = self.query;
        case.is_none_or(|case| act.sought_case == Some(case))
            && correlation.is_none_or(|id| act.correlation == id || act.sought_correlation == Some(id))
            && delivery.is_none_or(|id| act.delivery == Some(id))
            && consumer.is_none()
            && subject.is_none()
    }

    fn is_call(&self, call: &StoredCall) -> bool {
        let query = self.query;
        query.case.is_none_or(|case| call.case == Some(case))
            && query.correlation.is_none_or(|id| call.correlation == id)
            && query
                .delivery
                .is_none_or(|id| call.delivery.is_some_and(|delivery| delivery.id == id))
            && query
                .consumer
                .is_none_or(|consumer| call.consumer == consumer.as_u32())
            && query.subject.as_ref().is_none_or(|subject| {
                let is_it =
                    |sealed: &Sealed| call.subject == Some(StoredSubject::of(subject, sealed.as_bytes()));
                self.pseudonyms.iter().any(is_it)
            })
    }

    /// What each of them was about is not known.
    fn is_turned_away(&self, calls: &StoredTurnedAway) -> bool {
        let query = self.query;
        query
            .consumer
            .is_none_or(|consumer| calls.consumer == consumer.as_u32())
            && query.case.is_none()
            && query.correlation.is_none()
            && query.delivery.is_none()
            && query.subject.is_none()
    }

    fn is_late(&self, receipt: &StoredReceipt) -> bool {
        let query = self.query;
        query.delivery.is_none_or(|id| receipt.delivery.id == id)
            && query
                .consumer
                .is_none_or(|consumer| receipt.bank == consumer.as_u32())
            && query.case.is_none()
            && query.correlation.is_none()
            && query.subject.is_none()
    }
}

/// The day in Oslo on which the entry was made.
pub(super) fn day_of(entry: &StoredEntry) -> NaiveDate {
    oslo_day(DateTime::from_timestamp_micros(entry.at).unwrap_or_default())
}
