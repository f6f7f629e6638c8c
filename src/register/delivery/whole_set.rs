//! A bank's whole set in one register: lookups see the former set until the instant the new one is complete.

use super::{BankCaller, Delivery, DeliveryError, Receipt, ReceiptState};
use crate::domain::relationship::{RelationshipRecord, SetId};
use crate::index::layout::Row;
use crate::journal::{self, Counts, JournalError, Kind, SealedRecord, SetChange, resealed_record};
use crate::pseudonym::{Pseudonyms, Reseal};
use crate::register::replay;
use chrono::{DateTime, Utc};
use std::collections::BTreeSet;
use std::sync::Arc;
use uuid::Uuid;

/// Rejected lines that are told one by one; all are counted.
const DETAILED_REJECTS: usize = 1_000;

/// A line that is not a record. Never carries what the line holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RejectedLine {
    /// Counted from 1.
    pub line: u64,
    /// The field, as the specification writes it.
    pub parameter: &'static str,
    pub reason: String,
}

/// Why a whole set was not published; the former one stands.
#[derive(Debug)]
pub enum WholeSetRefusal {
    /// Some lines are no records.
    Rejected(Receipt, Vec<RejectedLine>),
    Failed(DeliveryError),
}

impl<E: Into<DeliveryError>> From<E> for WholeSetRefusal {
    fn from(cause: E) -> Self {
        Self::Failed(cause.into())
    }
}

/// A whole set while its lines come in. Dropped before it is published, it leaves nothing.
pub struct IncomingSet {
    set: SetId,
    delivery_id: Uuid,
    received_at: DateTime<Utc>,
    /// KFR calls published from here on hold in the new set too.
    carries_after: u64,
    pseudonyms: Arc<Pseudonyms>,
    records: Vec<SealedRecord>,
    rejects: Vec<RejectedLine>,
    counts: Counts,
}

impl IncomingSet {
    /// Takes the next line.
    pub fn push(&mut self, line: Result<RelationshipRecord, RejectedLine>) {
        self.counts.read += 1;
        match line {
            Ok(record) => self.records.push(SealedRecord {
                customer: self.pseudonyms.customer(&record.customer),
                agreement: self.pseudonyms.agreement(&record.agreement),
                relationship: record.relationship,
            }),
            Err(reject) => {
                self.counts.rejected += 1;
                if self.rejects.len() < DETAILED_REJECTS {
                    self.rejects.push(reject);
                }
            }
        }
    }

    /// The same set under the journal's key, which may have changed since the first line came.
    fn under(mut self, to: Arc<Pseudonyms>) -> Result<Self, JournalError> {
        if self.pseudonyms.fingerprint() != to.fingerprint() {
            let from = std::mem::replace(&mut self.pseudonyms, Arc::clone(&to));
            let reseal = Reseal { from, to };
            for record in &mut self.records {
                *record = resealed_record(record, &reseal)?;
            }
        }
        Ok(self)
    }

    /// The set in the order of the index, one record an identity: the last line stands.
    fn into_rows(records: Vec<SealedRecord>) -> Vec<SealedRecord> {
        let mut rows: Vec<(Row, SealedRecord)> = records
            .into_iter()
            .map(|record| (replay::row(&record), record))
            .collect();
        let identity = |row: &Row| (row.customer, row.agreement, row.relationship.interval().from());
        rows.sort_by_key(|(row, _)| identity(row));
        rows.reverse();
        rows.dedup_by_key(|(row, _)| identity(row));
        rows.reverse();
        rows.into_iter().map(|(_, record)| record).collect()
    }
}

impl Delivery {
    /// Begins to take a whole set.
    pub fn begin_whole_set(&self, bank: &BankCaller, set: SetId) -> Result<IncomingSet, DeliveryError> {
        debug_assert_eq!(bank.bank(), set.bank);
        self.check_level(set)?;
        let journal = self.journal()?;
        Ok(IncomingSet {
            set,
            delivery_id: Uuid::now_v7(),
            received_at: Utc::now(),
            carries_after: journal.position(set),
            pseudonyms: self.pseudonyms(&journal)?,
            records: Vec::new(),
            rejects: Vec::new(),
            counts: Counts::default(),
        })
    }

    /// Publishes a set whose last line has come. `sha256` is that of the decoded body.
    pub async fn publish_whole_set(
        &self,
        incoming: IncomingSet,
        sha256: [u8; 32],
    ) -> Result<Receipt, WholeSetRefusal> {
        if incoming.counts.rejected > 0 {
            let receipt = Receipt {
                delivery_id: incoming.delivery_id,
                register: incoming.set.register,
                state: ReceiptState::Rejected,
                received_at: incoming.received_at,
                published_at: None,
                counts: incoming.counts,
                sha256,
            };
            return Err(WholeSetRefusal::Rejected(receipt, incoming.rejects));
        }
        let (delivery, set) = (self.clone(), incoming.set);
        let publish = async move {
            let _index = delivery.index_use.deliver_whole_set().await?;
            let prepared = delivery.prepare(incoming, sha256).await?;
            let guard = delivery.locks.lock(set).await;
            delivery.check_level(set)?;
            let journalled = delivery.publish(set, prepared, &guard).await?;
            Ok(Receipt::published(set, &journalled))
        };
        Ok(self.in_own_task(publish).await?)
    }

    /// Sorts the set and writes its body, off the async threads.
    async fn prepare(
        &self,
        incoming: IncomingSet,
        sha256: [u8; 32],
    ) -> Result<journal::Delivery, DeliveryError> {
        let journal = self.journal()?;
        let mut body = journal.begin_body(incoming.delivery_id);
        let to = self.pseudonyms(&journal)?;
        let prepare = move || {
            let incoming = incoming.under(to)?;
            let IncomingSet {
                delivery_id,
                received_at,
                carries_after,
                mut counts,
                records,
                ..
            } = incoming;
            let records = IncomingSet::into_rows(records);
            counts.stored = records.len() as u64;
            counts.customers = records
                .iter()
                .map(|record| record.customer.customer_key())
                .collect::<BTreeSet<_>>()
                .len() as u64;
            counts.accounts = records
                .iter()
                .filter_map(|r| r.agreement.account_key())
                .collect::<BTreeSet<_>>()
                .len() as u64;
            for record in records {
                body.push(&SetChange::Put(record))?;
            }
            let kind = Kind::WholeSet { carries_after };
            Ok(journal::Delivery {
                id: delivery_id,
                kind,
                received_at,
                counts,
                sha256,
                body: body.finish()?,
            })
        };
        tokio::task::spawn_blocking(prepare)
            .await
            .map_err(|_| DeliveryError::Panicked)?
    }
}
