//! The use cases: what agencies ask and what banks deliver.

pub mod delivery;
pub mod late_records;
pub mod lookup;
pub mod oversight;
pub mod participants;
pub mod rekey;
mod resolution;
pub mod statistics;
