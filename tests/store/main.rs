//! The contract of the store, held by every engine: versions, merges, receipts, and what is left after a kill.

mod backup;
mod broken_off;
mod cache_list;
mod calls;
mod conflicts;
mod databases;
mod deliveries;
mod erase;
mod history;
mod instances;
mod model;
mod opening;
mod place;
mod receipts;
mod register;
mod rekey;
mod rollback;
mod steps;
mod tls;
mod upkeep;
mod verify;
mod whole_sets;

#[path = "../support/commit_proxy.rs"]
mod commit_proxy;
#[path = "../support/postgres.rs"]
mod postgres;
