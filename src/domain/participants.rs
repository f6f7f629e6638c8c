//! The banks that the operator has registered: registers, freshness, mergers.

use super::identifiers::OrganizationNumber;
use super::relationship::{Register, Role, SetId};
use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use std::collections::BTreeMap;

/// A bank that takes part, as the operator registered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    pub organization: OrganizationNumber,
    pub name: String,
    /// One or both registers, in the order KAR, KFR.
    pub registers: Vec<Register>,
    /// A delivery older than this makes the bank stale.
    pub stale_after: TimeDelta,
    /// The bank's records reach back to this day; absent: all the way.
    pub covers_from: Option<NaiveDate>,
    /// The role that KFR calls register; [`Role::Unknown`] unless the file says otherwise.
    pub kfr_role: Role,
    pub merger: Option<Merger>,
    /// Its records stay in answers, but it may not deliver.
    pub paused: bool,
}

/// A bank that goes on as another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merger {
    pub successor: OrganizationNumber,
    /// From this day on the bank is listed as its successor.
    pub merged_on: NaiveDate,
}

impl Participant {
    pub fn has_merged(&self, today: NaiveDate) -> bool {
        self.merger.is_some_and(|merger| merger.merged_on <= today)
    }

    /// The sets that this bank delivers.
    pub fn sets(&self) -> impl Iterator<Item = SetId> + '_ {
        self.registers.iter().map(|register| SetId {
            bank: self.organization,
            register: *register,
        })
    }
}

/// Why a list of participants is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParticipantsError {
    #[error("no bank is registered")]
    Empty,
    #[error("{0} has no name")]
    Name(OrganizationNumber),
    #[error("{0} is registered twice")]
    Duplicate(OrganizationNumber),
    #[error("{0} takes part in no register, or in one twice")]
    Registers(OrganizationNumber),
    #[error("{bank} names the successor {successor}, which is not registered")]
    UnknownSuccessor {
        bank: OrganizationNumber,
        successor: OrganizationNumber,
    },
    #[error("the successors of {0} lead back to it")]
    Cycle(OrganizationNumber),
}

/// All registered banks, in order of organisation number; successors are known and free of cycles.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Participants(BTreeMap<OrganizationNumber, Participant>);

impl Participants {
    pub fn new(list: Vec<Participant>) -> Result<Self, ParticipantsError> {
        let mut banks = BTreeMap::new();
        for bank in list {
            let number = bank.organization;
            if bank.name.trim().is_empty() {
                return Err(ParticipantsError::Name(number));
            }
            if bank.registers.is_empty()
                || (1..bank.registers.len()).any(|at| bank.registers[..at].contains(&bank.registers[at]))
            {
                return Err(ParticipantsError::Registers(number));
            }
            if banks.insert(number, bank).is_some() {
                return Err(ParticipantsError::Duplicate(number));
            }
        }
        if banks.is_empty() {
            return Err(ParticipantsError::Empty);
        }
        let participants = Self(banks);
        participants
            .iter()
            .try_for_each(|bank| participants.check_successors(bank))?;
        Ok(participants)
    }

    fn check_successors(&self, start: &Participant) -> Result<(), ParticipantsError> {
        let mut bank = start;
        while let Some(merger) = bank.merger {
            let successor = merger.successor;
            bank = self.get(successor).ok_or(ParticipantsError::UnknownSuccessor {
                bank: bank.organization,
                successor,
            })?;
            if bank.organization == start.organization {
                return Err(ParticipantsError::Cycle(start.organization));
            }
            // A cycle that does not pass `start` is found, and this walk ended, from one of its members.
            if self.walk_length(bank) > self.0.len() {
                return Err(ParticipantsError::Cycle(bank.organization));
            }
        }
        Ok(())
    }

    /// Steps to the end of the successors, or one more than there are banks.
    fn walk_length(&self, start: &Participant) -> usize {
        std::iter::successors(Some(start), |bank| self.get(bank.merger?.successor))
            .take(self.0.len() + 1)
            .count()
    }

