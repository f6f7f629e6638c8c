//! What operators meet: ports, probes, secrets as platforms mount them, logs, metrics, what commands show.

mod check;
mod commands;
mod issuer;
mod ports;
mod secrets;
mod shown;
