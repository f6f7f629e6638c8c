//! The index: what lookups read. A cache of the journal that can be thrown away and rebuilt at any time.
//!
//! Two engines behind one closed enum: [`embedded`] for one machine, [`redis`] to share between instances.

mod checkpoint;
pub mod embedded;
pub mod layout;
pub mod lease;
pub mod owner;
pub mod redis;
mod side;
mod state;

pub use checkpoint::{CHECKPOINT_BYTES, Checkpoint, Checkpoints};

use crate::domain::overview::{HeldAccount, HeldRelationship};
use crate::domain::relationship::{Relationship, SetId};
use crate::pseudonym::{AccountKey, AgreementKey, CustomerKey, Sought};
use crate::workers::{Panicked, Workers};
use layout::{FoundAccount, FoundRow, Generation, IndexState, Marker, Row, RowWrite, SetState, Side};
use owner::Owner;
use std::convert::Infallible;
use std::sync::Arc;

/// Why the index gave no answer. Never an empty list instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    #[error("the index is empty or being rebuilt")]
    NotBuilt,
    #[error("the index did not answer in time")]
    TimedOut,
    #[error("the index cannot be reached: {0}")]
    Unavailable(String),
    #[error("the index holds a {0} of a format this version does not know")]
    Format(&'static str),
    #[error("the index cannot serve here: {0}")]
    Unfit(String),
    #[error("the lease to write to the index is over")]
    Overtaken,
}

impl From<Panicked> for IndexError {
    fn from(cause: Panicked) -> Self {
        Self::Unavailable(cause.to_string())
    }
}

/// Pieces of loads that are made ready or written at once.
const LOADING_THREADS: usize = 2;

fn workers() -> Result<Workers, IndexError> {
    Workers::start("index", LOADING_THREADS)
        .map_err(|cause| IndexError::Unfit(format!("its threads do not start: {cause}")))
}

/// One customer's rows in one set, as the rules of deliveries need them.
pub type CustomerRows = Vec<(AgreementKey, Relationship)>;

/// An index engine.
#[derive(Clone)]
pub enum Index {
    Embedded(Arc<embedded::Embedded>),
    Redis(Arc<redis::Redis>),
}

impl Index {
    /// The current records of a customer at all banks, one round trip.
    pub async fn find_relationships(
        &self,
        customer: &Sought<CustomerKey>,
    ) -> Result<Vec<HeldRelationship>, IndexError> {
        let held = |state: &IndexState, rows: Vec<FoundRow>| {
            rows.into_iter()
                .filter(|row| state.answers(row.set, row.generation))
                .map(|row| HeldRelationship {
                    bank: row.set.bank,
                    relationship: row.relationship,
                })
                .collect()
        };
        match self {
            Self::Embedded(engine) => engine.find_relationships(customer, held),
            Self::Redis(engine) => engine.find_relationships(customer, held).await,
        }
    }

    /// The current records of a customer in one set.
    pub async fn find_in_set(
        &self,
        set: SetId,
        customer: &Sought<CustomerKey>,
    ) -> Result<Vec<HeldRelationship>, IndexError> {
        let held = |state: &IndexState, rows: Vec<FoundRow>| {
            rows.into_iter()
                .filter(|row| row.set == set && state.answers(row.set, row.generation))
                .map(|row| HeldRelationship {
                    bank: row.set.bank,
                    relationship: row.relationship,
                })
                .collect()
        };
        match self {
            Self::Embedded(engine) => engine.find_relationships(customer, held),
            Self::Redis(engine) => engine.find_relationships(customer, held).await,
        }
    }

    /// The current records that carry an account, one round trip.
    pub async fn find_accounts(&self, account: &Sought<AccountKey>) -> Result<Vec<HeldAccount>, IndexError> {
        let held = |state: &IndexState, rows: Vec<FoundAccount>| {
            rows.into_iter()
                .filter(|row| state.answers(row.set, row.generation))
                .map(|row| HeldAccount {
                    bank: row.set.bank,
                    interval: row.interval,
                })
                .collect()
        };
        match self {
            Self::Embedded(engine) => engine.find_accounts(account, held),
            Self::Redis(engine) => engine.find_accounts(account, held).await,
        }
    }

