//! Black box: the started program, real signed tokens, both index engines.

mod audit;
mod commands;
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
mod secrecy;
mod smoke;
mod terms;
mod tokens;
mod upkeep;
mod whole_set;
