//! A delivery while its lines come in: sealed, sorted in bounded memory, counted.

use super::running::Place;
use super::{Conflict, Delivery, DeliveryError, DeliveryRefusal};
use crate::domain::identifiers::CustomerId;
use crate::domain::relationship::{Agreement, RelationshipRecord, SetId};
use crate::index::IndexError;
use crate::journal::{
    Counts, KeyUse, Operation, Receipt, ReceiptState, Reject, SealedIdentity, SealedRecord, SetChange,
    Summary,
};
use crate::pseudonym::Pseudonyms;
use crate::register::replay;
use crate::spill::{Merged, Sorter};
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// Rejected lines that are told one by one; all are counted.
pub(super) const DETAILED_REJECTS: usize = 1_000;
/// Memory of a delivery for sorting its lines.
const SORT_BYTES: usize = 64 << 20;
/// Memory of a whole set for counting its accounts.
const SORT_ACCOUNTS_BYTES: usize = 16 << 20;
/// In front of a sorted line: customer, agreement, first day; then the line's number, and whether it runs.
pub(super) const IDENTITY_BYTES: usize = 16 + 6 + 4;
const LINE_BYTES: usize = 8;
pub(super) const HEADER_BYTES: usize = IDENTITY_BYTES + LINE_BYTES + 1;

/// How a bank wants its delivery taken.
#[derive(Debug, Clone)]
pub struct Order {
    pub set: SetId,
    pub operation: Operation,
    /// SHA-256 of the `Idempotency-Key`.
    pub idempotency: Option<[u8; 32]>,
    /// Bad lines in spite of which it is published.
    pub max_rejects: u64,
    /// A whole set may shrink below the guard.
    pub confirm_shrink: bool,
    /// `Delivery-Sequence`.
    pub sequence: Option<u64>,
}

/// What a line of a delivery asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    Put(RelationshipRecord),
    End { identity: Identity, to: NaiveDate },
    Remove(Identity),
}

/// Which record is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub customer: CustomerId,
    pub agreement: Agreement,
    pub from: NaiveDate,
}

/// What becomes of a delivery that asks to be taken.
pub enum Taking {
    New(Box<Incoming>),
    /// Its key was used before: the first receipt is the answer, if the body is the same.
    Repeat(Repeat),
}

/// A delivery that was taken before.
pub struct Repeat {
    set: SetId,
    first: KeyUse,
}

/// A delivery while its lines come in. Dropped before it is published, it leaves nothing but a receipt that
/// says that it was abandoned.
pub struct Incoming {
    pub(super) order: Order,
    pub(super) delivery_id: Uuid,
    pub(super) received_at: DateTime<Utc>,
    pub(super) today: NaiveDate,
    /// KFR calls published from here on hold in a whole set too.
    pub(super) carries_after: u64,
    pub(super) delivery: Delivery,
    place: Place,
    /// Gone when the input has ended.
    lines: Mutex<Option<Lines>>,
}

/// What has come in.
pub(super) struct Lines {
    sorter: Sorter,
    accounts: Sorter,
    pub(super) read: u64,
    pub(super) rejected: u64,
    pub(super) rejects: Vec<Reject>,
}

/// Lines that were read together, sealed. Several threads may each fill one.
pub struct Block<'a> {
    incoming: &'a Incoming,
    pseudonyms: Arc<Pseudonyms>,
    records: Vec<u8>,
    ends: Vec<usize>,
    accounts: Vec<[u8; 10]>,
    read: u64,
    rejected: u64,
    rejects: Vec<Reject>,
}

