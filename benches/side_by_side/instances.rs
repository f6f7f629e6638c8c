//! Two instances over one Redis beside one alone, asked by as many connections in all.
//!
//! With everything on one machine the two share its processors with each other, with Redis and with the load generator: what
//! can be seen here is whether a lookup costs more where there are two.

use super::figures::{Rounds, print_heading, print_ratio, print_table};
use super::lookups::SideBySide;
use super::settings;
use super::wrk::{Measured, Target};

const CONNECTIONS: usize = 64;

pub fn measure() {
    print_heading("Two instances over one Redis");
    let all = SideBySide::prepare();
    let other = all.deployment.beside(all.scratch().join("other"));
    let [mut one, mut two] = ["one instance", "two instances"].map(|name| Rounds::new(name, CONNECTIONS));
    for _ in 0..settings::rounds() {
        let first = all.deployment.start(&all.issuer, Some(&all.redis));
        let processes = [&first.process, &all.redis.process];
        let first = all.target(&first.address, &all.for_service, &processes);
        one.measured.push(first.measure(CONNECTIONS));
        let second = other.start(&all.issuer, Some(&all.redis));
        let processes = [&second.process];
        let second = all.target(&second.address, &all.for_service, &processes);
        two.measured.push(measure_together(&first, &second));
    }
    let rounds = [one, two];
    print_table(&rounds);
    print_ratio("reported", &rounds[1], &rounds[0]);
}

/// Each with half of the connections.
fn measure_together(first: &Target, second: &Target) -> Measured {
    let [first, second] = std::thread::scope(|scope| {
        [first, second]
            .map(|target| scope.spawn(|| target.measure(CONNECTIONS / 2)))
            .map(|measuring| measuring.join().unwrap())
    });
    let per_second = first.per_second + second.per_second;
    let mean = |of: fn(&Measured) -> f64| {
        (of(&first) * first.per_second + of(&second) * second.per_second) / per_second
    };
    Measured {
        requests: first.requests + second.requests,
        per_second,
        p50_ms: mean(|one| one.p50_ms),
        p99_ms: first.p99_ms.max(second.p99_ms),
        cpu_seconds: mean(|one| one.cpu_seconds),
    }
}
