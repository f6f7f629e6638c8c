//! What operators see of the banks: how each set stands, and what is being delivered.

use super::delivery::{Delivery, Running};
use super::lookup::{Arrival, Lookup, ParticipantState, ParticipantStatus};
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::relationship::SetId;
use crate::store::StoreError;
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
    /// About how many run. `None`: nothing was delivered.
    pub records: Option<u64>,
    /// Lines that its last delivery had rejected. `None`: none has ended.
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
pub async fn banks(
    lookup: &Lookup,
    delivery: &Delivery,
    arrival: &Arrival,
) -> Result<Vec<BankStanding>, StoreError> {
    let running = delivery.running();
    let mut banks = Vec::new();
    for status in lookup.standing_of_banks(arrival) {
        let mut sets = Vec::new();
        for register in &status.registers {
            let set = SetId {
                bank: status.organization,
                register: *register,
            };
            sets.push(set_standing(lookup, &running, set).await?);
        }
        banks.push(BankStanding { status, sets });
    }
    Ok(banks)
}

/// One bank, if it is registered.
pub async fn bank(
    lookup: &Lookup,
    delivery: &Delivery,
    arrival: &Arrival,
    number: OrganizationNumber,
) -> Result<Option<BankStanding>, StoreError> {
    let mut all = banks(lookup, delivery, arrival).await?.into_iter();
    Ok(all.find(|bank| bank.status.organization == number))
}

async fn set_standing(
    lookup: &Lookup,
    running: &[(SetId, Running)],
    set: SetId,
) -> Result<SetStanding, StoreError> {
    let (store, sets) = (lookup.store(), lookup.store().sets());
    let known = sets.get(set).filter(|known| known.version > 0);
    let is_of_set = |(of, _): &&(SetId, Running)| *of == set;
    Ok(SetStanding {
        set,
        last_delivery: known.and_then(|known| known.standing.last_delivery),
        records: known.map(|known| known.standing.running),
        rejected: store.last_rejected(set).await?,
        trend: store.trend(set, TREND).await?,
        running: running.iter().find(is_of_set).map(|(_, running)| running.clone()),
    })
}