impl Delivery {
    /// Begins to take a delivery.
    pub async fn begin(&self, order: Order, today: NaiveDate) -> Result<Taking, DeliveryRefusal> {
        let (set, journal) = (order.set, self.journal()?);
        if let Some(first) = self.first_of(&order)? {
            return Ok(Taking::Repeat(Repeat { set, first }));
        }
        // Whether the index stands where the journal stands is seen to when this is published.
        self.index.state().answerable().ok_or(IndexError::NotBuilt)?;
        self.check_space()?;
        let (delivery_id, received_at) = (Uuid::now_v7(), Utc::now());
        // Before any KFR call can meet a delivery under way.
        let carries_after = journal.position(set);
        let place = self.running.enter(set, delivery_id, order.operation);
        let place = place.map_err(Conflict::Running)?;
        journal
            .begin_delivery(set, delivery_id, order.operation, received_at)
            .await
            .map_err(DeliveryError::Journal)?;
        let lines = Lines {
            sorter: Sorter::new(journal.scratch(), SORT_BYTES),
            accounts: Sorter::new(journal.scratch(), SORT_ACCOUNTS_BYTES),
            read: 0,
            rejected: 0,
            rejects: Vec::new(),
        };
        Ok(Taking::New(Box::new(Incoming {
            carries_after,
            order,
            delivery_id,
            received_at,
            today,
            delivery: self.clone(),
            place,
            lines: Mutex::new(Some(lines)),
        })))
    }

    /// The delivery that the order's key is bound to.
    fn first_of(&self, order: &Order) -> Result<Option<KeyUse>, DeliveryError> {
        let Some(key) = &order.idempotency else {
            return Ok(None);
        };
        let since = Utc::now() - TimeDelta::days(self.bounds.idempotency_days);
        Ok(self.journal()?.key_use(order.set, order.operation, key, since))
    }

    /// The first receipt, if the body that came with its key again is the same.
    pub async fn repeat(&self, repeat: &Repeat, sha256: [u8; 32]) -> Result<Receipt, DeliveryRefusal> {
        if repeat.first.sha256 != sha256 {
            return Err(Conflict::KeyReused(repeat.first.delivery_id).into());
        }
        let receipt = self.receipt(repeat.set.bank, repeat.first.delivery_id)?;
        match receipt.state {
            ReceiptState::Rejected => Err(DeliveryRefusal::Rejected(Box::new(receipt))),
            _ => {
                // It may be journalled, and not in the index yet.
                let level = tokio::time::timeout(self.publish_timeout, self.locks.lock(repeat.set)).await;
                let _guard = level.map_err(|_| DeliveryError::TimedOut)?;
                self.check_level(repeat.set)?;
                Ok(receipt)
            }
        }
    }
}

impl Incoming {
    /// The set that is delivered to.
    pub fn set(&self) -> SetId {
        self.order.set
    }

    /// A block to fill and [take](Block::take).
    pub fn block(&self) -> Block<'_> {
        Block {
            incoming: self,
            pseudonyms: Arc::clone(&self.delivery.pseudonyms),
            records: Vec::new(),
            ends: Vec::new(),
            accounts: Vec::new(),
            read: 0,
            rejected: 0,
            rejects: Vec::new(),
        }
    }

    /// Ends the input. Once only.
    pub(super) fn end_input(&self) -> Result<Lines, DeliveryError> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.take().ok_or(DeliveryError::Panicked)
    }

    /// Files the receipt of a delivery with too many bad lines, and gives it.
    pub(super) async fn reject(self, summary: Summary) -> DeliveryRefusal {
        let (set, id) = (self.order.set, self.delivery_id);
        let filed = async {
            let journal = self.delivery.journal()?;
            journal.end_delivery(set, id, true, summary).await?;
            Ok::<_, DeliveryError>(journal.receipt(set.bank, id)?)
        };
        match filed.await {
            Ok(Some(receipt)) => DeliveryRefusal::Rejected(Box::new(receipt)),
            Ok(None) => DeliveryError::Panicked.into(),
            Err(cause) => cause.into(),
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        let (set, id) = (self.order.set, self.delivery_id);
        // What was published or rejected has its receipt.
        let journal = self.delivery.journal.as_ref();
        if !journal.is_some_and(|journal| journal.is_receiving(set.bank, id)) {
            return;
        }
        let delivery = self.delivery.clone();
        let publications = self.delivery.publications.clone();
        let file = async move {
            let Ok(journal) = delivery.journal() else { return };
            if let Err(cause) = journal.end_delivery(set, id, false, Summary::default()).await {
                tracing::warn!(%cause, %set, "the receipt of an abandoned delivery could not be filed");
            }
        };
        publications.spawn_on(file, &self.delivery.runtime);
    }
}

