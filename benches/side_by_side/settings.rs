//! How long and how large, from the environment.

use std::time::Duration;

fn number(name: &str, default: u64) -> u64 {
    let given = std::env::var(format!("SIDE_BY_SIDE_{name}")).ok();
    given.map_or(default, |text| text.parse().expect("a number"))
}

/// Of one measurement.
pub fn seconds() -> Duration {
    Duration::from_secs(number("SECONDS", 4))
}

/// In each of them everything is measured once, in turn.
pub fn rounds() -> u64 {
    number("ROUNDS", 5)
}

/// Threads of `wrk`.
pub fn wrk_threads() -> u64 {
    number("WRK_THREADS", 2)
}

pub fn customers() -> usize {
    number("CUSTOMERS", 10_000) as usize
}

/// Live tokens, of which each request carries one.
pub fn tokens() -> usize {
    number("TOKENS", 50) as usize
}

/// Tokens that are signed beforehand, where each is sent once.
pub fn fresh_tokens() -> usize {
    number("FRESH_TOKENS", 100_000) as usize
}

pub fn relationships() -> u64 {
    number("RELATIONSHIPS", 100_000)
}

/// Relationships of the larger populations.
pub fn grown_relationships() -> Vec<u64> {
    let given = std::env::var("SIDE_BY_SIDE_GROWN_RELATIONSHIPS").ok();
    let given = given.unwrap_or_else(|| "5000000 25000000".to_owned());
    given
        .split_whitespace()
        .map(|number| number.parse().expect("numbers"))
        .collect()
}

/// What is offered to a service that is overloaded, in hundredths of what it can take.
pub fn overload_percent() -> u64 {
    number("OVERLOAD_PERCENT", 200)
}
