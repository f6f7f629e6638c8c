//! The journal on real files, and the index that follows from it.

mod backup;
mod bench;
mod closed;
mod compaction;
mod copy;
mod random;
mod replay;
mod resolution;
mod store;
