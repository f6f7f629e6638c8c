//! Operators look after the journal while banks deliver and agencies ask.

mod backup;
mod compaction;
mod disk;
mod retention;

use crate::harness::Service;
use crate::harness::identifiers::people;
use std::path::PathBuf;

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

/// The directory of the journal in force, the only one.
pub fn journal(service: &Service) -> PathBuf {
    let items = std::fs::read_dir(service.directory.path().join("journal")).unwrap();
    let mut journals = items
        .map(|item| item.unwrap().path())
        .filter(|path| path.is_dir());
    let journal = journals.next().unwrap();
    assert_eq!(journals.next(), None);
    journal
}
