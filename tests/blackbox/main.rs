//! Black box: the started program, real signed tokens, both index engines.

mod commands;
mod harness;
mod kfr;
mod resilience;
mod secrecy;
mod smoke;
mod whole_set;
