//! The rules of the register, free of I/O, clocks and async: `now` and `today` come in as values.

pub mod calendar;
pub mod delivery;
pub mod identifiers;
pub mod noted;
pub mod overview;
pub mod participants;
pub mod relationship;
pub mod usage;
