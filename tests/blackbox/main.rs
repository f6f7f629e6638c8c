//! Black box: the started program, real signed tokens, both index engines.

mod harness;
mod smoke;
mod terms;
