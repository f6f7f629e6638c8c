//! The rules once more, straight from the text of the specification and slow on purpose: a calendar of
//! [`DAYS`] days, on which every question is answered by looking at every day of every record.

/// The calendar has the days `0..DAYS`; what still runs is running on its last day and ever after.
pub const DAYS: usize = 13;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Owner,
    SecondaryOwner,
    Other,
    Unknown,
}

#[derive(Debug, Clone, Copy)]
pub struct Record {
    pub bank: usize,
    pub role: Role,
    pub creditable: bool,
    pub holds_funds: bool,
    pub from: usize,
    pub to: Option<usize>,
}

impl Record {
    pub fn runs(&self, day: usize) -> bool {
        (0..DAYS)
            .filter(|d| *d >= self.from && self.to.is_none_or(|to| *d <= to))
            .any(|d| d == day)
    }

    fn days(&self) -> Vec<usize> {
        (0..DAYS).filter(|day| self.runs(*day)).collect()
    }
}

/// `onlyPrimaryOwner` of the request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnlyPrimaryOwner {
    Absent,
    No,
    Yes,
    /// Yes, for a service whose terms list `unknown` too.
    YesAndUnknown,
}

#[derive(Debug, Clone)]
pub struct World {
    pub today: usize,
    /// What ended before this day is forgotten.
    pub kept_from: usize,
    /// By bank, in order of organisation number: the successor and the day of the merger.
    pub mergers: Vec<Option<(usize, usize)>>,
    /// By bank likewise: the first day that its records reach back to.
    pub covers_from: Vec<Option<usize>>,
    pub records: Vec<Record>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership {
    Primary,
    NotPrimary,
    Unknown,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    /// Bank, ownershipType, activeAccount.
    pub banks: Vec<(usize, Ownership, bool)>,
    pub unknown_ownership: usize,
    pub before_retention: bool,
}

impl World {
    /// Rule 5.
    pub fn listed_as(&self, bank: usize) -> usize {
        match self.mergers[bank] {
            Some((successor, merged_on)) if merged_on <= self.today => self.listed_as(successor),
            _ => bank,
        }
    }

    fn is_forgotten(&self, record: &Record) -> bool {
        record.days().iter().all(|day| *day < self.kept_from)
    }

    /// Begun, and not forgotten.
    pub fn is_spoken_of(&self, record: &Record) -> bool {
        record.days()[0] <= self.today && !self.is_forgotten(record)
    }

    /// Rules 1 to 4.
    pub fn relationships(&self, from: usize, to: usize, only: OnlyPrimaryOwner) -> Answer {
        let mut answer = Answer {
            banks: Vec::new(),
            unknown_ownership: 0,
            before_retention: (from..=to).any(|day| day < self.kept_from),
        };
        for bank in 0..self.mergers.len() {
            let overlapping: Vec<&Record> = self
                .records
                .iter()
                .filter(|record| self.listed_as(record.bank) == bank && self.is_spoken_of(record))
                .filter(|record| (from..=to).any(|day| record.runs(day)))
                .collect();
            if overlapping.is_empty() {
                continue;
            }
            let ownership = self.ownership_type(bank, &overlapping, from);
            let active = to == self.today && overlapping.iter().any(|r| self.pays_today(r));
            match (only, ownership) {
                (OnlyPrimaryOwner::Yes, Ownership::Unknown) => answer.unknown_ownership += 1,
                (OnlyPrimaryOwner::Yes | OnlyPrimaryOwner::YesAndUnknown, Ownership::NotPrimary) => {}
                _ => answer.banks.push((bank, ownership, active)),
            }
        }
        answer
    }

    /// Rule 2, and rule 5: records are judged together with those of the banks that have merged into it.
    fn ownership_type(&self, listed: usize, records: &[&Record], from: usize) -> Ownership {
        let knows =
            |bank: usize| (0..=from).any(|day| self.covers_from[bank].is_none_or(|first| first <= day));
        if records.iter().any(|r| r.role == Role::Owner && r.holds_funds) {
            Ownership::Primary
        } else if records.iter().any(|r| r.role == Role::Unknown || !knows(r.bank)) || !knows(listed) {
            Ownership::Unknown
        } else {
            Ownership::NotPrimary
        }
    }

    /// Rule 3, of one record.
    fn pays_today(&self, record: &Record) -> bool {
        let owns = record.role == Role::Owner || record.role == Role::SecondaryOwner;
        owns && record.creditable && record.runs(self.today)
    }

    /// The banks that may be named as servicing the account that all records carry, when the text leaves
    /// a choice more than one; and whether two claim it at once.
    pub fn servicing(&self) -> (Vec<usize>, bool) {
        let carrying = self.records.iter().filter(|record| self.is_spoken_of(record));
        let (running, ended): (Vec<&Record>, Vec<&Record>) = carrying.partition(|r| r.runs(self.today));
        let banks = |records: Vec<&Record>| {
            let mut banks: Vec<usize> = records.iter().map(|r| self.listed_as(r.bank)).collect();
            banks.sort_unstable();
            banks.dedup();
            banks
        };
        let last = |records: Vec<&Record>, day: &dyn Fn(&Record) -> usize| {
            let latest = records.iter().map(|record| day(record)).max();
            banks(records.into_iter().filter(|r| Some(day(r)) == latest).collect())
        };
        if running.is_empty() {
            (last(ended, &|record| *record.days().last().unwrap()), false)
        } else {
            (
                last(running.clone(), &|record| record.from),
                banks(running).len() > 1,
            )
        }
    }
}
