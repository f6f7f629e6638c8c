//! How many bodies of deliveries are taken at once: of all banks together, and of one beside its V2 deliveries.

use crate::domain::identifiers::OrganizationNumber;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Tells how many are taken.
const TAKEN: &str = "kundeforhold_delivery_turns";

/// Bounds of what is taken at once.
#[derive(Debug, Clone, Copy)]
pub struct TurnBounds {
    /// Deliveries of all banks, from their first byte to their receipt (`delivery.max_at_once`).
    pub at_once: usize,
    /// KFR batches, and repeated deliveries, of one bank (`delivery.max_batches_per_bank`).
    pub batches_per_bank: usize,
    /// Longest wait for others to end (`delivery.turn_seconds`).
    pub wait: Duration,
}

/// Why a delivery is not taken now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Busy {
    /// The bank has as many batches under way as it may.
    Bank { batches_per_bank: usize },
    /// As many deliveries are under way as this instance takes, and none has ended in time.
    All,
}

/// Gives every delivery its turn. What a bank may have at once is less than there are turns, so that no bank can
/// take them all.
#[derive(Clone)]
pub struct Turns {
    bounds: TurnBounds,
    free: Arc<Semaphore>,
    batches: Batches,
}

/// Batches under way, by bank.
#[derive(Clone, Default)]
struct Batches(Arc<Mutex<HashMap<OrganizationNumber, usize>>>);

/// A delivery's turn: a thread to work on and its share of the memory. Given up when it is dropped.
pub struct Turn {
    _turn: OwnedSemaphorePermit,
    _batch: Option<Batch>,
}

/// One of a bank's batches.
struct Batch {
    all: Batches,
    bank: OrganizationNumber,
}

impl Turns {
    pub fn new(bounds: TurnBounds) -> Self {
        Self {
            bounds,
            free: Arc::new(Semaphore::new(bounds.at_once)),
            batches: Batches::default(),
        }
    }

    /// A turn for what a bank may have any number of: a batch, or a delivery sent again.
    pub async fn take_batch(&self, bank: OrganizationNumber) -> Result<Turn, Busy> {
        let batch = self.batches.enter(bank, self.bounds.batches_per_bank)?;
        let mut turn = self.take().await?;
        turn._batch = Some(batch);
        Ok(turn)
    }

    /// A turn for the one delivery that its set may have.
    pub async fn take(&self) -> Result<Turn, Busy> {
        let free = Arc::clone(&self.free).acquire_owned();
        match tokio::time::timeout(self.bounds.wait, free).await {
            Ok(Ok(_turn)) => {
                metrics::gauge!(TAKEN).increment(1.0);
                Ok(Turn { _turn, _batch: None })
            }
            Ok(Err(_)) | Err(_) => Err(Busy::All),
        }
    }
}

impl Batches {
    fn enter(&self, bank: OrganizationNumber, batches_per_bank: usize) -> Result<Batch, Busy> {
        let mut batches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = batches.entry(bank).or_default();
        if *under_way >= batches_per_bank {
            return Err(Busy::Bank { batches_per_bank });
        }
        *under_way += 1;
        let all = self.clone();
        Ok(Batch { all, bank })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        metrics::gauge!(TAKEN).decrement(1.0);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        let mut batches = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(under_way) = batches.get_mut(&self.bank) {
            *under_way -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bank(number: &str) -> OrganizationNumber {
        OrganizationNumber::parse(number).unwrap()
    }

    #[tokio::test]
    async fn a_bank_has_so_many_batches_and_all_have_so_many_turns() {
        let turns = Turns::new(TurnBounds {
            at_once: 3,
            batches_per_bank: 2,
            wait: Duration::from_millis(20),
        });
        let (one, other) = (bank("123456785"), bank("810059672"));
        let first = turns.take_batch(one).await.ok();
        let second = turns.take_batch(one).await.ok();
        assert!(first.is_some() && second.is_some());
        let refused = turns.take_batch(one).await.err();
        assert_eq!(refused, Some(Busy::Bank { batches_per_bank: 2 }));
        let third = turns.take_batch(other).await.ok();
        assert!(third.is_some());
        assert_eq!(turns.take().await.err(), Some(Busy::All));
        assert_eq!(turns.take_batch(other).await.err(), Some(Busy::All));
        drop((second, third));
        // Who was refused a turn is not counted among the bank's batches.
        assert!(turns.take_batch(other).await.is_ok());
        assert!(turns.take_batch(one).await.is_ok());
    }
}
