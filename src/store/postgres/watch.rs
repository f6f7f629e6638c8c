//! What an instance does all the time: it follows what the others publish, shows that the deliveries that it receives are
//! alive, and gives up those of instances that have died.

use super::publish::state;
use super::transaction::Transaction;
use super::{Inner, Store};
use crate::domain::delivery::DeliveryState;
use crate::store::StoreError;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Between two beats of a delivery, and two looks at those of others.
const BEAT_EVERY: Duration = Duration::from_secs(1);
/// A delivery whose beat is seen unchanged for so long, without a look that failed, is received by nobody.
const SILENT_FOR: Duration = Duration::from_secs(10);
/// What the receipt of such a delivery says.
const CUT_OFF: &str = "the instance that received it was restarted or has ended; deliver it again";

/// Deliveries that this process receives.
#[derive(Default)]
pub(super) struct Own(Mutex<HashSet<Uuid>>);

impl Own {
    pub(super) fn insert(&self, delivery: Uuid) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(delivery);
    }

    pub(super) fn remove(&self, delivery: &Uuid) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(delivery);
    }

    fn all(&self) -> Vec<Uuid> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .copied()
            .collect()
    }
}

/// A beat, and since when it is seen unchanged.
struct Seen {
    beat: i64,
    since: Instant,
}

/// Until the store is closed.
pub(super) async fn run(store: Weak<Inner>, end: CancellationToken) {
    let mut seen = HashMap::new();
    loop {
        tokio::select! {
            () = tokio::time::sleep(BEAT_EVERY) => {}
            () = end.cancelled() => return,
        }
        let Some(store) = store.upgrade().map(Store) else {
            return;
        };
        if let Err(cause) = store.look_around(&mut seen).await {
            // What could not be looked at may have changed meanwhile.
            seen.clear();
            tracing::debug!(%cause, "the store cannot be followed just now");
        }
    }
}

impl Store {
    async fn look_around(&self, seen: &mut HashMap<Uuid, Seen>) -> Result<(), StoreError> {
        self.beat().await?;
        let looked_at = Instant::now();
        let receiving = "SELECT id, beat FROM deliveries WHERE state = 0";
        let receiving = self.read_apart(receiving, &[]).await?;
        let receiving = receiving.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
        let receiving: HashMap<Uuid, i64> = receiving.collect::<Result<_, StoreError>>()?;
        seen.retain(|delivery, seen| receiving.get(delivery) == Some(&seen.beat));
        let own = self.0.own.all();
        for (delivery, beat) in receiving
            .into_iter()
            .filter(|(delivery, _)| !own.contains(delivery))
        {
            let seen = seen.entry(delivery).or_insert(Seen {
                beat,
                since: looked_at,
            });
            if looked_at.duration_since(seen.since) >= SILENT_FOR {
                self.abandon(delivery, beat).await?;
            }
        }
        self.follow().await
    }

    async fn beat(&self) -> Result<(), StoreError> {
        let own = self.0.own.all();
        if own.is_empty() {
            return Ok(());
        }
        let transaction = Transaction::begin(self, self.0.timeout).await?;
        // One that is being published is not waited for.
        let beat = "UPDATE deliveries SET beat = beat + 1 WHERE id IN (
            SELECT id FROM deliveries WHERE id = ANY($1) AND state = 0 FOR NO KEY UPDATE SKIP LOCKED)";
        transaction.execute(beat, &[&own]).await?;
        transaction.end().await
    }

    /// Unless it has shown a beat since.
    async fn abandon(&self, delivery: Uuid, beat: i64) -> Result<(), StoreError> {
        let transaction = Transaction::begin(self, self.0.timeout).await?;
        let silent = "SELECT set_id FROM deliveries WHERE id = $1 AND state = 0 AND beat = $2 FOR UPDATE";
        if let Some(row) = transaction.query_opt(silent, &[&delivery, &beat]).await? {
            let abandon = "UPDATE deliveries SET state = $2, reason = $3 WHERE id = $1";
            let abandoned = state(DeliveryState::Abandoned);
            transaction
                .execute(abandon, &[&delivery, &abandoned, &CUT_OFF])
                .await?;
            let calls = "DELETE FROM pending_calls WHERE set_id = $1";
            transaction.execute(calls, &[&row.try_get::<_, i32>(0)?]).await?;
            transaction.end().await?;
            tracing::warn!(
                event = "delivery_abandoned",
                "a delivery of an instance that has ended was abandoned"
            );
        }
        Ok(())
    }
}
