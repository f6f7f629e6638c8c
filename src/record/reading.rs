//! The record of this very process, read back while it is being written: proved, or searched.

use super::engine::Reader;
use super::fault::RecordFault;
use super::heads::{Chain, Chains};
use super::hex;
use super::read::{Record, understand};
use super::recorder::Recorder;
use super::search::{Looked, Query, Search, Way};
use super::stored::{StoredEntry, StoredEvent};
use super::walk::Walk;
use chrono::{DateTime, TimeDelta, Utc};
use std::collections::HashSet;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;
use uuid::Uuid;

/// Entries are made when calls arrive, and written when they end: within this time.
const LONGEST_CALL: TimeDelta = TimeDelta::minutes(10);

/// A reading under way: how far it is, and how long it may go on.
#[derive(Debug)]
pub struct Reading {
    entries: AtomicU64,
    stop: Arc<AtomicBool>,
    deadline: Option<Instant>,
}

impl Reading {
    /// One that ends early when `stop` is set, or its time is over.
    pub fn until(stop: Arc<AtomicBool>, deadline: Option<Instant>) -> Self {
        Self {
            entries: AtomicU64::new(0),
            stop,
            deadline,
        }
    }

    /// One that goes on to the end.
    pub(super) fn endless() -> Self {
        Self::until(Arc::default(), None)
    }

    /// Entries read so far.
    pub fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Takes note of one more entry; whether to go on.
    pub(super) fn goes_on(&self) -> bool {
        self.entries.fetch_add(1, Ordering::Relaxed);
        let is_late = self.deadline.is_some_and(|deadline| Instant::now() > deadline);
        !is_late && !self.stop.load(Ordering::Relaxed)
    }
}

/// What was proved of the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proved {
    /// Number and hash of the last entry that was proved.
    pub sequence: u64,
    pub hash: String,
    /// Entries that were proved.
    pub entries: u64,
    /// The whole of it was read.
    pub complete: bool,
}

/// What a search found.
#[derive(Debug, Clone, Default)]
pub struct Found {
    /// In the order of the record.
    pub records: Vec<Record>,
    /// All was looked through, and there were no more than could be held.
    pub complete: bool,
    pub looked: Looked,
}

impl Recorder {
    /// Proves every entry that this process has written, and those before them, up to the head. Blocks while it reads.
    ///
    /// # Errors
    /// At the first place where the record is not what was written.
    pub fn prove(&self, reading: &Reading) -> Result<Proved, RecordFault> {
        let written = self.head().sequence;
        let reader = Reader::open(self.place())?;
        let own = self.own_chain(&reader)?;
        let (mut entries, mut walk) = (0, Walk::whole(&reader, self.ring(), Arc::clone(&own)));
        let complete = walk.entries(&mut |head, entry| {
            understand(entry, self.ring()).map_err(|flaw| own.flawed(head.sequence, flaw))?;
            entries += 1;
            Ok(match reading.goes_on() {
                true => ControlFlow::Continue(()),
                false => ControlFlow::Break(()),
            })
        })?;
        let head = walk.head();
        // What was written is known here, whatever the list of heads says.
        if complete && head.sequence < written {
            return Err(RecordFault::Cut {
                last: head.sequence,
                written,
            });
        }
        Ok(Proved {
            sequence: head.sequence,
            hash: hex::encode(&head.hash),
            entries,
            complete,
        })
    }

    /// Which deliveries have a record since so long before the last entry was made. `None`: there is no entry. Blocks while
    /// it reads.
    ///
    /// # Errors
    /// At the first entry that is not what was written.
    pub fn recorded_deliveries(&self, before: TimeDelta) -> Result<Option<RecordedDeliveries>, RecordFault> {
        let reader = Reader::open(self.place())?;
        let chains = Chains::prove(&reader.heads()?, self.ring())?.all;
        let mut ends = Vec::with_capacity(chains.len());
        for chain in &chains {
            let last = reader.last(chain.number)?.map_or(0, |last| last.sequence);
            ends.push((last, self.made_at(&reader, chain, last)?));
        }
        let Some(last_at) = ends.iter().filter_map(|(_, at)| *at).max() else {
            return Ok(None);
        };
        let mut recorded = RecordedDeliveries {
            since: last_at - before,
            told: HashSet::new(),
            undone: HashSet::new(),
        };
        let since = recorded.since - LONGEST_CALL;
        for (chain, (last, _)) in chains.iter().zip(ends) {
            let first = self.last_before(&reader, chain, last, since)?;
            let mut walk = Walk::behind(&reader, self.ring(), Arc::clone(chain), first)?;
            walk.entries(&mut |head, entry| {
                let flawed = |flaw| chain.flawed(head.sequence, flaw);
                recorded.note(&understand(entry, self.ring()).map_err(flawed)?);
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(Some(recorded))
    }

    /// The last entry of a chain that was made before a moment, in the order in which calls ended.
    fn last_before(
        &self,
        reader: &Reader,
        chain: &Chain,
        last: u64,
        moment: DateTime<Utc>,
    ) -> Result<u64, RecordFault> {
        let (mut before, mut last) = (chain.start.sequence, last);
        while before < last {
            let middle = before + (last - before).div_ceil(2);
            match self.made_at(reader, chain, middle)? {
                Some(at) if at < moment => before = middle,
                Some(_) | None => last = middle - 1,
            }
        }
        Ok(before)
    }

    /// When an entry was made; `None`: it is not there.
    fn made_at(
        &self,
        reader: &Reader,
        chain: &Chain,
        sequence: u64,
    ) -> Result<Option<DateTime<Utc>>, RecordFault> {
        let Some((entry, _)) = reader.entry(chain.number, sequence)? else {
            return Ok(None);
        };
        let entry = understand(&entry, self.ring()).map_err(|flaw| chain.flawed(sequence, flaw))?;
        Ok(DateTime::from_timestamp_micros(entry.at))
    }

    /// Finds up to `most` records. Blocks while it reads.
    ///
    /// # Errors
    /// At the first entry that is not what was written.
    pub fn find(&self, query: &Query, most: usize, reading: &Reading) -> Result<Found, RecordFault> {
        let mut records = Vec::new();
        let search = Search::new(self.ring(), query, Way::Index);
        let (looked, complete) = search.run(self.place(), reading, &mut |record| {
            if records.len() == most {
                return ControlFlow::Break(());
            }
            records.push(record);
            ControlFlow::Continue(())
        })?;
        Ok(Found {
            records,
            complete,
            looked,
        })
    }
}

/// Deliveries that have a record.
#[derive(Debug)]
pub struct RecordedDeliveries {
    /// All since then are here.
    pub since: DateTime<Utc>,
    told: HashSet<Uuid>,
    /// By operators, whose acts name what they undo.
    undone: HashSet<Uuid>,
}

impl RecordedDeliveries {
    /// Whether the receipt of a delivery is recorded; `undoes`: what it rolls back.
    pub fn has(&self, delivery: Uuid, undoes: Option<&Uuid>) -> bool {
        self.told.contains(&delivery) || undoes.is_some_and(|undone| self.undone.contains(undone))
    }

    fn note(&mut self, entry: &StoredEntry) {
        match &entry.event {
            StoredEvent::Call(call) if call.endpoint.makes_deliveries() => {
                self.told.extend(call.delivery.map(|delivery| delivery.id));
            }
            StoredEvent::Late(receipt) => {
                self.told.insert(receipt.delivery.id);
            }
            StoredEvent::Act(act) => self.undone.extend(act.delivery),
            StoredEvent::Call(_) | StoredEvent::TurnedAway(_) | StoredEvent::Probe => {}
        }
    }
}
