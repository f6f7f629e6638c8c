//! `GET /v2/participants`: which banks the register covers.

use super::{Answering, Arrival, Asked, Lookup, Refusal, call, freshness_of};
use crate::access::caller::Caller;
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::participants::{Freshness, Participant, freshness};
use crate::domain::relationship::Register;
use crate::record::{Endpoint, Recorded, Unrecorded};
use chrono::{DateTime, NaiveDate, Utc};

/// One bank of `GET /v2/participants`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParticipantStatus {
    pub organization: OrganizationNumber,
    pub name: String,
    pub registers: Vec<Register>,
    pub state: ParticipantState,
    pub last_delivery: Option<DateTime<Utc>>,
    pub covers_from: Option<NaiveDate>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ParticipantState {
    Current,
    Stale,
    NotLoaded,
    Merged,
    Paused,
}

impl Lookup {
    /// The banks that the register covers, and how fresh each is.
    pub async fn participants(
        &self,
        caller: &Caller,
        asked: Asked<()>,
    ) -> Result<Recorded<Result<Vec<ParticipantStatus>, Refusal>>, Unrecorded> {
        let mut answering = Answering::new(call(Endpoint::Participants, caller, &asked));
        let conclusion = asked.question.map(|()| self.standing_of_banks(&asked.arrival));
        self.record(&mut answering, &asked.context, conclusion).await
    }

    /// How the banks stand.
    pub fn standing_of_banks(&self, arrival: &Arrival) -> Vec<ParticipantStatus> {
        let sets = self.store.sets();
        let participants = self.participants.load();
        let status = |bank: &Participant| {
            let (freshness, last_delivery) = freshness(bank, freshness_of(&sets), arrival.at);
            let state = match freshness {
                _ if bank.has_merged(arrival.today) => ParticipantState::Merged,
                _ if bank.paused => ParticipantState::Paused,
                Freshness::Current => ParticipantState::Current,
                Freshness::Stale => ParticipantState::Stale,
                Freshness::NotLoaded => ParticipantState::NotLoaded,
            };
            ParticipantStatus {
                organization: bank.organization,
                name: bank.name.clone(),
                registers: bank.registers.clone(),
                state,
                last_delivery,
                covers_from: bank.covers_from,
            }
        };
        participants.iter().map(status).collect()
    }
}
