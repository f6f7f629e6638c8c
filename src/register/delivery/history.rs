//! What became of a bank's deliveries, and what it has delivered of a customer.

use super::{BankCaller, Delivery, DeliveryError};
use crate::domain::delivery::Reject;
use crate::domain::identifiers::{CustomerId, OrganizationNumber};
use crate::domain::overview::HeldRelationship;
use crate::domain::relationship::SetId;
use crate::store::Receipt;
use uuid::Uuid;

impl Delivery {
    /// Up to `limit` receipts, newest first, of deliveries begun before one; and where the next page begins.
    pub async fn receipts(
        &self,
        bank: &BankCaller,
        limit: usize,
        before: Option<Uuid>,
    ) -> Result<(Vec<Receipt>, Option<Uuid>), DeliveryError> {
        let bank = bank.bank();
        // One more tells whether there is another page.
        let receipts = self.store.receipts(bank, limit + 1, before);
        let mut receipts = self.in_time(receipts).await??;
        let more = receipts.len() > limit;
        receipts.truncate(limit);
        let next = receipts
            .last()
            .map(|receipt| receipt.delivery_id)
            .filter(|_| more);
        Ok((receipts, next))
    }

    /// A receipt; `None`: the bank has no such delivery.
    pub async fn find_receipt(
        &self,
        bank: OrganizationNumber,
        delivery: Uuid,
    ) -> Result<Option<Receipt>, DeliveryError> {
        Ok(self.in_time(self.store.receipt(bank, delivery)).await??)
    }

    /// The first of a delivery's rejected lines.
    pub async fn rejects(&self, delivery: Uuid) -> Result<Vec<Reject>, DeliveryError> {
        Ok(self.in_time(self.store.rejects(delivery)).await??)
    }

    /// The bank's own records of a customer, by set.
    pub async fn own_records(
        &self,
        bank: &BankCaller,
        customer: CustomerId,
    ) -> Result<Vec<(SetId, HeldRelationship)>, DeliveryError> {
        let (bank, subject) = (bank.bank(), self.store.given().customer(&customer));
        let mut records = self.in_time(self.store.relationships_by_set(&subject)).await??;
        records.retain(|(set, _)| set.bank == bank);
        records.sort_by_key(|(set, _)| *set);
        Ok(records)
    }
}
