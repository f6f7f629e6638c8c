//! The DSOP Customer Relations Overview.

pub mod access;
pub mod backup;
pub mod cache;
pub mod cli;
pub mod clock;
pub mod config;
pub mod copying;
pub mod domain;
pub mod http;
pub mod pseudonym;
pub mod record;
pub mod register;
pub mod sandbox;
pub mod secrets;
pub mod server;
pub mod spill;
pub mod store;
pub mod telemetry;
pub mod text;
pub mod workers;
