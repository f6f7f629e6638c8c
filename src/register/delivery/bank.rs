//! Who may deliver to which sets.

use super::Delivery;
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::participants::Participant;
use crate::domain::relationship::{Register, Role, SetId};
use chrono::NaiveDate;

/// A bank that may deliver to a set: its own, or its predecessor's. Only [`Delivery::admit`] makes it, and
/// [`Delivery::of_bank`] for operators.
#[derive(Debug, Clone)]
pub struct BankCaller {
    bank: OrganizationNumber,
    pub(super) kfr_role: Role,
    registers: Vec<Register>,
}

impl BankCaller {
    fn of(participant: &Participant) -> Self {
        Self {
            bank: participant.organization,
            kfr_role: participant.kfr_role,
            registers: participant.registers.clone(),
        }
    }

    /// The bank whose sets are delivered to.
    pub fn bank(&self) -> OrganizationNumber {
        self.bank
    }

    /// The bank's set in a register, if it takes part in it; by default its only register, else KAR.
    pub fn set(&self, register: Option<Register>) -> Option<SetId> {
        let register = match (register, self.registers.as_slice()) {
            (Some(register), registers) => registers.contains(&register).then_some(register)?,
            (None, [only]) => *only,
            (None, _) => Register::Kar,
        };
        Some(SetId {
            bank: self.bank,
            register,
        })
    }
}

/// Why a consumer may not deliver for a bank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotAdmitted {
    /// Neither the bank itself nor its successor; or the bank itself, though it has merged.
    OtherBank,
    /// Not registered, or paused by the operator.
    NotParticipating,
}

impl Delivery {
    /// Admits a consumer to a bank's sets: the bank itself or, once it has merged, the one at the end of its successors.
    /// That one must not be paused; the merged bank may be.
    pub fn admit(
        &self,
        consumer: OrganizationNumber,
        bank: OrganizationNumber,
        today: NaiveDate,
    ) -> Result<BankCaller, NotAdmitted> {
        let participants = self.participants.load();
        let (registered, answering) = (participants.get(bank), participants.answering_for(bank, today));
        match (registered, answering) {
            (Some(bank), Some(answering)) if answering.organization == consumer => match answering.paused {
                true => Err(NotAdmitted::NotParticipating),
                false => Ok(BankCaller::of(bank)),
            },
            (None, _) if consumer == bank => Err(NotAdmitted::NotParticipating),
            _ => Err(NotAdmitted::OtherBank),
        }
    }

    /// A registered bank, as it delivers: for an operator, who acts for any.
    pub fn of_bank(&self, bank: OrganizationNumber) -> Option<BankCaller> {
        self.participants.load().get(bank).map(BankCaller::of)
    }
}
