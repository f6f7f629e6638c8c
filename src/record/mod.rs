//! The record of use: no answer leaves without an entry that is already durable.
//!
//! A [`Recorded`] value is the only thing an answer to an authenticated call can be built from, and only
//! [`Recorder::record`] makes one, and [`Recorder::record_act`] for operators, after the entry is on disk.
//!
//! Entries are rows of a table, chained by hash; the list of heads, authenticated by a key, says of each chain when it
//! began, how far it had got and what was pruned. [`verify`], [`search`] and [`prune`] work on the table beside
//! whoever writes it. The modules [`sqlite`] and [`postgres`] have the SQL; [`engine`] chooses between them.

mod answer;
mod chain;
mod engine;
mod entry;
mod facts;
mod fault;
mod heads;
mod hex;
mod index;
mod keys;
mod places;
mod postgres;
mod prune;
mod published;
mod read;
mod reading;
mod recorder;
mod search;
mod sqlite;
mod stored;
mod upkeep;
mod verify;
mod walk;
mod writer;

pub use chain::{Hash, Head};
pub use engine::RecordPlace;
pub use entry::{Call, Conclusion, Deed, DeliveryMark, Endpoint, LateRecord, OperatorAct, Subject};
pub use facts::facts;
pub use fault::{Flaw, RecordFault, TableError};
pub use heads::{ListEnd, Removal};
pub use hex::encode as hex;
pub use keys::KeyRing;
pub use prune::prune;
pub use published::{HEAD_MESSAGE, HeadError, KeptHead, PublishedHead};
pub use read::Record;
pub use reading::{Found, Proved, Reading, RecordedDeliveries};
pub use recorder::{
    ChainChoice, Lag, ListedBanks, Recorded, Recorder, RecorderError, RecorderOptions, Unrecorded,
};
pub use search::{Looked, Query, SearchError, Way, search};
pub use verify::{HeadStanding, Proof, Verification, check, verify};
