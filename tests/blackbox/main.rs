//! Black box: the started program, real signed tokens, both index engines.

mod errors;
mod harness;
mod lookups;
mod smoke;
mod tokens;
