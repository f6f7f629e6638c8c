//! A bank's whole set in one register: lookups see the former set until the instant the new one is complete.

use super::incoming::Incoming;
use super::intake::{Lines, Sorted, SortedLines, Told, count_distinct};
use super::{Conflict, Delivery, DeliveryError, DeliveryRefusal, Shrunk, Taken, count_rejects};
use crate::domain::delivery::{Counts, DeliveryKind};
use crate::pseudonym::Sealed;
use crate::register::resolution::CustomerRecords;
use crate::spill::Merged;
use crate::store::{
    Filing, Publication, Receipt, SealedRecord, SetChange, SetLock, Standing, StoreError, Summary, Tally,
    Written,
};
use crate::workers::Workers;
use chrono::NaiveDate;
use std::collections::VecDeque;
use std::path::Path;

/// Customers whose kept calls are read at a time.
const CUSTOMERS_PER_READ: usize = 1_000;

/// A whole set that is written, and not in force yet.
struct NewSet {
    written: Written,
    counts: Counts,
    tally: Tally,
}

impl Delivery {
    /// Publishes a whole set whose last line has come. `sha256` is that of the decoded body.
    pub async fn publish_whole_set(
        &self,
        incoming: Incoming,
        sha256: [u8; 32],
    ) -> Result<Receipt, DeliveryRefusal> {
        let delivery = self.clone();
        self.in_own_task(async move { Ok(delivery.take_whole_set(incoming, sha256).await) })
            .await?
    }

    async fn take_whole_set(&self, incoming: Incoming, sha256: [u8; 32]) -> Taken {
        let sorted = match incoming.intake.end() {
            Ok(lines) => sort(&self.workers, lines).await,
            Err(cause) => Err(cause),
        };
        let (sorted, told) = match sorted {
            Ok(sorted) => sorted,
            Err(cause) => return Err(incoming.receiving.refused(cause.into()).await),
        };
        count_rejects(incoming.set(), told.rejected);
        let (order, rejected) = (&incoming.order, told.rejected);
        let (idempotency, max_rejects) = (order.idempotency, order.max_rejects);
        if rejected > max_rejects {
            let counts = Counts {
                read: told.read,
                rejected,
                ..Counts::default()
            };
            let summary = Summary {
                counts,
                sha256: Some(sha256),
                ..Summary::default()
            };
            return Err(incoming
                .receiving
                .reject(summary, told.rejects, idempotency, max_rejects)
                .await);
        }
        match self.write_set(&incoming, sorted, &told).await {
            Ok(new) => self.file_set(incoming, new, told, sha256).await,
            Err(refusal) => Err(incoming.receiving.refused(refusal).await),
        }
    }

    /// Writes what differs, without putting it in force.
    async fn write_set(
        &self,
        incoming: &Incoming,
        sorted: Sorted,
        told: &Told,
    ) -> Result<NewSet, DeliveryRefusal> {
        let lock = self.store.lock(incoming.set(), self.bounds.publish_timeout).await;
        let lock = lock.map_err(DeliveryError::Store)?;
        let standing = lock.state().map_err(DeliveryError::Store)?.standing;
        // Repeated identities make a set smaller, never greater: most slips are found before anything is written.
        let at_most = Tally {
            records: told.read - told.rejected,
            running: told.running,
        };
        self.check_shrink(incoming, &standing, at_most)?;
        let (today, kept_from) = (incoming.intake.today, self.kept_from(incoming.intake.today));
        let (Sorted { lines, accounts }, scratch) = (sorted, self.scratch.clone());
        let (written, accounts) = tokio::join!(
            self.workers
                .run(move || write(lock, lines, &scratch, today, kept_from)),
            self.workers.run(move || count_distinct(accounts))
        );
        let mut new = written.map_err(DeliveryError::from)??;
        new.counts.accounts = accounts
            .map_err(DeliveryError::from)?
            .map_err(DeliveryError::Scratch)?;
        self.check_shrink(incoming, &standing, new.tally)?;
        Ok(new)
    }

    /// A set that lost most of its records is more likely a slip than the truth.
    fn check_shrink(
        &self,
        incoming: &Incoming,
        standing: &Standing,
        delivered: Tally,
    ) -> Result<(), DeliveryRefusal> {
        let shrunk = [
            (Shrunk::Running, standing.running, delivered.running),
            (Shrunk::All, standing.records, delivered.records),
        ];
        for (of, present, delivered) in shrunk {
            let least = present.saturating_mul(self.bounds.shrink_percent);
            let is_empty = of == Shrunk::All && delivered == 0 && present > 0;
            if !incoming.order.confirm_shrink && (delivered.saturating_mul(100) < least || is_empty) {
                return Err(Conflict::Shrink {
                    of,
                    present,
                    delivered,
                }
                .into());
            }
        }
        Ok(())
    }

    async fn file_set(&self, incoming: Incoming, new: NewSet, told: Told, sha256: [u8; 32]) -> Taken {
        let counts = Counts {
            read: told.read,
            rejected: told.rejected,
            ..new.counts
        };
        let publication = Publication {
            writes: Vec::new(),
            standing: Standing {
                loaded: true,
                last_delivery: None,
                records: new.tally.records,
                running: new.tally.running,
                whole_set: Some(incoming.receiving.id),
            },
            filing: Filing::Delivery {
                delivery_id: incoming.receiving.id,
                kind: DeliveryKind::WholeSet,
                summary: Summary {
                    counts,
                    sha256: Some(sha256),
                    ..Summary::default()
                },
                rejects: told.rejects,
                idempotency: incoming.order.idempotency,
            },
            calls: Vec::new(),
        };
        match new.written.publish(publication).await {
            Ok(published) => {
                incoming.receiving.mark_published();
                Ok(published.receipt)
            }
            Err(cause) => Err(incoming.receiving.refused(cause.into()).await),
        }
    }
}

