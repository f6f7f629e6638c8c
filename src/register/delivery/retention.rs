//! Erases what ended longer ago than it is kept, from the index and from the journal's whole sets. It is no longer
//! answered anyway.

use super::space::Space;
use super::{Delivery, DeliveryError};
use crate::domain::relationship::SetId;
use crate::index::layout::{Generation, IndexState, Row, RowWrite};
use crate::journal::{Journal, JournalError, SetChange};
use crate::pseudonym::{AccountKey, AgreementKey, CustomerKey};
use crate::register::replay;
use chrono::{NaiveDate, TimeDelta, Utc};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Agreements that are looked at together, while the set is held.
const TOGETHER: usize = 1_000;
/// Between two of these, and between two pieces of the journal, so that others come in.
const PAUSE: Duration = Duration::from_millis(10);

/// Agreements of customers that may have rows to erase, with the account to unlink.
type Closed = BTreeMap<(CustomerKey, AgreementKey), Option<AccountKey>>;

impl Delivery {
    /// Removes the rows of a set that ended before a day, and counts them. The journal tells which may have. Ends
    /// early when another whole set takes the place of this one.
    pub async fn erase_closed(&self, set: SetId, before: NaiveDate) -> Result<u64, DeliveryError> {
        let journal = self.journal()?;
        let state = self.index.refresh().await?;
        let Some(known) = state.sets.get(&set) else {
            return Ok(0);
        };
        let mut erased = 0;
        for at in journal.made_of(set, known.position) {
            let mut changes = journal.changes(journal.published_at(set, at)?.publication())?;
            loop {
                let (chunk, rest) = replay::next_chunk(changes).await?;
                if chunk.is_empty() {
                    break;
                }
                let closed: Vec<_> = closed_in(&chunk, before).into_iter().collect();
                for together in closed.chunks(TOGETHER) {
                    erased += self.erase(set, known.generation, together, before).await?;
                    tokio::time::sleep(PAUSE).await;
                }
                tokio::time::sleep(PAUSE).await;
                changes = rest;
            }
        }
        Ok(erased)
    }

    /// Writes the whole sets in files that are kept of a set again, without what ended before a day, and counts
    /// them. Nothing for now while rows of other states may need what they hold; what [stands in the way] of one is
    /// looked at again the next time. To be called when the index was [erased](Self::erase_closed).
    ///
    /// [stands in the way]: crate::journal::Journal::put_rewritten
    pub async fn rewrite_closed(&self, set: SetId, before: NaiveDate) -> Result<u64, DeliveryError> {
        let journal = self.journal()?;
        let begun = self.index.refresh().await?;
        if has_other_rows(&begun, set) || goes_on_elsewhere(&begun, &journal, set) {
            return Ok(0);
        }
        let rollback_since = Utc::now() - TimeDelta::days(self.bounds.rollback_days);
        let mut rewritten = 0;
        for state in journal.kept_states(set, rollback_since) {
            let (from, space) = (Arc::clone(&journal), self.space()?);
            let write = move || {
                let mut check = || check_space(&space);
                replay::without_closed(&from, set, state, before, &mut check)
            };
            let Some(new_body) = self.workers.run(write).await?? else {
                continue;
            };
            let _index = self.index_use.mend()?;
            let _only_publisher = self.locks.lock(set).await;
            let now = self.index.refresh().await?;
            // One that was built anew has rows again that only the former body names.
            let is_other = now.marker != begun.marker || goes_on_elsewhere(&now, &journal, set);
            if is_other || has_other_rows(&now, set) {
                return Ok(rewritten);
            }
            rewritten += u64::from(journal.put_rewritten(new_body).await?);
        }
        Ok(rewritten)
    }

    async fn erase(
        &self,
        set: SetId,
        generation: Generation,
        closed: &[((CustomerKey, AgreementKey), Option<AccountKey>)],
        before: NaiveDate,
    ) -> Result<u64, DeliveryError> {
        let _index = self.index_use.mend()?;
        let _only_publisher = self.locks.lock(set).await;
        let state = self.index.state();
        if state.answerable().is_none() || !state.answers(set, generation) {
            return Ok(0);
        }
        let mut customers: Vec<CustomerKey> = closed.iter().map(|((customer, _), _)| *customer).collect();
        customers.dedup();
        let rows = self.index.rows_of(set, generation, &customers).await?;
        let mut deletes = Vec::new();
        for (customer, rows) in customers.iter().zip(rows) {
            for (agreement, relationship) in rows {
                let named = closed.binary_search_by_key(&(*customer, agreement), |(named, _)| *named);
                let ended = relationship.interval().to().is_some_and(|to| to < before);
                if let (Ok(at), true) = (named, ended) {
                    deletes.push(RowWrite::Delete(Row {
                        customer: *customer,
                        agreement,
                        account: closed[at].1,
                        relationship,
                    }));
                }
            }
        }
        let erased = deletes.len() as u64;
        if erased == 0 {
            return Ok(0);
        }
        let Some(_) = self.index.take(set.into()).await? else {
            return Ok(0);
        };
        let written = self.index.write(set, generation, deletes, None).await;
        self.index.give_up(set.into()).await?;
        Ok(written.map(|()| erased)?)
    }
}

/// Whether another journal has what changed the set last: what can be left out here is not known.
fn goes_on_elsewhere(state: &IndexState, journal: &Journal, set: SetId) -> bool {
    let known = state.sets.get(&set);
    known.is_none_or(|known| known.journal != journal.id())
}

/// Whether rows of replaced states of a set, or of another pseudonym key, are still there: what they were loaded from
/// says which they are.
fn has_other_rows(state: &IndexState, set: SetId) -> bool {
    let has_retired = state.sets.get(&set).is_none_or(|known| !known.retired.is_empty());
    has_retired || state.others.contains_key(&set)
}

fn check_space(space: &Space) -> Result<(), JournalError> {
    space.check_write().map_err(JournalError::Io)
}

/// The agreements that a change let end before a day. Whatever ended then was let end by one.
fn closed_in(changes: &[SetChange], before: NaiveDate) -> Closed {
    let closed = changes.iter().filter_map(|change| {
        let (to, agreement, account) = match change {
            SetChange::Put(record) => (
                record.relationship.interval().to()?,
                record.agreement.key(),
                record.agreement.account_key(),
            ),
            SetChange::End { identity, to } => {
                (*to, identity.agreement.key(), identity.agreement.account_key())
            }
            SetChange::Deregister { to, .. } => (*to, AgreementKey::CUSTOMER_LEVEL, None),
            SetChange::Remove(_) | SetChange::Register { .. } => return None,
        };
        let customer = change.customer().customer_key();
        (to < before).then_some(((customer, agreement), account))
    });
    closed.collect()
}
