//! What comes in, line by line: sealed, sorted in bounded memory, counted.

use super::space::Space;
use super::{DeliveryError, Progress};
use crate::domain::delivery::{LineFault, Reject};
use crate::domain::identifiers::CustomerId;
use crate::domain::relationship::{Agreement, RelationshipRecord, Role};
use crate::pseudonym::Sealed;
use crate::spill::{Merged, Sorter};
use crate::store::{Resealing, RowKey, SealedIdentity, SealedRecord, SetChange, StoreError};
use chrono::NaiveDate;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rejected lines that are told one by one; all are counted.
pub(super) const DETAILED_REJECTS: usize = 1_000;
/// Memory of a delivery for sorting its lines.
const SORT_BYTES: usize = 32 << 20;
/// Memory of a delivery for counting its accounts.
pub(super) const SORT_ACCOUNTS_BYTES: usize = 8 << 20;
/// They share that memory: while one sorts what it holds, another takes lines.
const SORTERS: usize = 2;

/// What a line of a delivery asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    Put(RelationshipRecord),
    End {
        identity: Identity,
        to: NaiveDate,
    },
    Remove(Identity),
    /// KFR: registered from a day on.
    Register {
        customer: CustomerId,
        from: NaiveDate,
        role: Role,
    },
}

/// Which record is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub customer: CustomerId,
    pub agreement: Agreement,
    pub from: NaiveDate,
}

/// In which order the lines of a delivery are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrangement {
    /// Records in the order of rows.
    ByIdentity,
    /// Changes, those of a customer and agreement side by side, as they came: no other concerns the same records.
    ByAgreement,
}

/// Takes the lines of a delivery. Several threads may fill [blocks](Block) at once.
pub(super) struct Intake {
    key: RowKey,
    arrangement: Arrangement,
    pub(super) today: NaiveDate,
    /// What ended before this day is not taken into the register.
    kept_from: NaiveDate,
    space: Space,
    /// None once the input has ended.
    sorters: [Mutex<Option<Sorters>>; SORTERS],
    told: Mutex<Told>,
    pub(super) progress: Arc<Progress>,
}

/// What has come in, sealed.
struct Sorters {
    lines: Sorter,
    accounts: Sorter,
}

/// What is known of the lines that came in, before they are held against what stands.
#[derive(Default)]
pub(super) struct Told {
    pub(super) read: u64,
    pub(super) rejected: u64,
    /// The first of the rejected lines.
    pub(super) rejects: Vec<Reject>,
    /// Lines whose record runs today.
    pub(super) running: u64,
}

/// All that came in.
pub(super) struct Lines {
    key: RowKey,
    arrangement: Arrangement,
    sorters: Vec<Sorters>,
    pub(super) told: Told,
}

/// All that came in, in order.
pub(super) struct Sorted {
    pub(super) lines: SortedLines,
    /// Tags of the accounts of records.
    pub(super) accounts: Merged,
}

/// Lines in the order of rows under the key that they were sealed with.
pub(super) struct SortedLines {
    key: RowKey,
    arrangement: Arrangement,
    lines: Merged,
}

/// Lines that were read together, sealed.
pub struct Block<'a> {
    intake: &'a Intake,
    /// The customer of the line before: those of a customer mostly stand together, and sealing is dear.
    sealed: Option<(CustomerId, Sealed)>,
    records: Vec<u8>,
    ends: Vec<usize>,
    accounts: Vec<[u8; 8]>,
    told: Told,
}

