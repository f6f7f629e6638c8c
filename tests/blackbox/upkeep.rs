//! Operators look after the journal while banks deliver and agencies ask.

mod backup;
mod compaction;
mod disk;
mod retention;

use crate::harness::identifiers::people;

/// In both registers.
pub const BANK: &str = "210099093";

pub fn line(customer: &str, from: &str, more: &str) -> String {
    format!("{{\"customerID\":\"{customer}\",\"role\":\"owner\",\"fromDate\":\"{from}\"{more}}}\n")
}

/// One record a customer, enough for a file of its own in the journal.
pub fn whole_set(from: &str) -> String {
    people()
        .take(3_000)
        .map(|customer| line(&customer, from, ""))
        .collect()
}
