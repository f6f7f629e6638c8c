//! The record of use on real files: every edit is found, the index finds what reading finds, pruning stays provable,
//! keys can be changed, damaged ends are refused.

mod database;
mod edits;
mod ends;
mod figures;
mod index;
mod keys;
mod pruning;
mod table;

#[path = "../support/commit_proxy.rs"]
mod commit_proxy;
#[path = "../support/postgres.rs"]
mod postgres;
