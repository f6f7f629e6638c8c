//! The record of use: no answer leaves without an entry that is already durable.
//!
//! A [`Recorded`] value is the only thing an answer to an authenticated call can be built from, and only
//! [`Recorder::record`] makes one, and [`Recorder::record_act`] for operators, after the entry is on disk.
//! [`verify`], [`search`] and [`prune`] read the logs back, of one instance or of several.

mod entry;
mod head;
mod hex;
mod instance;
mod keys;
mod log;
mod prune;
mod reading;
mod recorder;
mod search;
mod verify;

pub use crate::chain::Removal;
pub use entry::{Call, Conclusion, Deed, Endpoint, OperatorAct, Subject};
pub use head::{HEAD_MESSAGE, HeadError, KeptHead, PublishedHead};
pub use hex::encode as hex;
pub use instance::{InstanceError, InstanceId};
pub use keys::KeyRing;
pub use log::{LogFault, Record, check};
pub use prune::{PruneError, prune};
pub use reading::{Found, Proved, Reading};
pub use recorder::{Lag, ListedBanks, Recorded, Recorder, RecorderError, RecorderOptions, Unrecorded};
pub use search::{Query, SearchError, search};
pub use verify::{HeadStanding, Proof, Verification, verify};
