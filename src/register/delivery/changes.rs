//! V2 changes: put, end, remove; in order, all or nothing.

use super::incoming::Incoming;
use super::intake::{DETAILED_REJECTS, HEADER_BYTES, Lines, SORT_ACCOUNTS_BYTES};
use super::whole_set::count_distinct;
use super::{Conflict, Delivery, DeliveryError, DeliveryRefusal, Taken};
use crate::domain::calendar::{oslo_day, years_before};
use crate::domain::relationship::SetId;
use crate::index::layout::Generation;
use crate::journal::{self, BodyWriter, JournalError, Kind, Receipt, Reject, RejectCode, SetChange, Summary};
use crate::pseudonym::{AccountKey, CustomerKey};
use crate::register::replay::{Effect, Resolution};
use crate::spill::{Merged, Sorter};
use chrono::Utc;
use std::collections::BTreeSet;
use std::path::Path;

/// Changes that are resolved together; a customer's are never parted, unless they are more than these.
const CHUNK_CHANGES: usize = 20_000;

/// A change and the line it stood on.
type Numbered = (u64, SetChange);

impl Delivery {
    /// Publishes changes whose last line has come. `sha256` is that of the decoded body.
    pub async fn publish_changes(
        &self,
        incoming: Incoming,
        sha256: [u8; 32],
    ) -> Result<Receipt, DeliveryRefusal> {
        let delivery = self.clone();
        self.in_own_task(async move { Ok(delivery.take_changes(incoming, sha256).await) })
            .await?
    }

    async fn take_changes(&self, incoming: Incoming, sha256: [u8; 32]) -> Taken {
        let set = incoming.set();
        let _index = self.index_use.deliver_set().await.map_err(DeliveryError::Index)?;
        let guard = self.locks.lock(set).await;
        self.index.refresh().await.map_err(DeliveryError::Index)?;
        self.check_level(set)?;
        self.check_sequence(&incoming)?;
        let lines = self.end_input(&incoming.intake)?;
        let body = self.journal()?.begin_body(incoming.begun.id);
        let (mut summary, body) = self.write_changes(&incoming, lines, body).await?;
        // The rows were read without their marker; if it is gone now, they were not the truth.
        self.index.refresh().await.map_err(DeliveryError::Index)?;
        self.check_level(set)?;
        summary.sha256 = sha256;
        summary.idempotency = incoming.order.idempotency;
        summary.sequence = incoming.order.sequence;
        if summary.counts.rejected > incoming.order.max_rejects {
            summary.sequence = None;
            return Err(incoming.reject(summary).await);
        }
        let delivery = journal::Delivery {
            id: incoming.begun.id,
            kind: Kind::Changes,
            received_at: incoming.begun.received_at,
            summary,
            body: body.finish().map_err(DeliveryError::Journal)?,
        };
        self.publish(set, incoming.carries_after, delivery, &guard)
            .await?;
        self.receipt(set.bank, incoming.begun.id).await
    }

    /// From 1, without gap or repeat; consumed only when published.
    fn check_sequence(&self, incoming: &Incoming) -> Result<(), DeliveryRefusal> {
        let state = self.index.state();
        let last = state.sets.get(&incoming.set()).map_or(0, |known| known.sequence);
        let expected = last + 1;
        match incoming.order.sequence {
            Some(sequence) if sequence != expected => Err(Conflict::Sequence { expected }.into()),
            _ => Ok(()),
        }
    }

    /// Holds each change against what stands, and writes those that can be made.
    async fn write_changes(
        &self,
        incoming: &Incoming,
        lines: Lines,
        body: BodyWriter,
    ) -> Result<(Summary, BodyWriter), DeliveryError> {
        let set = incoming.set();
        let state = self.index.state();
        let generation = state.sets.get(&set).map_or(0, |state| state.generation);
        let (mut sorted, _, mut summary) = lines.sort().map_err(JournalError::Io)?;
        summary.running = state.sets.get(&set).map_or(0, |known| known.running);
        let mut written = Written::begin(self.journal()?.scratch(), summary, body);
        let (today, mut ahead) = (incoming.intake.today, None);
        loop {
            let (chunk, rest, next) = self.workers.run(move || next_customers(sorted, ahead)).await??;
            (sorted, ahead) = (rest, next);
            if chunk.is_empty() {
                return Ok(self.workers.run(|| written.end()).await??);
            }
            let mut standing = self.standing(set, generation, &chunk).await?;
            let before = standing.running_on(today);
            chunk.iter().for_each(|(_, change)| standing.apply(change));
            let running = written.summary.running + standing.running_on(today);
            written.summary.running = running.saturating_sub(before);
            written.add(&chunk, standing.effects())?;
        }
    }

