//! What is measured of the index. Handles are kept: to find one by its labels costs more than to count.

use metrics::{Counter, Histogram};
use std::time::Duration;

/// The index by operation.
#[derive(Clone)]
pub struct IndexMeters {
    pub relationships: IndexMeter,
    pub account: IndexMeter,
}

/// One operation of the index.
#[derive(Clone)]
pub struct IndexMeter {
    seconds: Histogram,
    errors: Counter,
}

impl IndexMeters {
    /// Of the recorder that is installed by now.
    pub fn find() -> Self {
        let of = |operation| IndexMeter {
            seconds: metrics::histogram!("kundeforhold_index_seconds", "operation" => operation),
            errors: metrics::counter!("kundeforhold_index_errors_total", "operation" => operation),
        };
        Self {
            relationships: of("customerRelationships"),
            account: of("accountServicingProvider"),
        }
    }
}

impl IndexMeter {
    pub fn count(&self, took: Duration, answered: bool) {
        self.seconds.record(took);
        if !answered {
            self.errors.increment(1);
        }
    }
}
