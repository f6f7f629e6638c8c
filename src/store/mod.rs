//! The truth: what banks delivered, in a relational database.
//!
//! A set has a version, and a row is in force at version v when `since <= v` and `until` is absent or beyond v. So
//! what is being written is seen by nobody until the set's version is counted up, in one transaction with the receipt
//! and the publication. Who writes a set holds its [`SetLock`].

mod change;
mod error;
mod format;
mod keys;
mod publications;
mod receipt;
mod reseal;
mod set;
mod sorted;
mod sqlite;

pub use change::{SealedIdentity, SealedRecord, SetChange};
pub use error::StoreError;
pub use keys::{KeyId, Rekey, RowKey};
pub use publications::{Changed, Publications};
pub use receipt::{Begun, KeyUse, Receipt, Summary};
pub use reseal::Resealing;
pub use set::{SetState, Sets, Standing};
pub use sqlite::{
    DeliveryEnd, Facts, Fault, Filing, Finding, Found, Held, Kept, KeptCalls, Merge, Publication, Published,
    Rekeyed, RowWrite, SetCounts, SetLock, SortedRecords, Store, StoreOptions, Verification, Written, facts,
    repair_counts, verify,
};
/// How a SQLite file is opened and kept; the record of use is one too.
pub(crate) use sqlite::{connection as sqlite_file, schema as sqlite_schema};
