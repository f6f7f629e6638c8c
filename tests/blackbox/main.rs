//! Black box: the started program, real signed tokens, with a cache and without.

mod audit;
mod commands;
mod console;
mod deliveries;
mod errors;
mod figures;
mod harness;
mod kfr;
mod limits;
mod lookups;
mod operating;
mod resilience;
mod secrecy;
mod smoke;
mod store;
mod terms;
mod tls;
mod tokens;
mod traces;
mod whole_set;
mod wire;
