//! What became of a bank's deliveries, and what it has delivered of a customer.

use super::{BankCaller, Delivery, DeliveryError};
use crate::domain::identifiers::{CustomerId, OrganizationNumber};
use crate::domain::overview::HeldRelationship;
use crate::domain::relationship::{Register, SetId};
use crate::journal::{Receipt, ReceiptState};
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
        self.read(move |of| of.read_receipts(bank, limit, before)).await?
    }

    fn read_receipts(
        &self,
        bank: OrganizationNumber,
        limit: usize,
        before: Option<Uuid>,
    ) -> Result<(Vec<Receipt>, Option<Uuid>), DeliveryError> {
        let journal = self.journal()?;
        let ids = journal.receipts(bank);
        let start = before.map_or(0, |before| {
            ids.iter()
                .position(|id| *id == before)
                .map_or(ids.len(), |at| at + 1)
        });
        let page = &ids[start..ids.len().min(start + limit)];
        let mut receipts = Vec::with_capacity(page.len());
        for id in page {
            receipts.extend(self.read_receipt(bank, *id)?);
        }
        let more = start + page.len() < ids.len();
        Ok((receipts, page.last().copied().filter(|_| more)))
    }

    /// A receipt; `None`: the bank has no such delivery.
    pub async fn find_receipt(
        &self,
        bank: &BankCaller,
        delivery: Uuid,
    ) -> Result<Option<Receipt>, DeliveryError> {
        let bank = bank.bank();
        self.read(move |of| of.read_receipt(bank, delivery)).await?
    }

    /// What lookups do not see yet is not published yet.
    fn read_receipt(
        &self,
        bank: OrganizationNumber,
        delivery: Uuid,
    ) -> Result<Option<Receipt>, DeliveryError> {
        let receipt = self.journal()?.receipt(bank, delivery)?;
        Ok(receipt.map(|receipt| match self.is_on_its_way(&receipt) {
            true => Receipt {
                state: ReceiptState::Receiving,
                published_at: None,
                ..receipt
            },
            false => receipt,
        }))
    }

    /// Whether it is in the journal, and in the index not yet. Of an index that is being built nothing is known.
    fn is_on_its_way(&self, receipt: &Receipt) -> bool {
        let state = self.index.state();
        let reached = state.sets.get(&receipt.set).map_or(0, |known| known.position);
        state.answerable().is_some() && receipt.position.is_some_and(|position| position > reached)
    }

    /// The bank's own records of a customer, by set.
    pub async fn own_records(
        &self,
        bank: &BankCaller,
        customer: CustomerId,
    ) -> Result<Vec<(SetId, HeldRelationship)>, DeliveryError> {
        let key = self.keys.customer(&customer);
        let mut records = Vec::new();
        for register in [Register::Kar, Register::Kfr] {
            let set = SetId {
                bank: bank.bank(),
                register,
            };
            let found = tokio::time::timeout(self.publish_timeout, self.index.find_in_set(set, &key)).await;
            let found = found.map_err(|_| DeliveryError::TimedOut)??;
            records.extend(found.into_iter().map(|held| (set, held)));
        }
        Ok(records)
    }
}
