//! The truth: what banks delivered, in a relational database.
//!
//! A set has a version, and a row is in force at version v when `since <= v` and `until` is absent or beyond v. So
//! what is being written is seen by nobody until the set's version is counted up, in one transaction with the receipt
//! and the publication. Who writes a set holds its [`SetLock`].

mod change;
mod engine;
mod error;
mod format;
mod found;
mod kept;
mod keys;
mod locks;
mod options;
mod postgres;
mod publication;
mod publications;
mod receipt;
mod reseal;
mod set;
mod sorted;
mod sqlite;

pub use change::{SealedIdentity, SealedRecord, SetChange};
pub use engine::{KeptCalls, Merge, OfAgreement, Rekeyed, SetLock, SortedRecords, Store, Written};
pub use error::StoreError;
pub use found::{Basis, Found};
pub use kept::Kept;
pub use keys::{KeyId, Rekey, RowKey};
pub use options::{StoreOptions, StorePlace};
pub use postgres::{PostgresOptions, PostgresServer};
pub use publication::{Filing, Publication, Published, RowWrite};
pub use publications::{Changed, Publications};
pub use receipt::{Begun, DeliveryEnd, KeyUse, Receipt, Summary};
pub use reseal::Resealing;
pub use set::{SetState, Sets, Standing, Tally};
/// What is done with a SQLite file as a whole.
pub use sqlite::{Facts, Fault, Finding, Held, SetCounts, Verification, facts, repair_counts, verify};
/// How a SQLite file is opened and kept; the record of use is one too.
pub(crate) use sqlite::{connection as sqlite_file, schema as sqlite_schema};
