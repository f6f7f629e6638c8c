//! The search index: by what entries are found, in batches that are made once they are full.
//!
//! Four indexes in the path of every answer cost many times what the entry itself does. So entries are indexed behind,
//! a batch at a time and sorted; the last entries, which no batch holds yet, are read by whoever searches.

use super::search::day_of;
use super::stored::{StoredAct, StoredCall, StoredEntry, StoredEvent, StoredSubject};
use aws_lc_rs::digest::{Context, SHA256};
use chrono::Datelike;
use std::collections::BTreeSet;
use uuid::Uuid;

/// Entries of a batch. A search looks into every batch, and reads up to so many entries that are in none yet.
pub(super) const BATCH_ENTRIES: u64 = 16_384;
/// Rows of the index that are written together with a group of entries, who wait for them.
const ROWS_PER_STEP: usize = 500;

/// Entries `number * BATCH_ENTRIES + 1` and on of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BatchId {
    pub(super) chain: u32,
    pub(super) number: u64,
}

impl BatchId {
    pub(super) fn of(chain: u32, sequence: u64) -> Self {
        Self {
            chain,
            number: sequence.saturating_sub(1) / BATCH_ENTRIES,
        }
    }

    /// The entry before its first.
    pub(super) fn after(self) -> u64 {
        self.number * BATCH_ENTRIES
    }

    pub(super) fn last(self) -> u64 {
        self.after() + BATCH_ENTRIES
    }
}

/// By what an entry is found: a few bytes of a hash. Two may share one; an entry that is found is looked at.
pub(super) type Key = u32;

/// What a key is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyKind {
    Case,
    Correlation,
    Customer,
    Account,
    Delivery,
}

impl KeyKind {
    pub(super) fn key(self, bytes: &[u8]) -> Key {
        let mut context = Context::new(&SHA256);
        context.update(&[self as u8]);
        context.update(bytes);
        let mut key = [0; 4];
        key.copy_from_slice(&context.finish().as_ref()[..4]);
        Key::from_be_bytes(key)
    }
}

/// By what the subject's entries are found.
pub(super) fn subject_key(subject: StoredSubject) -> Key {
    match subject {
        StoredSubject::Customer(sealed) => KeyKind::Customer.key(sealed),
        StoredSubject::Account(sealed) => KeyKind::Account.key(sealed),
    }
}

/// A row of the index: a key, and the sequence number of an entry that has it.
pub(super) type IndexRow = (Key, u64);
/// A day, and who asked on it; 0: an operator.
pub(super) type DayRow = (i32, u32);

/// What the index holds of one batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Batch {
    /// Sorted once it is complete.
    pub(super) rows: Vec<IndexRow>,
    pub(super) days: BTreeSet<DayRow>,
}

impl Batch {
    pub(super) fn add(&mut self, sequence: u64, entry: &StoredEntry) {
        let consumer = match &entry.event {
            StoredEvent::Call(call) => {
                self.add_call(sequence, call);
                call.consumer
            }
            StoredEvent::Act(act) => {
                self.add_act(sequence, act);
                0
            }
            StoredEvent::Late(receipt) => {
                self.push(sequence, KeyKind::Delivery.key(receipt.delivery.id.as_bytes()));
                receipt.bank
            }
            StoredEvent::TurnedAway(calls) => calls.consumer,
            StoredEvent::Probe => return,
        };
        self.days.insert((day_of(entry).num_days_from_ce(), consumer));
    }

    fn add_call(&mut self, sequence: u64, call: &StoredCall) {
        self.push(sequence, KeyKind::Correlation.key(call.correlation.as_bytes()));
        self.push_each(sequence, KeyKind::Case, call.case);
        self.push_each(
            sequence,
            KeyKind::Delivery,
            call.delivery.map(|delivery| delivery.id),
        );
        if let Some(subject) = call.subject {
            self.push(sequence, subject_key(subject));
        }
    }

    fn add_act(&mut self, sequence: u64, act: &StoredAct) {
        let correlations = [Some(act.correlation), act.sought_correlation];
        self.push_each(sequence, KeyKind::Correlation, correlations.into_iter().flatten());
        self.push_each(sequence, KeyKind::Case, act.sought_case);
        self.push_each(sequence, KeyKind::Delivery, act.delivery);
    }

    fn push_each(&mut self, sequence: u64, kind: KeyKind, ids: impl IntoIterator<Item = Uuid>) {
        for id in ids {
            self.push(sequence, kind.key(id.as_bytes()));
        }
    }

    fn push(&mut self, sequence: u64, key: Key) {
        self.rows.push((key, sequence));
    }

    /// Sorted, and each row once.
    pub(super) fn complete(mut self) -> Self {
        self.rows.sort_unstable();
        self.rows.dedup();
        self
    }

    /// In steps that keep nobody waiting for long. The first removes what was begun of the batch before; the last says
    /// that it is indexed.
    pub(super) fn into_steps(self, id: BatchId) -> impl Iterator<Item = IndexStep> {
        let begin = IndexStep {
            batch: id,
            work: StepWork::Begin,
        };
        let chunks: Vec<Vec<IndexRow>> = self.rows.chunks(ROWS_PER_STEP).map(<[_]>::to_vec).collect();
        let rows = chunks.into_iter().map(move |rows| IndexStep {
            batch: id,
            work: StepWork::Rows(rows),
        });
        let end = IndexStep {
            batch: id,
            work: StepWork::End(self.days.into_iter().collect()),
        };
        [begin].into_iter().chain(rows).chain([end])
    }
}

/// A piece of a batch that is written at once.
#[derive(Debug)]
pub(super) struct IndexStep {
    pub(super) batch: BatchId,
    pub(super) work: StepWork,
}

#[derive(Debug)]
pub(super) enum StepWork {
    Begin,
    Rows(Vec<IndexRow>),
    End(Vec<DayRow>),
}
