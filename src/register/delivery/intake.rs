//! What comes in, line by line: sealed, sorted in bounded memory, counted.

use super::reseal::resealed;
use super::space::Space;
use super::{DeliveryError, Progress};
use crate::domain::identifiers::CustomerId;
use crate::domain::relationship::{Agreement, RelationshipRecord, Role};
use crate::journal::{Counts, Journal, Reject, SealedIdentity, SealedRecord, SetChange, Summary};
use crate::pseudonym::{Pseudonyms, Reseal, Sealed};
use crate::spill::{Merged, Sorter};
use chrono::{Datelike, NaiveDate};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Rejected lines that are told one by one; all are counted.
pub(super) const DETAILED_REJECTS: usize = 1_000;
/// Memory of a delivery for sorting its lines.
pub(super) const SORT_BYTES: usize = 32 << 20;
/// Memory of a delivery for counting its accounts.
pub(super) const SORT_ACCOUNTS_BYTES: usize = 8 << 20;
/// They share that memory: while one sorts what it holds, another takes lines.
const SORTERS: usize = 2;
/// In front of a sorted line: customer, agreement, first day; then the line's number, and whether it runs.
pub(super) const IDENTITY_BYTES: usize = 16 + 6 + 4;
const LINE_BYTES: usize = 8;
pub(super) const HEADER_BYTES: usize = IDENTITY_BYTES + LINE_BYTES + 1;

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
    /// One an identity.
    ByIdentity,
    /// Those of a customer side by side, as they came.
    ByCustomer,
}

/// Takes the lines of a delivery. Several threads may fill [blocks](Block) at once.
pub(super) struct Intake {
    /// The journal in force when it began, and its pseudonyms.
    pub(super) journal: Arc<Journal>,
    pub(super) pseudonyms: Arc<Pseudonyms>,
    arrangement: Arrangement,
    pub(super) today: NaiveDate,
    /// Gone when the input has ended.
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

/// What the receipt tells of the lines that came in.
#[derive(Default)]
struct Told {
    read: u64,
    rejected: u64,
    rejects: Vec<Reject>,
}

/// All that came in.
pub(super) struct Lines {
    sorters: Vec<Sorters>,
    told: Told,
    /// To the key of the journal that is in force by now, if that is another.
    pub(super) reseal: Option<(Reseal, Arc<Journal>)>,
}

/// Lines that were read together, sealed.
pub struct Block<'a> {
    intake: &'a Intake,
    /// The customer of the line before: those of a customer mostly stand together, and sealing is dear.
    sealed: Option<(CustomerId, Sealed)>,
    records: Vec<u8>,
    ends: Vec<usize>,
    accounts: Vec<[u8; 10]>,
    told: Told,
}

impl Intake {
    /// What does not fit into memory goes to the journal's disk, while there is space.
    pub(super) fn new(
        journal: Arc<Journal>,
        pseudonyms: Arc<Pseudonyms>,
        arrangement: Arrangement,
        today: NaiveDate,
        space: Space,
        progress: Arc<Progress>,
    ) -> Self {
        let sorters = || Sorters::new(journal.scratch());
        Self {
            sorters: std::array::from_fn(|_| Mutex::new(Some(sorters()))),
            told: Mutex::default(),
            journal,
            pseudonyms,
            arrangement,
            today,
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
            sorters,
            told,
            reseal: None,
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
        self.rejected += block.rejected;
        self.rejects.extend(block.rejects);
        // Blocks come in any order; the first lines are those that are told.
        self.rejects.sort_by_key(|reject| reject.line);
        self.rejects.truncate(DETAILED_REJECTS);
    }
}

impl Block<'_> {
    /// Takes the next line, or all that is wrong with it.
    pub fn push(&mut self, number: u64, line: Result<Line, Vec<Reject>>) {
        self.told.read += 1;
        match line {
            Ok(line) => self.push_change(number, line),
            Err(rejects) => {
                self.told.rejected += 1;
                let room = DETAILED_REJECTS.saturating_sub(self.told.rejects.len());
                self.told.rejects.extend(rejects.into_iter().take(room));
            }
        }
    }

    fn push_change(&mut self, number: u64, line: Line) {
        let change = self.seal(line);
        let (from, runs) = match &change {
            SetChange::Put(record) => {
                self.accounts
                    .extend(record.agreement.account_key().map(|account| account.0));
                let interval = record.relationship.interval();
                (interval.from(), interval.runs_on(self.intake.today))
            }
            SetChange::End { identity, .. } | SetChange::Remove(identity) => (identity.from, false),
            SetChange::Register { from, .. } => (*from, true),
            SetChange::Deregister { to, .. } => (*to, false),
        };
        self.records.extend(change.customer().customer_key().0);
        match self.intake.arrangement {
            Arrangement::ByIdentity => {
                self.records.extend(agreement_key(&change));
                self.records.extend(from.num_days_from_ce().to_be_bytes());
            }
            Arrangement::ByCustomer => self.records.extend([0; IDENTITY_BYTES - 16]),
        }
        self.records.extend(number.to_be_bytes());
        self.records.push(u8::from(runs));
        change.encode(&mut self.records);
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
        if self.intake.arrangement == Arrangement::ByIdentity {
            for account in &self.accounts {
                accounts.push(account)?;
            }
        }
        self.intake.progress.add_lines(self.told.read);
        held(&self.intake.told).add(self.told);
        Ok(())
    }
}

pub(super) fn agreement_key(change: &SetChange) -> [u8; 6] {
    match change {
        SetChange::Put(record) => record.agreement.key().0,
        SetChange::End { identity, .. } | SetChange::Remove(identity) => identity.agreement.key().0,
        SetChange::Register { .. } | SetChange::Deregister { .. } => [0; 6],
    }
}

impl Block<'_> {
    fn seal(&mut self, line: Line) -> SetChange {
        match line {
            Line::Put(record) => SetChange::Put(SealedRecord {
                customer: self.seal_customer(record.customer),
                agreement: self.intake.pseudonyms.agreement(&record.agreement),
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
            agreement: self.intake.pseudonyms.agreement(&identity.agreement),
            from: identity.from,
        }
    }

    fn seal_customer(&mut self, customer: CustomerId) -> Sealed {
        match &self.sealed {
            Some((last, sealed)) if *last == customer => sealed.clone(),
            _ => {
                let sealed = self.intake.pseudonyms.customer(&customer);
                self.sealed = Some((customer, sealed.clone()));
                sealed
            }
        }
    }
}

impl Lines {
    /// Sorted lines, and sorted accounts.
    pub(super) fn sort(self) -> io::Result<(Merged, Merged, Summary)> {
        let counts = Counts {
            read: self.told.read,
            rejected: self.told.rejected,
            ..Counts::default()
        };
        let summary = Summary {
            counts,
            rejects: self.told.rejects,
            ..Summary::default()
        };
        let sorters = self.sorters.into_iter().map(|of| (of.lines, of.accounts));
        let (lines, accounts) = sorters.unzip();
        let mut lines = Sorter::finish_all(lines)?;
        if let Some((reseal, journal)) = self.reseal {
            lines = resealed(lines, &reseal, journal.scratch())?.finish()?;
        }
        Ok((lines, Sorter::finish_all(accounts)?, summary))
    }
}
