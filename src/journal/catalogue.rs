//! What the journal knows without reading it again: where each publication and receipt lies.

use super::bodies::Bodies;
use super::entry::{Begun, Ended, Entry, Kind, Operation, Overtaken, Publication, Summary, set_of};
use super::noted::Noted;
use super::together::{Elsewhere, Run, elsewhere_of, lengthen};
use super::{JournalError, Receipt, ReceiptState};
use crate::chain::Locator;
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::relationship::SetId;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use uuid::Uuid;

/// A publication: what is needed to find and order it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Listed {
    pub(super) position: u64,
    pub(super) kind: Kind,
    pub(super) published_at: DateTime<Utc>,
    pub(super) locator: Locator,
    pub(super) fence: u64,
    sequence: u64,
    running: u64,
    stored: u64,
    ended: u64,
}

/// How a delivery with a receipt stands.
#[derive(Debug, Clone, Copy)]
enum Progress {
    Receiving,
    Abandoned,
    Ended(Locator),
}

/// A delivery with a receipt.
#[derive(Debug, Clone)]
struct Filed {
    begun: Begun,
    set: SetId,
    progress: Progress,
    /// Lines that were not taken.
    rejected: u64,
}

/// The delivery that an idempotency key is bound to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUse {
    pub delivery_id: Uuid,
    /// Of the decoded body.
    pub sha256: [u8; 32],
    pub at: DateTime<Utc>,
}

/// How a set stands at a position: a whole set, and what changed it since, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lineage {
    /// Position of the whole set; `None`: the set began with changes.
    pub whole_set: Option<u64>,
    pub changes: Vec<u64>,
    /// Some of it is in another journal.
    pub is_partial: bool,
}

#[derive(Default)]
pub(super) struct Catalogue {
    sets: HashMap<SetId, Vec<Listed>>,
    receipts: HashMap<OrganizationNumber, Vec<Filed>>,
    keys: HashMap<(SetId, Operation, [u8; 32]), KeyUse>,
    sequences: HashMap<SetId, u64>,
    pub(super) elsewhere: HashMap<SetId, Elsewhere>,
    pub(super) runs: HashMap<SetId, Vec<Run>>,
    pub(super) bodies: Bodies,
    noted: Noted,
}

impl Catalogue {
    /// Takes note of an entry that is durable.
    pub(super) fn note(&mut self, entry: &Entry, locator: Locator) -> Result<(), JournalError> {
        self.take_in(entry, locator)?;
        self.noted.add(locator.sequence());
        Ok(())
    }

    /// The last entry of the chain that is in here with all before it.
    pub(super) fn noted_through(&self) -> u64 {
        self.noted.through()
    }

    fn take_in(&mut self, entry: &Entry, locator: Locator) -> Result<(), JournalError> {
        match entry {
            Entry::Born { .. } => Ok(()),
            Entry::Begun(begun) => {
                let filed = Filed {
                    begun: begun.clone(),
                    set: set_of(begun.bank, begun.register)?,
                    progress: Progress::Receiving,
                    rejected: 0,
                };
                self.receipts.entry(filed.set.bank).or_default().push(filed);
                Ok(())
            }
            Entry::Published(publication) => self.note_published(publication, locator),
            Entry::Ended(ended) => self.note_ended(ended, locator),
            Entry::LetGo(deliveries) => {
                self.bodies.let_go(deliveries);
                Ok(())
            }
            Entry::Rewritten(rewritten) => {
                self.bodies.rewritten(rewritten);
                Ok(())
            }
            Entry::Overtaken(overtaken) => self.note_overtaken(overtaken),
            Entry::Elsewhere(elsewhere) => {
                let (set, elsewhere) = elsewhere_of(elsewhere)?;
                self.elsewhere.insert(set, elsewhere);
                Ok(())
            }
        }
    }

    fn note_published(&mut self, publication: &Publication, locator: Locator) -> Result<(), JournalError> {
        let set = publication.set()?;
        let listed = self.sets.entry(set).or_default();
        if publication.position <= listed.last().map_or(0, |last| last.position) {
            return Err(JournalError::Corrupt("order of publications"));
        }
        let Summary { counts, running, .. } = publication.summary;
        self.bodies.note(set, publication);
        lengthen(
            self.runs.entry(set).or_default(),
            publication.position,
            publication.fence,
        );
        listed.push(Listed {
            position: publication.position,
            kind: publication.kind,
            published_at: publication.published_at,
            locator,
            fence: publication.fence,
            sequence: publication.summary.sequence.unwrap_or(0),
            running,
            stored: counts.stored,
            ended: counts.ended + counts.removed,
        });
        if let Some(sequence) = publication.summary.sequence {
            self.sequences.insert(set, sequence);
        }
        self.end(
            set,
            publication.delivery_id,
            &publication.summary,
            publication.published_at,
            locator,
        );
        Ok(())
    }