    /// What stands of the customers of changes, those that are only put included: they may stand already. What ended
    /// longer ago than it is kept does not, whether it was erased already or not.
    async fn standing(
        &self,
        set: SetId,
        generation: Generation,
        chunk: &[Numbered],
    ) -> Result<Resolution, DeliveryError> {
        let customers = chunk.iter().map(|(_, change)| change.customer().customer_key());
        let customers: Vec<_> = customers.collect::<BTreeSet<_>>().into_iter().collect();
        let mut rows = self.index.rows_of(set, generation, &customers).await?;
        let kept_from = years_before(oslo_day(Utc::now()), self.bounds.closed_years);
        for rows in &mut rows {
            rows.retain(|(_, relationship)| relationship.interval().to().is_none_or(|to| to >= kept_from));
        }
        Ok(Resolution::new(customers.into_iter().zip(rows)))
    }
}

/// What is written of changes so far, and counted.
struct Written {
    summary: Summary,
    body: BodyWriter,
    /// Customers share accounts, so these are sorted before they are counted.
    accounts: Sorter,
    /// Of the last change. Those of a customer come one behind the other.
    customer: Option<CustomerKey>,
}

impl Written {
    fn begin(scratch: &Path, summary: Summary, body: BodyWriter) -> Self {
        Self {
            summary,
            body,
            accounts: Sorter::new(scratch, SORT_ACCOUNTS_BYTES),
            customer: None,
        }
    }

    /// Writes the changes that can be made; the others are rejected.
    fn add(&mut self, chunk: &[Numbered], effects: &[Effect]) -> Result<(), JournalError> {
        for ((line, change), effect) in chunk.iter().zip(effects) {
            match refuse(*line, *effect) {
                None => self.write(change, *effect)?,
                Some(reject) => {
                    self.summary.counts.rejected += 1;
                    self.summary.rejects.push(reject);
                }
            }
        }
        self.summary.rejects.sort_by_key(|reject| reject.line);
        self.summary.rejects.truncate(DETAILED_REJECTS);
        Ok(())
    }

    fn write(&mut self, change: &SetChange, effect: Effect) -> Result<(), JournalError> {
        let counts = &mut self.summary.counts;
        match effect {
            Effect::Stored | Effect::Registered | Effect::AlreadyRunning => counts.stored += 1,
            Effect::Ended | Effect::Deregistered => counts.ended += 1,
            Effect::Removed => counts.removed += 1,
            Effect::NoSuchEnd | Effect::NotThere | Effect::NothingRuns | Effect::EndsBeforeItBegan => {}
        }
        let customer = change.customer().customer_key();
        counts.customers += u64::from(self.customer.replace(customer) != Some(customer));
        if let Some(account) = account_of(change) {
            self.accounts.push(&account.0).map_err(JournalError::Io)?;
        }
        self.body.push(change)
    }

    fn end(mut self) -> Result<(Summary, BodyWriter), JournalError> {
        let accounts = self.accounts.finish().and_then(count_distinct);
        self.summary.counts.accounts = accounts.map_err(JournalError::Io)?;
        Ok((self.summary, self.body))
    }
}

fn account_of(change: &SetChange) -> Option<AccountKey> {
    match change {
        SetChange::Put(record) => record.agreement.account_key(),
        SetChange::End { identity, .. } | SetChange::Remove(identity) => identity.agreement.account_key(),
        SetChange::Register { .. } | SetChange::Deregister { .. } => None,
    }
}

