//! Black box: the started program, real signed tokens, both index engines.

mod audit;
mod harness;
mod smoke;