    /// What was overtaken has no position, no number and no key; its receipt says abandoned.
    fn note_overtaken(&mut self, overtaken: &Overtaken) -> Result<(), JournalError> {
        let set = set_of(overtaken.bank, overtaken.register)?;
        let listed = self.sets.entry(set).or_default();
        let kept = listed.partition_point(|listed| listed.position <= overtaken.after);
        let gone: Vec<Locator> = listed.drain(kept..).map(|listed| listed.locator).collect();
        let sequence = listed.iter().map(|listed| listed.sequence).max().unwrap_or(0);
        self.sequences.insert(set, sequence);
        let runs = self.runs.entry(set).or_default();
        runs.clear();
        for listed in &*listed {
            lengthen(runs, listed.position, listed.fence);
        }
        for filed in self.receipts.get_mut(&set.bank).into_iter().flatten() {
            if matches!(filed.progress, Progress::Ended(locator) if gone.contains(&locator)) {
                filed.progress = Progress::Abandoned;
                let delivery = filed.begun.delivery_id;
                self.keys.retain(|_, bound| bound.delivery_id != delivery);
            }
        }
        self.bodies.forget(set, overtaken.after);
        Ok(())
    }

    fn note_ended(&mut self, ended: &Ended, locator: Locator) -> Result<(), JournalError> {
        let set = set_of(ended.bank, ended.register)?;
        if ended.rejected {
            let at = self
                .filed(set.bank, ended.delivery_id)
                .map_or_else(Utc::now, |filed| filed.begun.received_at);
            self.end(set, ended.delivery_id, &ended.summary, at, locator);
        } else if let Some(filed) = self.filed(set.bank, ended.delivery_id)
            && matches!(filed.progress, Progress::Receiving)
        {
            filed.progress = Progress::Ended(locator);
        }
        Ok(())
    }

    /// Files the receipt's end and binds the key. KFR calls have neither.
    fn end(&mut self, set: SetId, delivery: Uuid, summary: &Summary, at: DateTime<Utc>, locator: Locator) {
        let Some(filed) = self.filed(set.bank, delivery) else {
            return;
        };
        filed.progress = Progress::Ended(locator);
        filed.rejected = summary.counts.rejected;
        let operation = filed.begun.operation;
        if let Some(key) = summary.idempotency {
            let bound = KeyUse {
                delivery_id: delivery,
                sha256: summary.sha256,
                at,
            };
            self.keys.insert((set, operation, key), bound);
        }
    }

    fn filed(&mut self, bank: OrganizationNumber, delivery: Uuid) -> Option<&mut Filed> {
        let filed = self.receipts.get_mut(&bank)?.iter_mut();
        filed.rev().find(|filed| filed.begun.delivery_id == delivery)
    }

    /// What was under way when the process ended was abandoned.
    pub(super) fn abandon_all(&mut self) {
        for filed in self.receipts.values_mut().flatten() {
            if matches!(filed.progress, Progress::Receiving) {
                filed.progress = Progress::Abandoned;
            }
        }
    }

    /// Of what has not ended, only the original knows what is under way and what was broken off.
    pub(super) fn stand_as(&mut self, original: &Self) {
        for (bank, filed) in &mut self.receipts {
            let originals = original.receipts.get(bank).into_iter().flatten();
            for (filed, original) in filed.iter_mut().zip(originals) {
                let same = filed.begun.delivery_id == original.begun.delivery_id;
                if same && !matches!(original.progress, Progress::Ended(_)) {
                    filed.progress = original.progress;
                }
            }
        }
    }

    /// Forgets keys that were bound before a time.
    pub(super) fn forget_keys(&mut self, before: DateTime<Utc>) {
        self.keys.retain(|_, bound| bound.at >= before);
    }

    pub(super) fn key_use(&self, set: SetId, operation: Operation, key: &[u8; 32]) -> Option<KeyUse> {
        self.keys.get(&(set, operation, *key)).copied()
    }

    pub(super) fn last_sequence(&self, set: SetId) -> u64 {
        self.sequences.get(&set).copied().unwrap_or(0)
    }

    pub(super) fn sets(&self) -> Vec<SetId> {
        self.sets.keys().copied().collect()
    }

    pub(super) fn listed(&self, set: SetId) -> &[Listed] {
        self.sets.get(&set).map_or(&[], Vec::as_slice)
    }

    pub(super) fn at(&self, set: SetId, position: u64) -> Option<&Listed> {
        let listed = self.listed(set);
        let at = listed.binary_search_by_key(&position, |listed| listed.position);
        listed.get(at.ok()?)
    }

    /// 0 without a publication.
    pub(super) fn last_position(&self, set: SetId) -> u64 {
        self.listed(set).last().map_or(0, |last| last.position)
    }

