//! What a bank gets for a delivery.

use super::entry::{Ended, Operation, Publication, Summary};
use super::{Journal, JournalError};
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::relationship::SetId;
use chrono::{DateTime, Utc};
use uuid::Uuid;

/// A delivery's receipt. Only the journal makes it, so only what the journal has is acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    pub delivery_id: Uuid,
    pub set: SetId,
    pub operation: Operation,
    pub state: ReceiptState,
    pub received_at: DateTime<Utc>,
    pub published_at: Option<DateTime<Utc>>,
    /// Of the publication, in its set.
    pub position: Option<u64>,
    pub summary: Summary,
}

/// What has become of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReceiptState {
    Receiving,
    Published,
    Rejected,
    /// Broken off; it left no trace in answers.
    Abandoned,
    RolledBack,
    /// A whole set that another has taken the place of.
    Superseded,
}

impl Receipt {
    /// Of a publication just made.
    pub(super) fn of(publication: &Publication, operation: Operation) -> Result<Self, JournalError> {
        Ok(Self {
            delivery_id: publication.delivery_id,
            set: publication.set()?,
            operation,
            state: ReceiptState::Published,
            received_at: publication.received_at,
            published_at: Some(publication.published_at),
            position: Some(publication.position),
            summary: publication.summary.clone(),
        })
    }

    fn ended(self, ended: Ended) -> Self {
        let state = match ended.rejected {
            true => ReceiptState::Rejected,
            false => ReceiptState::Abandoned,
        };
        Self {
            state,
            summary: ended.summary,
            ..self
        }
    }
}

impl Journal {
    /// The bank's deliveries that have receipts, newest first.
    pub fn receipts(&self, bank: OrganizationNumber) -> Vec<Uuid> {
        self.catalogue().receipts(bank)
    }

    /// Whether a delivery has begun and not ended.
    pub fn is_receiving(&self, bank: OrganizationNumber, delivery: Uuid) -> bool {
        let filed = self.catalogue().receipt(bank, delivery);
        filed.is_some_and(|(receipt, _)| receipt.state == ReceiptState::Receiving)
    }

    /// A receipt; `None`: the bank has no such delivery.
    pub fn receipt(&self, bank: OrganizationNumber, delivery: Uuid) -> Result<Option<Receipt>, JournalError> {
        let Some((receipt, locator)) = self.catalogue().receipt(bank, delivery) else {
            return Ok(None);
        };
        let Some(locator) = locator else {
            return Ok(Some(receipt));
        };
        match self.read_entry(locator)? {
            super::Entry::Published(publication) => {
                let state = self.catalogue().fate(receipt.set, publication.position);
                let published = Receipt::of(&publication, receipt.operation)?;
                Ok(Some(Receipt { state, ..published }))
            }
            super::Entry::Ended(ended) => Ok(Some(receipt.ended(ended))),
            super::Entry::Born { .. }
            | super::Entry::Begun(_)
            | super::Entry::LetGo(_)
            | super::Entry::Rewritten(_)
            | super::Entry::Overtaken(_)
            | super::Entry::Elsewhere(_) => Err(JournalError::Corrupt("receipt")),
        }
    }
}
