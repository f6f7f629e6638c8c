//! The record of use, seen from outside: nothing is answered that is not in it.

pub mod disk;
mod heads;
mod kills;
mod late;
pub mod load;
mod recorded;
