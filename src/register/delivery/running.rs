//! Which deliveries are being taken now.

use crate::domain::delivery::DeliveryKind;
use crate::domain::relationship::SetId;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use uuid::Uuid;

/// One V2 delivery a bank and register at a time. KFR calls do not count.
#[derive(Clone, Default)]
pub struct RunningDeliveries(Arc<Mutex<HashMap<SetId, Running>>>);

/// A delivery under way.
#[derive(Debug, Clone)]
pub struct Running {
    pub delivery_id: Uuid,
    pub kind: DeliveryKind,
    pub progress: Arc<Progress>,
}

/// How much of a delivery has come in.
#[derive(Debug, Default)]
pub struct Progress {
    /// Of the body as sent, if the bank said how much it is.
    pub expected_bytes: Option<u64>,
    bytes: AtomicU64,
    lines: AtomicU64,
}

impl Progress {
    pub fn expecting(bytes: Option<u64>) -> Self {
        Self {
            expected_bytes: bytes,
            ..Self::default()
        }
    }

    /// Bytes of the body as sent that have come so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Lines taken so far.
    pub fn lines(&self) -> u64 {
        self.lines.load(Ordering::Relaxed)
    }

    pub fn add_bytes(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(super) fn add_lines(&self, lines: u64) {
        self.lines.fetch_add(lines, Ordering::Relaxed);
    }
}

/// A delivery's place among those that run, given up when it is dropped.
pub struct Place {
    all: RunningDeliveries,
    set: SetId,
    since: Instant,
}

impl RunningDeliveries {
    /// Takes the set's place, or tells which delivery has it.
    pub fn enter(
        &self,
        set: SetId,
        delivery_id: Uuid,
        kind: DeliveryKind,
        progress: Arc<Progress>,
    ) -> Result<Place, Uuid> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.entry(set) {
            Entry::Occupied(running) => return Err(running.get().delivery_id),
            Entry::Vacant(free) => free.insert(Running {
                delivery_id,
                kind,
                progress,
            }),
        };
        tell(all.len());
        let all = self.clone();
        Ok(Place {
            all,
            set,
            since: Instant::now(),
        })
    }

    /// Those under way, by set.
    pub fn list(&self) -> Vec<(SetId, Running)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(set, running)| (*set, running.clone())).collect()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut all = self.all.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&self.set);
        tell(all.len());
        metrics::histogram!("kundeforhold_delivery_seconds").record(self.since.elapsed());
    }
}

fn tell(running: usize) {
    metrics::gauge!("kundeforhold_running_deliveries").set(running as f64);
}
