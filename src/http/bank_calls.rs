//! What calls of banks end in, before they become statuses and codes.

use super::deliveries::history::{DeliveriesBody, OwnRecordsBody};
use super::deliveries::receipt::RejectedBody;
use super::error::{Detail, Problem};
use crate::access::caller::Scope;
use crate::audit::{Conclusion, ListedBanks};
use crate::domain::delivery::Reject;
use crate::register::delivery::{Busy, Conflict, DeliveryError, KfrEffect};
use crate::register::lookup::{ListedBank, Refusal};
use crate::store::Receipt;

/// Why a bank's call is not done.
#[derive(Debug)]
pub enum BankRefusal {
    /// Any one of these scopes would do.
    MissingScope(Vec<Scope>),
    /// Neither the institution in the path nor its successor.
    OtherBank,
    /// Not registered, paused, or not in the register that the call works on.
    NotParticipating,
    InvalidRequest(Vec<Detail>),
    InvalidCustomer(Vec<Detail>),
    InvalidType(Vec<Detail>),
    InvalidDate(Vec<Detail>),
    /// There is no running registration to end.
    NothingRuns,
    /// The bank has no delivery of this id.
    NoSuchDelivery,
    Conflict(Conflict),
    /// Too much is being taken now.
    Busy(Busy),
    TooLarge(Vec<Detail>),
    TooSlow(Vec<Detail>),
    /// Some lines are no records; the receipt says which.
    Rejected(Box<RejectedBody>),
    Failed(DeliveryError),
    /// For the one call whose errors are those of the agencies' family.
    Published(Refusal),
}

impl BankRefusal {
    /// One thing is wrong with the request.
    pub fn invalid(parameter: &str, reason: &str) -> Self {
        Self::InvalidRequest(vec![Detail::new(parameter, reason)])
    }
}

impl From<DeliveryError> for BankRefusal {
    fn from(cause: DeliveryError) -> Self {
        Self::Failed(cause)
    }
}

impl From<Busy> for BankRefusal {
    fn from(busy: Busy) -> Self {
        Self::Busy(busy)
    }
}

/// The outcome of a bank's call, as it is recorded.
pub struct BankOutcome<T>(pub Result<T, BankRefusal>);

impl<T> BankOutcome<T> {
    fn status_or(&self, done: impl FnOnce(&T) -> u16) -> u16 {
        match &self.0 {
            Ok(answer) => done(answer),
            Err(refusal) => Problem::from(refusal).status.as_u16(),
        }
    }
}

/// Nothing is told about banks but to the bank itself.
impl Conclusion for BankOutcome<()> {
    fn status(&self) -> u16 {
        self.status_or(|()| 201)
    }

    fn banks(&self) -> ListedBanks {
        Vec::new()
    }
}

impl Conclusion for BankOutcome<KfrEffect> {
    fn status(&self) -> u16 {
        self.status_or(|effect| match effect {
            KfrEffect::Added => 201,
            KfrEffect::AlreadyRunning => 200,
            KfrEffect::Ended => 204,
            KfrEffect::NothingRuns => 404,
            KfrEffect::EndsBeforeItBegan => 400,
        })
    }

    fn banks(&self) -> ListedBanks {
        Vec::new()
    }
}

impl Conclusion for BankOutcome<Receipt> {
    fn status(&self) -> u16 {
        self.status_or(|_| 200)
    }

    fn banks(&self) -> ListedBanks {
        Vec::new()
    }
}

impl Conclusion for BankOutcome<Vec<Reject>> {
    fn status(&self) -> u16 {
        self.status_or(|_| 200)
    }

    fn banks(&self) -> ListedBanks {
        Vec::new()
    }
}

impl Conclusion for BankOutcome<DeliveriesBody> {
    fn status(&self) -> u16 {
        self.status_or(|_| 200)
    }

    fn banks(&self) -> ListedBanks {
        Vec::new()
    }
}

impl Conclusion for BankOutcome<OwnRecordsBody> {
    fn status(&self) -> u16 {
        self.status_or(|_| 200)
    }

    fn banks(&self) -> ListedBanks {
        Vec::new()
    }
}

impl Conclusion for BankOutcome<Vec<ListedBank>> {
    fn status(&self) -> u16 {
        self.status_or(|_| 200)
    }

    fn banks(&self) -> ListedBanks {
        self.0.iter().flatten().map(|bank| bank.organization).collect()
    }
}