impl Block<'_> {
    /// Takes the next line.
    pub fn push(&mut self, number: u64, line: Result<Line, Reject>) {
        self.read += 1;
        match line {
            Ok(line) => self.push_change(number, line),
            Err(reject) => {
                self.rejected += 1;
                if self.rejects.len() < DETAILED_REJECTS {
                    self.rejects.push(reject);
                }
            }
        }
    }

    fn push_change(&mut self, number: u64, line: Line) {
        let change = seal(&self.pseudonyms, line);
        let (from, runs) = match &change {
            SetChange::Put(record) => {
                self.accounts
                    .extend(record.agreement.account_key().map(|account| account.0));
                let interval = record.relationship.interval();
                (interval.from(), interval.runs_on(self.incoming.today))
            }
            SetChange::End { identity, .. } | SetChange::Remove(identity) => (identity.from, false),
            SetChange::Register { from, .. } => (*from, true),
            SetChange::Deregister { to, .. } => (*to, false),
        };
        self.records.extend(change.customer().customer_key().0);
        match self.incoming.order.operation {
            // One record an identity, whatever the order of lines.
            Operation::WholeSet => {
                self.records.extend(agreement_key(&change));
                self.records.extend(from.num_days_from_ce().to_be_bytes());
            }
            // In the order of lines.
            Operation::Changes | Operation::Rollback => self.records.extend([0; IDENTITY_BYTES - 16]),
        }
        self.records.extend(number.to_be_bytes());
        self.records.push(u8::from(runs));
        change.encode(&mut self.records);
        self.ends.push(self.records.len());
    }

    /// Adds the block to its delivery.
    pub fn take(self) -> std::io::Result<()> {
        let mut lines = self.incoming.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(lines) = lines.as_mut() else {
            return Err(std::io::ErrorKind::InvalidInput.into());
        };
        let mut start = 0;
        for end in self.ends {
            lines.sorter.push(&self.records[start..end])?;
            start = end;
        }
        if self.incoming.order.operation == Operation::WholeSet {
            for account in &self.accounts {
                lines.accounts.push(account)?;
            }
        }
        lines.read += self.read;
        lines.rejected += self.rejected;
        lines.rejects.extend(self.rejects);
        // Blocks come in any order; the first lines are those that are told.
        lines.rejects.sort_by_key(|reject| reject.line);
        lines.rejects.truncate(DETAILED_REJECTS);
        self.incoming.place.count_lines(self.read);
        Ok(())
    }
}

fn agreement_key(change: &SetChange) -> [u8; 6] {
    match change {
        SetChange::Put(record) => replay::row(record).agreement.0,
        SetChange::End { identity, .. } | SetChange::Remove(identity) => identity.agreement.key().0,
        SetChange::Register { .. } | SetChange::Deregister { .. } => [0; 6],
    }
}

fn seal(pseudonyms: &Pseudonyms, line: Line) -> SetChange {
    let identity = |identity: Identity| SealedIdentity {
        customer: pseudonyms.customer(&identity.customer),
        agreement: pseudonyms.agreement(&identity.agreement),
        from: identity.from,
    };
    match line {
        Line::Put(record) => SetChange::Put(SealedRecord {
            customer: pseudonyms.customer(&record.customer),
            agreement: pseudonyms.agreement(&record.agreement),
            relationship: record.relationship,
        }),
        Line::End { identity: ended, to } => SetChange::End {
            identity: identity(ended),
            to,
        },
        Line::Remove(removed) => SetChange::Remove(identity(removed)),
    }
}

impl Lines {
    /// Sorted lines, and sorted accounts.
    pub(super) fn sort(self) -> std::io::Result<(Merged, Merged, Summary)> {
        let counts = Counts {
            read: self.read,
            rejected: self.rejected,
            ..Counts::default()
        };
        let summary = Summary {
            counts,
            rejects: self.rejects,
            ..Summary::default()
        };
        Ok((self.sorter.finish()?, self.accounts.finish()?, summary))
    }
}
