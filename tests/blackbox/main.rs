//! Black box: the started program, real signed tokens, both index engines.

mod audit;
mod commands;
mod console;
mod deliveries;
mod errors;
mod figures;
mod harness;
mod instances;
mod kfr;
mod limits;
mod lookups;
mod rekey;
mod resilience;
mod rolling;
mod secrecy;
mod smoke;
mod terms;
mod tls;
mod tokens;
mod traces;
mod upkeep;
mod whole_set;
