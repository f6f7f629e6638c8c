//! Seals anew what was sealed with another key.

use super::{RowKey, SealedIdentity, SealedRecord, SetChange, StoreError};
use crate::pseudonym::{Sealed, SealedAgreement};

/// What does not open is of another key, or was changed.
const FOREIGN: StoreError = StoreError::Damaged("a pseudonym of another key");

/// Seals under one key what was sealed under another.
pub struct Resealing {
    from: RowKey,
    to: RowKey,
    /// The customer before: their records mostly stand together.
    last: Option<(Sealed, Sealed)>,
}

impl Resealing {
    pub fn new(from: RowKey, to: RowKey) -> Self {
        Self { from, to, last: None }
    }

    pub fn record(&mut self, record: SealedRecord) -> Result<SealedRecord, StoreError> {
        Ok(SealedRecord {
            customer: self.customer(&record.customer)?,
            agreement: self.agreement(&record.agreement)?,
            relationship: record.relationship,
        })
    }

    pub fn change(&mut self, change: SetChange) -> Result<SetChange, StoreError> {
        Ok(match change {
            SetChange::Put(record) => SetChange::Put(self.record(record)?),
            SetChange::End { identity, to } => SetChange::End {
                identity: self.identity(&identity)?,
                to,
            },
            SetChange::Remove(identity) => SetChange::Remove(self.identity(&identity)?),
            SetChange::Register {
                customer,
                from,
                on,
                role,
            } => SetChange::Register {
                customer: self.customer(&customer)?,
                from,
                on,
                role,
            },
            SetChange::Deregister {
                customer,
                to,
                on,
                is_explicit,
            } => SetChange::Deregister {
                customer: self.customer(&customer)?,
                to,
                on,
                is_explicit,
            },
        })
    }

    fn identity(&mut self, identity: &SealedIdentity) -> Result<SealedIdentity, StoreError> {
        Ok(SealedIdentity {
            customer: self.customer(&identity.customer)?,
            agreement: self.agreement(&identity.agreement)?,
            from: identity.from,
        })
    }

    pub(super) fn customer(&mut self, customer: &Sealed) -> Result<Sealed, StoreError> {
        if let Some((last, resealed)) = &self.last
            && last == customer
        {
            return Ok(resealed.clone());
        }
        let resealed = self
            .from
            .pseudonyms
            .reseal_customer(customer, &self.to.pseudonyms);
        let resealed = resealed.ok_or(FOREIGN)?;
        self.last = Some((customer.clone(), resealed.clone()));
        Ok(resealed)
    }

    pub(super) fn agreement(&self, agreement: &SealedAgreement) -> Result<SealedAgreement, StoreError> {
        let resealed = self
            .from
            .pseudonyms
            .reseal_agreement(agreement, &self.to.pseudonyms);
        resealed.ok_or(FOREIGN)
    }
}