    /// The last one at or before a position.
    fn at_or_before(&self, set: SetId, position: u64) -> Option<&Listed> {
        let listed = self.listed(set);
        let after = listed.partition_point(|listed| listed.position <= position);
        listed.get(after.checked_sub(1)?)
    }

    /// How the set stands at a position, which may be 0. What other journals have of it is passed over.
    pub(super) fn lineage(&self, set: SetId, position: u64) -> Lineage {
        let (mut at, mut lineage) = (position, Lineage::default());
        while let Some(listed) = self.at_or_before(set, at) {
            lineage.is_partial |= listed.position < at;
            at = listed.position;
            match listed.kind {
                Kind::WholeSet { .. } => {
                    lineage.whole_set = Some(at);
                    break;
                }
                Kind::Changes | Kind::Calls => {
                    lineage.changes.push(at);
                    at -= 1;
                }
                // Always behind, so that this ends.
                Kind::Rollback { to } => at = to.min(at - 1),
            }
        }
        lineage.is_partial |= lineage.whole_set.is_none() && at > 0;
        lineage.changes.reverse();
        lineage
    }

    /// About how many records of the set ran at a position: as of its last whole set or changes, and what calls added and ended
    /// since.
    pub(super) fn running(&self, set: SetId, position: u64) -> u64 {
        let lineage = self.lineage(set, position);
        let whole = lineage
            .whole_set
            .and_then(|at| self.at(set, at))
            .map_or(0, |whole| whole.running);
        let changes = lineage.changes.iter().filter_map(|at| self.at(set, *at));
        changes.fold(whole, |running, listed| match listed.kind {
            // Calls are not held against what stands before they are journalled.
            Kind::Calls => (running + listed.stored).saturating_sub(listed.ended),
            Kind::Changes | Kind::WholeSet { .. } | Kind::Rollback { .. } => listed.running,
        })
    }

    /// About how many records of the set ran after each of its latest whole sets and changes, oldest first.
    pub(super) fn trend(&self, set: SetId, most: usize) -> Vec<(DateTime<Utc>, u64)> {
        let told = |listed: &&Listed| matches!(listed.kind, Kind::WholeSet { .. } | Kind::Changes);
        let latest = self.listed(set).iter().rev().filter(told).take(most);
        let mut trend: Vec<_> = latest
            .map(|listed| (listed.published_at, listed.running))
            .collect();
        trend.reverse();
        trend
    }

    /// Lines that the set's last delivery to end had rejected; `None`: none has ended.
    pub(super) fn last_rejected(&self, set: SetId) -> Option<u64> {
        let mut filed = self.receipts.get(&set.bank)?.iter().rev();
        let ended = |filed: &&Filed| filed.set == set && matches!(filed.progress, Progress::Ended(_));
        filed.find(ended).map(|filed| filed.rejected)
    }

    /// Deliveries with receipts, newest first.
    pub(super) fn receipts(&self, bank: OrganizationNumber) -> Vec<Uuid> {
        let filed = self.receipts.get(&bank).into_iter().flatten();
        filed.rev().map(|filed| filed.begun.delivery_id).collect()
    }

    /// A receipt as far as it is known here, and where its end can be read.
    pub(super) fn receipt(
        &self,
        bank: OrganizationNumber,
        delivery: Uuid,
    ) -> Option<(Receipt, Option<Locator>)> {
        let mut filed = self.receipts.get(&bank)?.iter().rev();
        let filed = filed.find(|filed| filed.begun.delivery_id == delivery)?;
        let (state, locator) = match filed.progress {
            Progress::Receiving => (ReceiptState::Receiving, None),
            Progress::Abandoned => (ReceiptState::Abandoned, None),
            Progress::Ended(locator) => (ReceiptState::Published, Some(locator)),
        };
        let receipt = Receipt {
            delivery_id: delivery,
            set: filed.set,
            operation: filed.begun.operation,
            state,
            received_at: filed.begun.received_at,
            published_at: None,
            position: None,
            summary: Summary::default(),
        };
        Some((receipt, locator))
    }

    /// What has become of a publication since.
    pub(super) fn fate(&self, set: SetId, position: u64) -> ReceiptState {
        let listed = self.listed(set);
        let after = listed.partition_point(|listed| listed.position <= position);
        let later = listed[after..].iter();
        let undone = |listed: &&Listed| matches!(listed.kind, Kind::Rollback { to } if to < position);
        if later.clone().any(|listed| undone(&listed)) {
            return ReceiptState::RolledBack;
        }
        let is_whole = self
            .at(set, position)
            .is_some_and(|l| matches!(l.kind, Kind::WholeSet { .. }));
        if !is_whole {
            return ReceiptState::Published;
        }
        match self.lineage(set, self.last_position(set)).whole_set {
            Some(whole) if whole != position => ReceiptState::Superseded,
            _ => ReceiptState::Published,
        }
    }
}