impl Intake {
    /// Lines are sealed with `key`. What does not fit into memory goes to `scratch`, while there is space.
    pub(super) fn new(
        key: RowKey,
        arrangement: Arrangement,
        today: NaiveDate,
        kept_from: NaiveDate,
        scratch: &Path,
        space: Space,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            sorters: std::array::from_fn(|_| Mutex::new(Some(Sorters::new(scratch)))),
            told: Mutex::default(),
            key,
            arrangement,
            today,
            kept_from,
            space,
            progress,
        }
    }

    pub(super) fn block(&self) -> Block<'_> {
        Block {
            intake: self,
            sealed: None,
            records: Vec::new(),
            ends: Vec::new(),
            accounts: Vec::new(),
            told: Told::default(),
        }
    }

    /// Those that no other thread fills just now, if there are any.
    fn free_sorters(&self) -> MutexGuard<'_, Option<Sorters>> {
        let free = self.sorters.iter().find_map(|sorters| sorters.try_lock().ok());
        free.unwrap_or_else(|| held(&self.sorters[0]))
    }

    /// Ends the input. Once only.
    pub(super) fn end(&self) -> Result<Lines, DeliveryError> {
        let sorters = self.sorters.iter().map(|sorters| held(sorters).take());
        let sorters = sorters.collect::<Option<_>>().ok_or(DeliveryError::Panicked)?;
        let told = std::mem::take(&mut *held(&self.told));
        Ok(Lines {
            key: self.key.clone(),
            arrangement: self.arrangement,
            sorters,
            told,
        })
    }
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Sorters {
    fn new(scratch: &Path) -> Self {
        Self {
            lines: Sorter::new(scratch, SORT_BYTES / SORTERS),
            accounts: Sorter::new(scratch, SORT_ACCOUNTS_BYTES / SORTERS),
        }
    }
}

impl Told {
    fn add(&mut self, block: Self) {
        self.read += block.read;
        self.running += block.running;
        self.add_rejects(block.rejected, block.rejects);
    }

    /// Blocks come in any order; the first lines are those that are told.
    pub(super) fn add_rejects(&mut self, rejected: u64, rejects: Vec<Reject>) {
        self.rejected += rejected;
        self.rejects.extend(rejects);
        self.rejects.sort_by_key(|reject| reject.line);
        self.rejects.truncate(DETAILED_REJECTS);
    }
}

impl Block<'_> {
    /// Takes the next line, or all that is wrong with it.
    pub fn push(&mut self, number: u64, line: Result<Line, Vec<LineFault>>) {
        self.told.read += 1;
        match line {
            Ok(line) => self.push_line(number, line),
            Err(faults) => {
                self.told.rejected += 1;
                if self.told.rejects.len() < DETAILED_REJECTS {
                    self.told.rejects.push(Reject { line: number, faults });
                }
            }
        }
    }

    fn push_line(&mut self, number: u64, line: Line) {
        let change = self.seal(line);
        match (self.intake.arrangement, &change) {
            (Arrangement::ByIdentity, SetChange::Put(record)) => {
                let interval = record.relationship.interval();
                self.told.running += u64::from(interval.runs_on(self.intake.today));
                let account = record.agreement.account().map(|account| account.tag().0);
                let is_kept = !interval.ended_before(self.intake.kept_from);
                self.accounts.extend(account.filter(|_| is_kept));
                record.encode_sorted(number, &mut self.records);
            }
            _ => encode_change(&change, number, &mut self.records),
        }
        self.ends.push(self.records.len());
    }

    /// Adds the block to its delivery, unless the disk is nearly full.
    pub fn take(self) -> io::Result<()> {
        self.intake.space.check_write()?;
        let mut sorters = self.intake.free_sorters();
        let Some(Sorters { lines, accounts }) = sorters.as_mut() else {
            return Err(io::ErrorKind::InvalidInput.into());
        };
        let mut start = 0;
        for end in self.ends {
            lines.push(&self.records[start..end])?;
            start = end;
        }
        for account in &self.accounts {
            accounts.push(account)?;
        }
        self.intake.progress.add_lines(self.told.read);
        held(&self.intake.told).add(self.told);
        Ok(())
    }

    fn seal(&mut self, line: Line) -> SetChange {
        match line {
            Line::Put(record) => SetChange::Put(SealedRecord {
                customer: self.seal_customer(record.customer),
                agreement: self.intake.key.pseudonyms.agreement(&record.agreement),
                relationship: record.relationship,
            }),
            Line::End { identity, to } => SetChange::End {
                identity: self.seal_identity(&identity),
                to,
            },
            Line::Remove(identity) => SetChange::Remove(self.seal_identity(&identity)),
            Line::Register { customer, from, role } => SetChange::Register {
                customer: self.seal_customer(customer),
                from,
                on: self.intake.today,
                role,
            },
        }
    }

    fn seal_identity(&mut self, identity: &Identity) -> SealedIdentity {
        SealedIdentity {
            customer: self.seal_customer(identity.customer),
            agreement: self.intake.key.pseudonyms.agreement(&identity.agreement),
            from: identity.from,
        }
    }

    fn seal_customer(&mut self, customer: CustomerId) -> Sealed {
        match &self.sealed {
            Some((last, sealed)) if *last == customer => sealed.clone(),
            _ => {
                let sealed = self.intake.key.pseudonyms.customer(&customer);
                self.sealed = Some((customer, sealed.clone()));
                sealed
            }
        }
    }
}

