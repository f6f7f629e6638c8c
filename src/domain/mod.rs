//! The rules of the register, free of I/O, clocks and async: `now` and `today` come in as values.

pub mod identifiers;
