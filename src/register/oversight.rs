//! What operators see of the banks: how each set stands, and what is being delivered.

use super::delivery::{Delivery, Running};
use super::lookup::{Arrival, Lookup, ParticipantState, ParticipantStatus};
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::relationship::SetId;
use chrono::{DateTime, Utc};

/// Points of a set's trend.
const TREND: usize = 30;

/// A bank with its sets.
#[derive(Debug, Clone)]
pub struct BankStanding {
    pub status: ParticipantStatus,
    pub sets: Vec<SetStanding>,
}

/// How one set stands.
#[derive(Debug, Clone)]
pub struct SetStanding {
    pub set: SetId,
    pub last_delivery: Option<DateTime<Utc>>,
    /// About how many run. `None`: the index does not know the set.
    pub records: Option<u64>,
    /// Lines that its last delivery had rejected. `None`: no journal is held here, or none has ended in it.
    pub rejected: Option<u64>,
    /// Records after each delivery, oldest first.
    pub trend: Vec<(DateTime<Utc>, u64)>,
    pub running: Option<Running>,
}

/// How many banks are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CoverageCounts {
    pub current: usize,
    pub stale: usize,
    pub not_loaded: usize,
    pub paused: usize,
    pub merged: usize,
}

impl CoverageCounts {
    pub fn of(banks: &[ParticipantStatus]) -> Self {
        banks.iter().fold(Self::default(), |mut counts, bank| {
            match bank.state {
                ParticipantState::Current => counts.current += 1,
                ParticipantState::Stale => counts.stale += 1,
                ParticipantState::NotLoaded => counts.not_loaded += 1,
                ParticipantState::Paused => counts.paused += 1,
                ParticipantState::Merged => counts.merged += 1,
            }
            counts
        })
    }
}

/// All banks, in order of organisation number.
pub fn banks(lookup: &Lookup, delivery: &Delivery, arrival: &Arrival) -> Vec<BankStanding> {
    let running = delivery.running.list();
    let standing = |status: ParticipantStatus| {
        let sets = status.registers.iter().map(|register| SetId {
            bank: status.organization,
            register: *register,
        });
        let sets = sets
            .map(|set| set_standing(lookup, delivery, &running, set))
            .collect();
        BankStanding { status, sets }
    };
    lookup
        .standing_of_banks(arrival)
        .into_iter()
        .map(standing)
        .collect()
}

/// One bank, if it is registered.
pub fn bank(
    lookup: &Lookup,
    delivery: &Delivery,
    arrival: &Arrival,
    number: OrganizationNumber,
) -> Option<BankStanding> {
    let mut all = banks(lookup, delivery, arrival).into_iter();
    all.find(|bank| bank.status.organization == number)
}

fn set_standing(
    lookup: &Lookup,
    delivery: &Delivery,
    running: &[(SetId, Running)],
    set: SetId,
) -> SetStanding {
    let journal = delivery.journal.as_ref().map(|journal| journal.load());
    let state = lookup.index.state();
    let known = state.sets.get(&set);
    let last_delivery = known.map(|known| known.last_delivery);
    let is_of_set = |(of, _): &&(SetId, Running)| *of == set;
    SetStanding {
        set,
        last_delivery: last_delivery.filter(|at| *at != DateTime::UNIX_EPOCH),
        records: known.map(|known| known.running),
        rejected: journal.as_ref().and_then(|journal| journal.last_rejected(set)),
        trend: journal.map_or_else(Vec::new, |journal| journal.trend(set, TREND)),
        running: running.iter().find(is_of_set).map(|(_, running)| running.clone()),
    }
}
