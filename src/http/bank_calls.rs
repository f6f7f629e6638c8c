//! What calls of banks end in, before they become statuses and codes.

use super::deliveries::history::{DeliveriesBody, OwnRecordsBody};
use super::deliveries::receipt::RejectedBody;
use super::error::{Detail, Problem};
use crate::access::caller::Scope;
use crate::domain::delivery::Reject;
use crate::record::{Conclusion, DeliveryMark, ListedBanks};
use crate::register::delivery::{Busy, Conflict, DeliveryError, KfrEffect};
use crate::register::lookup::{ListedBank, Refusal};
use crate::store::Receipt;
use std::convert::Infallible;

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

    fn delivery_or(&self, done: impl FnOnce(&T) -> DeliveryMark) -> Option<DeliveryMark> {
        match &self.0 {
            Ok(answer) => Some(done(answer)),
            Err(BankRefusal::Rejected(rejected)) => Some(rejected.delivery),
            Err(_) => None,
        }
    }
}

/// What the record keeps of a receipt.
pub fn mark_of(receipt: &Receipt) -> DeliveryMark {
    DeliveryMark {
        id: receipt.delivery_id,
        sha256: receipt.summary.sha256,
    }
}

/// A call that was refused at once. Nothing is told about banks but to the bank itself.
impl Conclusion for BankOutcome<Infallible> {
    fn status(&self) -> u16 {
        self.status_or(|never| match *never {})
    }

    fn banks(&self) -> ListedBanks {
        Vec::new()
    }
}

/// A batch that was added. Its answer tells nothing of it.
pub struct BatchAdded(pub Receipt);

impl Conclusion for BankOutcome<BatchAdded> {
    fn status(&self) -> u16 {
        self.status_or(|_| 201)
    }

    fn banks(&self) -> ListedBanks {
        Vec::new()
    }

    fn delivery(&self) -> Option<DeliveryMark> {
        self.delivery_or(|batch| mark_of(&batch.0))
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

    fn delivery(&self) -> Option<DeliveryMark> {
        self.delivery_or(mark_of)
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
