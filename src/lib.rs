//! The DSOP Customer Relations Overview.

pub mod access;
pub mod chain;
pub mod domain;
pub mod index;
pub mod pseudonym;
pub mod sandbox;
