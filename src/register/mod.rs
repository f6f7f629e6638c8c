//! The use cases of the register, shared by HTTP and the commands.

pub mod delivery;
pub mod keeper;
pub mod lookup;
pub mod participants;
pub mod replay;
pub mod verify;