async fn sort(workers: &Workers, lines: Lines) -> Result<(Sorted, Told), DeliveryError> {
    Ok(workers.run(|| lines.sort()).await??)
}

/// Writes what differs between the set as it stands and the sorted lines with the calls that came meanwhile.
fn write(
    lock: SetLock,
    lines: SortedLines,
    scratch: &Path,
    today: NaiveDate,
    kept_from: NaiveDate,
) -> Result<NewSet, DeliveryError> {
    let lines = lines.under(lock.key()?, scratch)?;
    let mut merge = lock.merge()?;
    let mut records = DeliveredRecords {
        lines: DistinctRecords { lines, held: None },
        ahead: None,
        calls: KeptCalls::default(),
        ready: VecDeque::new(),
        kept_from,
        counts: Counts::default(),
        last: None,
    };
    records.ahead = records.next_kept()?;
    let mut tally = Tally::default();
    let calls = merge.calls();
    merge.replace(|| {
        let next = records.next_record(&|after| calls.of_customers_after(after, CUSTOMERS_PER_READ))?;
        if let Some(record) = &next {
            tally.add(record, today);
        }
        Ok::<_, DeliveryError>(next)
    })?;
    Ok(NewSet {
        written: merge.finish()?,
        counts: records.counts,
        tally,
    })
}

/// Reads the calls that were kept, of the next customers after one.
type ReadCalls<'a> = &'a dyn Fn(&[u8]) -> Result<Vec<SetChange>, StoreError>;

/// The records of the new set, in the order of rows.
struct DeliveredRecords {
    lines: DistinctRecords,
    /// The next delivered record.
    ahead: Option<SealedRecord>,
    calls: KeptCalls,
    /// A customer's records, once calls were applied to them.
    ready: VecDeque<SealedRecord>,
    kept_from: NaiveDate,
    counts: Counts,
    /// The customer of the last delivered record.
    last: Option<Sealed>,
}

impl DeliveredRecords {
    fn next_record(&mut self, read: ReadCalls<'_>) -> Result<Option<SealedRecord>, DeliveryError> {
        loop {
            if let Some(record) = self.ready.pop_front() {
                return Ok(Some(record));
            }
            let called = self.calls.next_customer(read)?;
            let delivered = self.ahead.as_ref().map(|record| record.customer.as_bytes());
            match called {
                Some(customer) if delivered.is_none_or(|delivered| customer.as_bytes() <= delivered) => {
                    self.apply_calls(customer)?;
                }
                _ => return self.next_delivered(),
            }
        }
    }

    fn next_delivered(&mut self) -> Result<Option<SealedRecord>, DeliveryError> {
        let Some(record) = self.ahead.take() else {
            return Ok(None);
        };
        self.ahead = self.next_kept()?;
        self.counts.stored += 1;
        if self.last.as_ref() != Some(&record.customer) {
            self.counts.customers += 1;
            self.last = Some(record.customer.clone());
        }
        Ok(Some(record))
    }

    /// The next delivered record that is kept: what ended too long ago would be erased again the same day.
    fn next_kept(&mut self) -> Result<Option<SealedRecord>, DeliveryError> {
        while let Some(record) = self.lines.next_record()? {
            if !record.relationship.interval().ended_before(self.kept_from) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn apply_calls(&mut self, customer: Sealed) -> Result<(), DeliveryError> {
        let mut delivered = Vec::new();
        while self
            .ahead
            .as_ref()
            .is_some_and(|record| record.customer == customer)
        {
            delivered.extend(self.next_delivered()?);
        }
        let mut records = CustomerRecords::new(customer, delivered, self.kept_from);
        for call in self.calls.take_of_customer() {
            records.apply(&call);
        }
        self.ready.extend(records.records());
        Ok(())
    }
}

/// Sorted lines, one an identity: the last line stands.
struct DistinctRecords {
    lines: Merged,
    held: Option<SealedRecord>,
}

impl DistinctRecords {
    fn next_record(&mut self) -> Result<Option<SealedRecord>, DeliveryError> {
        while let Some(bytes) = self.lines.next_record()? {
            let (_, next) = SealedRecord::decode_sorted(bytes)?;
            match self.held.replace(next) {
                Some(held)
                    if self
                        .held
                        .as_ref()
                        .is_some_and(|next| held.cmp_identity(next).is_ne()) =>
                {
                    return Ok(Some(held));
                }
                Some(_) | None => {}
            }
        }
        Ok(self.held.take())
    }
}

/// The calls that were kept while the set was received, by customer, in their order.
#[derive(Default)]
struct KeptCalls {
    read: VecDeque<SetChange>,
    last: Vec<u8>,
    ended: bool,
}

impl KeptCalls {
    /// The next customer with calls; `None`: there is none.
    fn next_customer(&mut self, read: ReadCalls<'_>) -> Result<Option<Sealed>, DeliveryError> {
        if self.read.is_empty() && !self.ended {
            self.read = read(&self.last)?.into();
            match self.read.back() {
                Some(call) => self.last = call.customer().as_bytes().to_vec(),
                None => self.ended = true,
            }
        }
        Ok(self.read.front().map(|call| call.customer().clone()))
    }

    fn take_of_customer(&mut self) -> Vec<SetChange> {
        let customer = self.read.front().map(|call| call.customer().clone());
        let count = self
            .read
            .iter()
            .take_while(|call| Some(call.customer()) == customer.as_ref())
            .count();
        self.read.drain(..count).collect()
    }
}
