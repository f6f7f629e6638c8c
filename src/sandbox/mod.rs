//! A stand-in for the outside world, for trials and tests only: `serve` never comes here.

pub mod issuer;
pub mod population;
pub mod world;
