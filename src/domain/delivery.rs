//! What a delivery is, whatever it is kept in: its kind, its counts, and the lines that were not taken.

use serde::{Deserialize, Serialize};

/// What a bank asked for. Delivery API, receipt, `kind`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryKind {
    /// Replaces the bank's set in a register.
    WholeSet,
    /// Changes the set as it stands.
    Changes,
    /// A list of KFR registrations.
    Batch,
    /// Makes the state before a whole set stand again.
    Rollback,
    /// The single KFR calls of one day.
    KfrCalls,
}

/// How a delivery stands. Delivery API, receipt, `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryState {
    Receiving,
    Published,
    Rejected,
    Abandoned,
    RolledBack,
    /// A later whole set stands in its place.
    Superseded,
}

/// The counts of a receipt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines.
    pub read: u64,
    /// Identities.
    pub stored: u64,
    pub ended: u64,
    pub removed: u64,
    /// Lines that were not taken.
    pub rejected: u64,
    pub customers: u64,
    pub accounts: u64,
}

/// A line that was not taken, with all that is wrong with it. Never carries what the line holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reject {
    /// Counted from 1.
    pub line: u64,
    /// Never empty.
    pub faults: Vec<LineFault>,
}

/// One thing that is wrong with a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineFault {
    pub code: FaultCode,
    /// The field, as the specification writes it.
    pub parameter: String,
    pub reason: String,
}

/// The error of a line. Delivery API, KFR codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum FaultCode {
    /// KFR-004
    InvalidRecord,
    /// KFR-005
    InvalidCustomer,
    /// KFR-008: there is no record of this identity to end.
    NotFound,
    /// KFR-010
    InvalidDate,
}

/// Which publication something was read at: its number in commit order, and bytes drawn with it, so that the same
/// number in a register restored from an older backup is told from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicationId {
    pub number: u64,
    pub drawn: [u8; 8],
}
