//! What PostgreSQL alone does with the very rows that a service has written, into a table like that, indexes included.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Copies the rows of a register into a table of their own; the time that writing took.
pub fn load(url: &str, directory: &Path) -> Duration {
    let rows = directory.join("rows.copy");
    let copy = |table: &str, way: &str| format!("\\copy {table} {way} '{}'", rows.display());
    run(url, &copy("relationships", "TO"));
    run(
        url,
        "CREATE SCHEMA bare CREATE TABLE relationships (LIKE public.relationships INCLUDING ALL)",
    );
    let began = Instant::now();
    run(url, &copy("bare.relationships", "FROM"));
    let took = began.elapsed();
    run(url, "DROP SCHEMA bare CASCADE");
    took
}

fn run(url: &str, sql: &str) {
    let mut psql = Command::new("psql");
    let run = psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-c", sql]).arg(url);
    assert!(run.status().unwrap().success(), "{sql}");
}
