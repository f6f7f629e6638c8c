//! The use cases of the register, shared by HTTP and the commands.

pub mod delivery;
pub mod index_use;
pub mod keeper;
pub mod lookup;
pub mod oversight;
pub mod participants;
pub mod rekey;
pub mod replay;
pub mod statistics;
pub mod verify;