/// What cannot be made. Removing what is not there leaves what was asked for.
fn refuse(line: u64, effect: Effect) -> Option<Reject> {
    let (code, parameter, reason) = match effect {
        Effect::NoSuchEnd => (
            RejectCode::NotFound,
            "end",
            "there is no record of this customer, agreement and fromDate",
        ),
        Effect::EndsBeforeItBegan => (RejectCode::InvalidDate, "toDate", "must not lie before fromDate"),
        Effect::Stored
        | Effect::Registered
        | Effect::AlreadyRunning
        | Effect::Deregistered
        | Effect::NothingRuns
        | Effect::Ended
        | Effect::Removed
        | Effect::NotThere => return None,
    };
    Some(Reject {
        line,
        code,
        parameter: parameter.to_owned(),
        reason: reason.to_owned(),
    })
}

/// Reads the changes of the next customers; the first of those after them comes along.
fn next_customers(
    mut sorted: Merged,
    ahead: Option<Numbered>,
) -> Result<(Vec<Numbered>, Merged, Option<Numbered>), DeliveryError> {
    let mut chunk: Vec<Numbered> = ahead.into_iter().collect();
    while let Some(record) = sorted.next_record().map_err(JournalError::Io)? {
        let numbered = decode(record)?;
        let full = chunk.len() >= CHUNK_CHANGES;
        let another = chunk
            .last()
            .is_some_and(|(_, last)| last.customer() != numbered.1.customer());
        if full && (another || chunk.len() >= 5 * CHUNK_CHANGES) {
            return Ok((chunk, sorted, Some(numbered)));
        }
        chunk.push(numbered);
    }
    Ok((chunk, sorted, None))
}

fn decode(record: &[u8]) -> Result<Numbered, JournalError> {
    let damaged = || JournalError::Corrupt("sorted line");
    let (header, mut change) = record.split_at_checked(HEADER_BYTES).ok_or_else(damaged)?;
    let mut line = [0; 8];
    line.copy_from_slice(&header[HEADER_BYTES - 9..HEADER_BYTES - 1]);
    let change = SetChange::decode(&mut change)?.ok_or_else(damaged)?;
    Ok((u64::from_be_bytes(line), change))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Instance, customer, today};
    use super::*;
    use crate::domain::identifiers::AccountNumber;
    use crate::domain::relationship::{Agreement, Interval, Relationship, Role};
    use crate::journal::{Journal, SealedRecord};
    use crate::pseudonym::Pseudonyms;
    use uuid::Uuid;

    fn put(pseudonyms: &Pseudonyms, number: &str, account: &str) -> SetChange {
        let account = AccountNumber::parse_lookup_key(account).unwrap();
        let interval = Interval::new(today(), None).unwrap();
        SetChange::Put(SealedRecord {
            customer: pseudonyms.customer(&customer(number)),
            agreement: pseudonyms.agreement(&Agreement::Account(account)),
            relationship: Relationship::new(Role::Owner, false, true, interval),
        })
    }

    fn written(journal: &Journal, chunks: &[&[Numbered]]) -> Summary {
        let body = journal.begin_body(Uuid::now_v7());
        let mut written = Written::begin(journal.scratch(), Summary::default(), body);
        for chunk in chunks {
            written.add(chunk, &vec![Effect::Stored; chunk.len()]).unwrap();
        }
        written.end().unwrap().0
    }

    #[tokio::test]
    async fn what_is_met_in_two_chunks_counts_once() {
        let instance = Instance::start().await;
        let journal = instance.delivery.journal().unwrap();
        let pseudonyms = instance.delivery.pseudonyms(&journal).unwrap();
        let put = |line, customer, account| (line, put(&pseudonyms, customer, account));
        let [first, second] = ["01856867389", "17912099997"];
        let changes = [
            put(1, first, "10000000001"),
            put(2, first, "10000000003"),
            put(3, second, "10000000001"),
        ];
        let counts = written(&journal, &[&changes[..1], &changes[1..]]).counts;
        assert_eq!((counts.stored, counts.customers, counts.accounts), (3, 2, 2));
    }
}
