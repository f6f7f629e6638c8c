//! What can be wrong with rows. Names no identifier.

use crate::domain::relationship::SetId;
use crate::store::StoreError;
use std::collections::BTreeMap;
use std::fmt;

/// What is wrong with a row, or with several.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Fault {
    #[error("a page, a row or an index is not what SQLite makes")]
    Pages,
    #[error("{0} cannot be read to the end")]
    Unreadable(&'static str),
    #[error("the row of a set has {0} that cannot be right")]
    Set(&'static str),
    #[error("the count of records is wrong")]
    Records,
    #[error("the whole set that stands has no receipt that says so")]
    WholeSet,
    #[error("a row belongs to no set")]
    NoSet,
    #[error("a row is of another key than its set")]
    OtherKey,
    #[error("a record has {0} that cannot be read")]
    Record(&'static str),
    #[error("a record ends with a version before it begins")]
    Versions,
    #[error("a record belongs to a version that is not written yet")]
    Beyond,
    #[error("two records of one identity stand at once")]
    Twice,
    #[error("nothing points to an account that a record carries")]
    NoPointer,
    #[error("what points to an account leads to no record")]
    Pointer,
    #[error("what points to an account cannot be read")]
    PointerShape,
    #[error("a receipt has {0} that cannot be right")]
    Receipt(&'static str),
    #[error("a rejected line cannot be read")]
    Reject,
    #[error("a call that is kept for a whole set cannot be read")]
    Call,
    #[error("a publication has {0} that cannot be right")]
    Publication(&'static str),
    #[error("a publication is missing between others")]
    Gap,
}

impl Fault {
    /// What cannot be read of a set's row.
    pub(super) fn set(cause: StoreError) -> Self {
        Self::Set(named(&cause))
    }

    /// What cannot be read of a record.
    pub(super) fn record(cause: &StoreError) -> Self {
        Self::Record(named(cause))
    }

    /// What cannot be read of a receipt.
    pub(super) fn receipt(cause: &StoreError) -> Self {
        Self::Receipt(named(cause))
    }
}

/// What is at fault; a column of another type where it is not said.
fn named(cause: &StoreError) -> &'static str {
    match cause {
        StoreError::Damaged(what) => what,
        _ => "a column",
    }
}

/// A fault, and in how many rows of which set it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Finding {
    /// `None`: it concerns no set, or an unknown one.
    pub set: Option<SetId>,
    pub fault: Fault,
    pub rows: u64,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(set) = self.set {
            write!(f, "{set}: ")?;
        }
        write!(f, "{} ({})", self.fault, self.rows)
    }
}

/// Counts faults.
#[derive(Default)]
pub(super) struct Findings(BTreeMap<(Option<SetId>, Fault), u64>);

impl Findings {
    pub(super) fn add(&mut self, set: Option<SetId>, fault: Fault) {
        *self.0.entry((set, fault)).or_default() += 1;
    }

    pub(super) fn told(self) -> Vec<Finding> {
        let told = self.0.into_iter();
        told.map(|((set, fault), rows)| Finding { set, fault, rows })
            .collect()
    }
}
