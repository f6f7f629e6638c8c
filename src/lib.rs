//! The DSOP Customer Relations Overview.

pub mod access;
pub mod audit;
pub mod cache;
pub mod chain;
pub mod cli;
pub mod config;
pub mod domain;
pub mod http;
pub mod pseudonym;
pub mod register;
pub mod sandbox;
pub mod server;
pub mod spill;
pub mod store;
pub mod telemetry;
pub mod text;
pub mod workers;