    pub fn get(&self, bank: OrganizationNumber) -> Option<&Participant> {
        self.0.get(&bank)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Participant> {
        self.0.values()
    }

    /// The bank that answers for `bank` on a day: itself, or the end of its chain of successors.
    pub fn answering_for(&self, bank: OrganizationNumber, today: NaiveDate) -> Option<&Participant> {
        let mut answering = self.get(bank)?;
        while let Some(merger) = answering.merger.filter(|merger| merger.merged_on <= today) {
            answering = self.get(merger.successor)?;
        }
        Some(answering)
    }
}

/// How fresh a bank's records are. `GET /v2/participants`, `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Freshness {
    Current,
    Stale,
    NotLoaded,
}

/// What is known of the deliveries to a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SetFreshness {
    /// By a whole set, or in KFR by a list: until then what else was delivered is a part of what there is.
    pub loaded: bool,
    pub last_delivery: Option<DateTime<Utc>>,
}

impl SetFreshness {
    /// Two sets of a bank as one: loaded when both are, and as old as the older one.
    fn and(self, other: Self) -> Self {
        let both = self.last_delivery.zip(other.last_delivery);
        Self {
            loaded: self.loaded && other.loaded,
            last_delivery: both.map(|(one, other)| one.min(other)),
        }
    }

    /// All sets of a bank as one.
    fn of(bank: &Participant, set: impl Fn(SetId) -> Self) -> Self {
        bank.sets().map(set).reduce(Self::and).unwrap_or_default()
    }

    /// The last delivery, once it is loaded.
    fn loaded_at(self) -> Option<DateTime<Utc>> {
        self.last_delivery.filter(|_| self.loaded)
    }
}

/// Judges a bank by its sets: not loaded until every one is, and as fresh as the oldest; and tells when that one was
/// last delivered to, once all were.
pub fn freshness(
    bank: &Participant,
    set: impl Fn(SetId) -> SetFreshness,
    now: DateTime<Utc>,
) -> (Freshness, Option<DateTime<Utc>>) {
    let sets = SetFreshness::of(bank, set);
    let freshness = match sets.loaded_at() {
        None => Freshness::NotLoaded,
        Some(at) if now.signed_duration_since(at) > bank.stale_after => Freshness::Stale,
        Some(_) => Freshness::Current,
    };
    (freshness, sets.last_delivery)
}

/// What an answer does not know: the parts of `Register-Coverage`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Coverage {
    /// Banks whose delivery is late.
    pub stale: usize,
    /// Banks of which a set was never loaded.
    pub not_loaded: usize,
    /// Banks whose `coversFrom` lies after the first day asked for.
    pub before_coverage: usize,
    /// Banks left out by `onlyPrimaryOwner=true` because ownership is unknown.
    pub unknown_ownership: usize,
    /// The first day asked for lies further back than the register keeps.
    pub before_retention: bool,
}

/// What the register knows on a day, made once for many answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Freshnesses {
    not_loaded: usize,
    /// When each other bank is late; in order.
    late_from: Vec<DateTime<Utc>>,
    /// In order.
    covers_from: Vec<NaiveDate>,
}

impl Freshnesses {
    /// A merged bank is never late: its successor answers.
    pub fn on(today: NaiveDate, participants: &Participants, set: impl Fn(SetId) -> SetFreshness) -> Self {
        let (mut not_loaded, mut late_from) = (0, Vec::new());
        let banks = || participants.iter().filter(|bank| !bank.has_merged(today));
        for bank in banks() {
            match SetFreshness::of(bank, &set).loaded_at() {
                None => not_loaded += 1,
                Some(at) => late_from.extend(at.checked_add_signed(bank.stale_after)),
            }
        }
        let mut covers_from: Vec<NaiveDate> = banks().filter_map(|bank| bank.covers_from).collect();
        late_from.sort_unstable();
        covers_from.sort_unstable();
        Self {
            not_loaded,
            late_from,
            covers_from,
        }
    }

    /// What an answer of this moment does not know, for a period that begins then.
    pub fn coverage(&self, now: DateTime<Utc>, period_from: Option<NaiveDate>) -> Coverage {
        let covering = |from| {
            self.covers_from
                .partition_point(|covers_from| *covers_from <= from)
        };
        Coverage {
            stale: self.late_from.partition_point(|late_from| *late_from < now),
            not_loaded: self.not_loaded,
            before_coverage: period_from.map_or(0, |from| self.covers_from.len() - covering(from)),
            unknown_ownership: 0,
            before_retention: false,
        }
    }
}
