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

/// Relationships of the larger population.
pub fn grown_relationships() -> u64 {
    number("GROWN_RELATIONSHIPS", 2_000_000)
}

/// What is offered to a service that is overloaded, in hundredths of what it can take.
pub fn overload_percent() -> u64 {
    number("OVERLOAD_PERCENT", 200)
}
