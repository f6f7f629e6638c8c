//! What is measured of the cache. Handles are kept: to find one by its labels costs more than to count.

use metrics::{Counter, Gauge};

pub(super) struct Meters {
    pub(super) hits: Counter,
    pub(super) misses: Counter,
    /// Entries that are none of ours, or not of the customer or account they stand under.
    pub(super) refused: Counter,
    /// Redis did not answer, or was being left alone.
    pub(super) errors: Counter,
    pub(super) stored: Counter,
    /// Entries that were not sent: Redis was being left alone, or too many were waiting.
    pub(super) dropped: Counter,
    pub(super) fill_errors: Counter,
    pub(super) reachable: Gauge,
}

impl Meters {
    /// Of the recorder that is installed by now.
    pub(super) fn find() -> Self {
        metrics::describe_counter!(
            "kundeforhold_cache_lookups_total",
            "Lookups of the cache, by result; with an error the store answered without it"
        );
        metrics::describe_counter!(
            "kundeforhold_cache_fills_total",
            "Entries for the cache, by what became of them"
        );
        metrics::describe_gauge!(
            "kundeforhold_cache_reachable",
            "1 while the cache is asked, 0 while it is left alone"
        );
        let lookups = |result| metrics::counter!("kundeforhold_cache_lookups_total", "result" => result);
        let fills = |result| metrics::counter!("kundeforhold_cache_fills_total", "result" => result);
        Self {
            hits: lookups("hit"),
            misses: lookups("miss"),
            refused: lookups("refused"),
            errors: lookups("error"),
            stored: fills("stored"),
            dropped: fills("dropped"),
            fill_errors: fills("error"),
            reachable: metrics::gauge!("kundeforhold_cache_reachable"),
        }
    }
}
