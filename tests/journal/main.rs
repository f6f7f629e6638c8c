//! The journal on real files, and the index that follows from it.

mod bench;
mod copy;
mod random;
mod replay;
mod resolution;
mod store;