    /// The rows of customers in one generation of one set, in the order asked, complete or not:
    /// for deliveries and rebuilds, which know what they read.
    pub async fn rows_of(
        &self,
        set: SetId,
        generation: Generation,
        customers: &[CustomerKey],
    ) -> Result<Vec<CustomerRows>, IndexError> {
        match self {
            Self::Embedded(engine) => engine.rows_of(set, generation, customers),
            Self::Redis(engine) => engine.rows_of(set, generation, customers).await,
        }
    }

    /// Writes rows into a generation, and after them, if given, the set's new state.
    /// One customer's rows change in one atomic step; everything may be sent twice.
    pub async fn write(
        &self,
        set: SetId,
        generation: Generation,
        writes: Vec<RowWrite>,
        then: Option<SetState>,
    ) -> Result<(), IndexError> {
        match self {
            Self::Embedded(engine) => engine.write(set, generation, writes, then).await,
            Self::Redis(engine) => engine.write(set, generation, &writes, then).await,
        }
    }

    /// Begins to load a whole set into a generation: fastest on the embedded engine, which also removes what
    /// a load that was cut off has left; on Redis the rows are written one by one.
    pub async fn begin_load(
        &self,
        set: SetId,
        generation: Generation,
        expected: Expected,
    ) -> Result<Load, IndexError> {
        match self {
            Self::Embedded(engine) => {
                let load = embedded::Load::begin(Arc::clone(engine), set, generation, expected).await?;
                Ok(Load::Embedded(Box::new(load)))
            }
            Self::Redis(engine) => Ok(Load::Redis(redis::Load::begin(
                Arc::clone(engine),
                set,
                generation,
            ))),
        }
    }

    /// For the heavy work of loads.
    pub fn workers(&self) -> &Workers {
        match self {
            Self::Embedded(engine) => &engine.workers,
            Self::Redis(engine) => &engine.workers,
        }
    }

    /// Removes a generation that answers no more, where the engine can do so at once.
    pub async fn remove_generation(&self, set: SetId, generation: Generation) -> Result<Removal, IndexError> {
        match self {
            Self::Embedded(engine) => {
                engine.remove_generation(set, generation).await?;
                Ok(Removal::Done)
            }
            Self::Redis(_) => Ok(Removal::RowByRow),
        }
    }

    /// The state as this instance knows it, without asking the store.
    pub fn state(&self) -> Arc<IndexState> {
        match self {
            Self::Embedded(engine) => engine.state(),
            Self::Redis(engine) => engine.state(),
        }
    }

    /// What the index stands on now, as one number: the primaries of Redis, and the build that any instance has begun
    /// last. What was written while it was another may be lost.
    pub fn lineup(&self) -> u64 {
        match self {
            Self::Embedded(_) => EMBEDDED_LINEUP,
            Self::Redis(engine) => engine.lineup(),
        }
    }

