//! The log of this very process, read back while it is being written: proved, or searched.

use super::hex;
use super::log::{LogFault, Record, understand};
use super::recorder::Recorder;
use super::search::{Query, Wanted};
use crate::chain::{Entry, Head};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

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

    /// Entries read so far.
    pub fn entries(&self) -> u64 {
        self.entries.load(Ordering::Relaxed)
    }

    /// Takes note of one more entry; whether to go on.
    fn goes_on(&self) -> bool {
        self.entries.fetch_add(1, Ordering::Relaxed);
        let is_late = self.deadline.is_some_and(|deadline| Instant::now() > deadline);
        !is_late && !self.stop.load(Ordering::Relaxed)
    }
}

/// What was proved of the log.
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
    /// In the order of the log.
    pub records: Vec<Record>,
    /// The whole log was read, and there were no more than could be held.
    pub complete: bool,
    /// Entries that were read.
    pub entries: u64,
}

impl Recorder {
    /// Proves every entry of the log up to its head. Blocks while it reads; holds one segment in memory.
    ///
    /// # Errors
    /// At the first place where it is not what was written.
    pub fn prove(&self, reading: &Reading) -> Result<Proved, LogFault> {
        let (written, mut log) = (self.head().sequence, self.0.chain.entries()?);
        let (mut entries, mut complete, mut head) = (0, true, log.head());
        for entry in &mut log {
            let entry = entry?;
            understand(&entry, &self.0.ring)?;
            entries += 1;
            head = head_of(&entry);
            if !reading.goes_on() {
                complete = false;
                break;
            }
        }
        if complete {
            check_not_cut(head.sequence, written)?;
        }
        Ok(Proved {
            sequence: head.sequence,
            hash: hex::encode(&head.hash),
            entries,
            complete,
        })
    }

    /// Finds up to `most` records, proving the log on the way. Blocks while it reads.
    ///
    /// # Errors
    /// At the first place where the log is not what was written.
    pub fn find(&self, query: &Query, most: usize, reading: &Reading) -> Result<Found, LogFault> {
        let wanted = Wanted::new(query, &self.0.ring);
        let mut found = Found {
            complete: true,
            ..Found::default()
        };
        let (written, log) = (self.head().sequence, self.0.chain.entries()?);
        let mut last = log.head().sequence;
        for entry in log {
            let entry = entry?;
            last = entry.sequence;
            let stored = understand(&entry, &self.0.ring)?;
            found.entries += 1;
            let record = wanted.is(&stored).then(|| Record::new(entry.sequence, &stored));
            if record.is_some() && found.records.len() == most {
                found.complete = false;
                break;
            }
            found.records.extend(record.flatten());
            if !reading.goes_on() {
                found.complete = false;
                break;
            }
        }
        if found.complete {
            check_not_cut(last, written)?;
        }
        Ok(found)
    }
}

/// Damage at the very end of a log reads like a write that was cut off; but what was written is known here.
fn check_not_cut(last: u64, written: u64) -> Result<(), LogFault> {
    match last < written {
        true => Err(LogFault::Cut { last, written }),
        false => Ok(()),
    }
}

fn head_of(entry: &Entry) -> Head {
    Head {
        sequence: entry.sequence,
        hash: entry.hash,
    }
}
