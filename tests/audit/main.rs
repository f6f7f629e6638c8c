//! The record of use on real files: every edit is found, pruning stays provable, keys can be changed.

mod ahead;
mod edits;
mod keys;
mod log;
mod pace;
mod pruning;
