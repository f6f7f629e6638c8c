//! How the store is opened.

use super::postgres::PostgresOptions;
use std::path::PathBuf;
use std::time::Duration;

/// Where the register is kept.
#[derive(Debug, Clone)]
pub enum StorePlace {
    /// In a file.
    Sqlite(PathBuf),
    Postgres(PostgresOptions),
}

/// How the store is opened.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    pub place: StorePlace,
    /// Longest that a lookup may take to read.
    pub timeout: Duration,
    /// SQLite's page cache of each connection.
    pub cache_kib: usize,
    /// A cache stands in front, so what is read says which publication it was read at.
    pub is_cached: bool,
    /// Publications, and tags that they changed, that are remembered for the cache.
    pub remembered_changes: usize,
    /// Where merges sort what does not fit into memory.
    pub scratch: PathBuf,
}
