//! A bank's whole set in one register: lookups see the former set until the instant the new one is complete.

use super::incoming::Incoming;
use super::intake::{HEADER_BYTES, IDENTITY_BYTES, Lines};
use super::space::Space;
use super::{Conflict, Delivery, DeliveryError, DeliveryRefusal, Taken};
use crate::journal::{self, BodyWriter, JournalError, Kind, Receipt, Summary};
use crate::spill::Merged;
use std::io;

/// Written between two looks at the disk.
const RECORDS_PER_CHECK: u64 = 10_000;

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
        let set = incoming.set();
        let _index = self.index_use.deliver_set().await.map_err(DeliveryError::Index)?;
        let lines = self.end_input(&incoming.intake)?;
        let (body, space) = (self.journal()?.begin_body(incoming.begun.id), self.space()?);
        let (mut summary, body) = self.sort_and_write(lines, body, space).await?;
        summary.sha256 = sha256;
        summary.idempotency = incoming.order.idempotency;
        if summary.counts.rejected > incoming.order.max_rejects {
            return Err(incoming.reject(summary).await);
        }
        let body = self
            .workers
            .run(move || body.finish())
            .await?
            .map_err(DeliveryError::Journal)?;
        let guard = self.locks.lock(set).await;
        self.index.refresh().await.map_err(DeliveryError::Index)?;
        self.check_level(set)?;
        self.check_shrink(&incoming, summary.running)?;
        let kind = Kind::WholeSet {
            carries_after: incoming.carries_after,
        };
        let delivery = journal::Delivery {
            id: incoming.begun.id,
            kind,
            received_at: incoming.begun.received_at,
            summary,
            body,
        };
        self.publish(set, incoming.carries_after, delivery, &guard)
            .await?;
        self.receipt(set.bank, incoming.begun.id).await
    }

    /// Writes the set, and counts its accounts beside that.
    async fn sort_and_write(
        &self,
        lines: Lines,
        body: BodyWriter,
        space: Space,
    ) -> Result<(Summary, BodyWriter), DeliveryError> {
        let sorted = self.workers.run(|| lines.sort()).await?;
        let (lines, accounts, summary) = sorted.map_err(JournalError::Io)?;
        let (written, counted) = tokio::join!(
            self.workers.run(move || write_set(lines, summary, body, &space)),
            self.workers.run(|| count_distinct(accounts))
        );
        let (mut summary, body) = written??;
        summary.counts.accounts = counted?.map_err(JournalError::Io)?;
        Ok((summary, body))
    }

    /// A set that lost most of its records is more likely a slip than the truth.
    fn check_shrink(&self, incoming: &Incoming, running: u64) -> Result<(), DeliveryRefusal> {
        let state = self.index.state();
        let present = state.sets.get(&incoming.set()).map_or(0, |known| known.running);
        let least = present.saturating_mul(self.bounds.shrink_percent);
        if running.saturating_mul(100) < least && !incoming.order.confirm_shrink {
            return Err(Conflict::Shrink { present, running }.into());
        }
        Ok(())
    }
}

/// Writes the set in the order of the index, one record an identity: the last line stands.
fn write_set(
    mut sorted: Merged,
    mut summary: Summary,
    mut body: BodyWriter,
    space: &Space,
) -> Result<(Summary, BodyWriter), DeliveryError> {
    let mut held = Vec::new();
    while let Some(record) = sorted.next_record().map_err(JournalError::Io)? {
        let same = held.get(..IDENTITY_BYTES) == record.get(..IDENTITY_BYTES);
        if !held.is_empty() && !same {
            write_record(&held, &mut body, &mut summary)?;
        }
        if summary.counts.stored.is_multiple_of(RECORDS_PER_CHECK) {
            space.check()?;
        }
        if held.get(..16) != record.get(..16) {
            summary.counts.customers += 1;
        }
        held.clear();
        held.extend_from_slice(record);
    }
    if !held.is_empty() {
        write_record(&held, &mut body, &mut summary)?;
    }
    Ok((summary, body))
}

fn write_record(record: &[u8], body: &mut BodyWriter, summary: &mut Summary) -> Result<(), JournalError> {
    let (header, change) = record
        .split_at_checked(HEADER_BYTES)
        .ok_or(JournalError::Corrupt("sorted line"))?;
    summary.counts.stored += 1;
    summary.running += u64::from(header[HEADER_BYTES - 1]);
    body.push_encoded(change)
}

pub(super) fn count_distinct(mut sorted: Merged) -> io::Result<u64> {
    let (mut count, mut last) = (0, Vec::new());
    while let Some(record) = sorted.next_record()? {
        if last != record {
            count += 1;
            last.clear();
            last.extend_from_slice(record);
        }
    }
    Ok(count)
}