    /// Notes beside the rows how far sets are complete on a lineup; refused if the store lost the mark of its build somewhere.
    pub async fn write_checkpoints(
        &self,
        marker: &Marker,
        lineup: u64,
        sets: &[(SetId, SetState)],
    ) -> Result<(), IndexError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(engine) => engine.write_checkpoints(marker, lineup, sets).await,
        }
    }

    /// How far sets are complete in all of the store; refused if it lost the mark of its build somewhere.
    pub async fn checkpoints(&self, marker: Option<&Marker>) -> Result<Checkpoints, IndexError> {
        match (self, marker) {
            (Self::Redis(engine), Some(marker)) => engine.checkpoints(marker).await,
            (Self::Redis(_), None) | (Self::Embedded(_), _) => Ok(Checkpoints::new()),
        }
    }

    /// Says whose index this should be and what it has to hold; nothing is answered from another.
    pub fn claim(&self, owner: Owner) -> Result<(), IndexError> {
        match self {
            Self::Embedded(engine) => engine.claim(owner)?,
            Self::Redis(engine) => engine.claim(owner),
        }
        Ok(())
    }

    /// Checks that the store keeps what it is given, and says what to change if not.
    pub async fn check_fitness(&self) -> Result<(), IndexError> {
        match self {
            Self::Embedded(_) => Ok(()),
            Self::Redis(engine) => engine.check_fitness().await,
        }
    }

    /// Asks the store for its state.
    pub async fn refresh(&self) -> Result<Arc<IndexState>, IndexError> {
        match self {
            Self::Embedded(engine) => Ok(engine.state()),
            Self::Redis(engine) => engine.refresh().await,
        }
    }

    /// Waits until no lookup on any instance can still read by a state older than now.
    pub async fn settle(&self) {
        match self {
            Self::Embedded(_) => {}
            Self::Redis(engine) => engine.settle().await,
        }
    }

    /// Notices for as long as it is polled where the store has gone to, so that nothing waits for where it was.
    pub async fn watch(&self) -> Infallible {
        match self {
            Self::Embedded(_) => std::future::pending().await,
            Self::Redis(engine) => engine.watch().await,
        }
    }

    /// Removes the marker and then everything: lookups are refused until [`complete`](Self::complete).
    pub async fn clear(&self) -> Result<(), IndexError> {
        match self {
            Self::Embedded(engine) => engine.clear().await,
            Self::Redis(engine) => engine.clear().await,
        }
    }

    /// Marks a rebuilt index as whole; refused if the store was emptied since it was [cleared](Self::clear).
    pub async fn complete(&self, marker: Marker) -> Result<(), IndexError> {
        match self {
            Self::Embedded(engine) => engine.complete(marker).await,
            Self::Redis(engine) => engine.complete(marker).await,
        }
    }

    /// From now on the rows of the marker's key answer, of a store that is otherwise as it was: one atomic step.
    /// Refused if the store is of another register or build, or was emptied.
    pub async fn answer_by(&self, marker: Marker) -> Result<(), IndexError> {
        match self {
            Self::Embedded(engine) => engine.answer_by(marker).await,
            Self::Redis(engine) => engine.answer_by(marker).await,
        }
    }

    /// Removes every row of a side, which must not be the one that answers, and then its states.
    pub async fn remove_side(&self, side: Side) -> Result<(), IndexError> {
        match self {
            Self::Embedded(engine) => engine.remove_side(side).await,
            Self::Redis(engine) => engine.remove_side(side).await,
        }
    }

    /// Shows every row of every generation, relationships and accounts, to `visit`: for `index verify`.
    pub async fn scan(&self, visit: &mut (dyn FnMut(ScannedRow) + Send)) -> Result<(), IndexError> {
        match self {
            Self::Embedded(engine) => engine.scan(visit),
            Self::Redis(engine) => engine.scan(visit).await,
        }
    }
}

/// A file on this machine is always the same.
pub const EMBEDDED_LINEUP: u64 = 0;

/// How much a whole set holds, about: what it costs to be wrong is speed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Expected {
    pub customers: u64,
    pub accounts: u64,
}

/// Whether a generation is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    Done,
    /// Its rows have to be deleted by those who know them.
    RowByRow,
}

/// A whole set on its way into a generation. It may be switched to once the load is [finished](Self::finish).
pub enum Load {
    Embedded(Box<embedded::Load>),
    Redis(redis::Load),
}

impl Load {
    /// Takes rows; fastest in the order of customer, agreement and first day. The last of an identity stands.
    pub async fn write(self, rows: Vec<Row>) -> Result<Self, IndexError> {
        match self {
            Self::Embedded(load) => Ok(Self::Embedded(Box::new(load.write(rows).await?))),
            Self::Redis(load) => Ok(Self::Redis(load.write(rows).await?)),
        }
    }

    pub async fn finish(self) -> Result<(), IndexError> {
        match self {
            Self::Embedded(load) => load.finish().await,
            Self::Redis(load) => load.finish().await,
        }
    }
}

/// A row as `index verify` meets it.
pub enum ScannedRow {
    Relationship(CustomerKey, FoundRow),
    Account(AccountKey, FoundAccount),
}
