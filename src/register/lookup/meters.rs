//! What is measured of the store. Handles are kept: to find one by its labels costs more than to count.

use metrics::{Counter, Histogram};
use std::time::Duration;

/// The store by operation.
#[derive(Clone)]
pub struct StoreMeters {
    pub relationships: StoreMeter,
    pub account: StoreMeter,
}

/// One operation of the store.
#[derive(Clone)]
pub struct StoreMeter {
    pub operation: &'static str,
    seconds: Histogram,
    errors: Counter,
}

impl StoreMeters {
    /// Of the recorder that is installed by now.
    pub fn find() -> Self {
        let of = |operation| StoreMeter {
            operation,
            seconds: metrics::histogram!("kundeforhold_store_seconds", "operation" => operation),
            errors: metrics::counter!("kundeforhold_store_errors_total", "operation" => operation),
        };
        Self {
            relationships: of("customerRelationships"),
            account: of("accountServicingProvider"),
        }
    }
}

impl StoreMeter {
    pub fn time(&self, took: Duration) {
        self.seconds.record(took);
    }

    pub fn count_error(&self) {
        self.errors.increment(1);
    }
}
