//! The DSOP Customer Relations Overview.

pub mod access;
pub mod audit;
pub mod chain;
pub mod domain;
pub mod http;
pub mod index;
pub mod journal;
pub mod pseudonym;
pub mod register;
pub mod sandbox;
