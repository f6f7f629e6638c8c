//! The cache on real Redis servers: one node, a replica, a Sentinel group with passwords, a Cluster, and a Cluster with TLS
//! and host names; and what becomes of lookups while Redis is away.

mod arrangements;
mod away;
mod bench;
mod clear;
mod entries;
mod fills;
mod group;
mod server;