/// A change as bytes that sort by customer, agreement and line:
/// `customer | 0 at customer level, else 1 | agreement | line (8) | change | length of all before the line (1)`.
fn encode_change(change: &SetChange, line: u64, out: &mut Vec<u8>) {
    let (start, agreement) = (out.len(), change.agreement().as_bytes());
    out.extend_from_slice(change.customer().as_bytes());
    out.push(u8::from(!agreement.is_empty()));
    out.extend_from_slice(agreement);
    // At most twice Sealed::MAX_BYTES (80), and one.
    let before_line = (out.len() - start) as u8;
    out.extend(line.to_be_bytes());
    change.encode(out);
    out.push(before_line);
}

/// Reads back what `encode_change` wrote: the line, and the change.
pub(super) fn decode_change(bytes: &[u8]) -> Result<(u64, SetChange), StoreError> {
    const CUT: StoreError = StoreError::Damaged("a sorted change");
    let (before_line, rest) = bytes.split_last().ok_or(CUT)?;
    let rest = rest.get(usize::from(*before_line)..).ok_or(CUT)?;
    let (line, mut change) = rest.split_first_chunk().ok_or(CUT)?;
    let change = SetChange::decode(&mut change)?.ok_or(CUT)?;
    Ok((u64::from_be_bytes(*line), change))
}

impl Lines {
    /// Sorts what came in.
    pub(super) fn sort(self) -> io::Result<(Sorted, Told)> {
        let sorters = self.sorters.into_iter().map(|of| (of.lines, of.accounts));
        let (lines, accounts) = sorters.unzip();
        let lines = SortedLines {
            key: self.key,
            arrangement: self.arrangement,
            lines: Sorter::finish_all(lines)?,
        };
        let sorted = Sorted {
            lines,
            accounts: Sorter::finish_all(accounts)?,
        };
        Ok((sorted, self.told))
    }
}

impl SortedLines {
    /// In the order of rows under a key: sealed anew if the set was brought under another one since the lines came.
    pub(super) fn under(self, key: RowKey, scratch: &Path) -> Result<Merged, DeliveryError> {
        if self.key.id == key.id {
            return Ok(self.lines);
        }
        let (mut resealing, mut lines) = (Resealing::new(self.key, key), self.lines);
        let (mut sorter, mut line) = (Sorter::new(scratch, SORT_BYTES), Vec::new());
        while let Some(bytes) = lines.next_record()? {
            line.clear();
            match self.arrangement {
                Arrangement::ByIdentity => {
                    let (number, record) = SealedRecord::decode_sorted(bytes)?;
                    resealing.record(record)?.encode_sorted(number, &mut line);
                }
                Arrangement::ByAgreement => {
                    let (number, change) = decode_change(bytes)?;
                    encode_change(&resealing.change(change)?, number, &mut line);
                }
            }
            sorter.push(&line)?;
        }
        Ok(sorter.finish()?)
    }
}

/// How many different ones there are.
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
