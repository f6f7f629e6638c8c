//! Operators look after the journal while banks deliver and agencies ask.

mod backup;
mod compaction;
mod disk;

use crate::harness::identifiers::people;

/// One record a customer; `from` tells the sets apart.
pub fn records(count: usize, from: &str) -> String {
    let line = |customer: String| {
        format!("{{\"customerID\":\"{customer}\",\"role\":\"owner\",\"fromDate\":\"{from}\"}}\n")
    };
    people().take(count).map(line).collect()
}
