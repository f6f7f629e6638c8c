//! A closed loop: as many requests as so many connections can have answered, with `wrk`.

use super::process::{Process, command};
use super::settings;
use std::path::Path;
use std::time::Duration;

/// Share of the requests that may fail: at the most that it can take, a service sheds some now and then.
const FEW: f64 = 0.001;
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/side_by_side/wrk.lua");

/// What one measurement found.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub requests: f64,
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Of the server and what it asks, a thousand requests.
    pub cpu_seconds: f64,
}

/// Where to send what.
pub struct Target<'t> {
    pub address: &'t str,
    pub requests: &'t Path,
    /// Whose processor time counts.
    pub processes: &'t [&'t Process],
    /// The processor that `wrk` is kept on; none: any.
    pub processor: Option<usize>,
}

impl Target<'_> {
    fn cpu_seconds(&self) -> f64 {
        self.processes.iter().map(|process| process.cpu_seconds()).sum()
    }

    /// Asks a little first, so that tokens are remembered and connections to Redis made, and then measures.
    pub fn measure(&self, connections: usize) -> Measured {
        self.ask(connections, Duration::from_secs(1));
        self.ask(connections, settings::seconds())
    }

    /// Measures at once.
    pub fn ask(&self, connections: usize, length: Duration) -> Measured {
        let threads = match self.processor {
            Some(_) => 1,
            None => settings::wrk_threads(),
        };
        let before = self.cpu_seconds();
        let output = command("wrk", self.processor)
            .args(["-t", &threads.to_string(), "-c", &connections.to_string()])
            .args(["-d", &format!("{}s", length.as_secs()), "-s", SCRIPT])
            .arg(format!("http://{}/", self.address))
            .arg("--")
            .arg(self.requests)
            .arg(threads.to_string())
            .output()
            .unwrap();
        let cpu = self.cpu_seconds() - before;
        let said = String::from_utf8_lossy(&output.stdout);
        let figures = said.lines().find_map(|line| line.strip_prefix("FIGURES "));
        let figures: Vec<f64> = figures
            .unwrap_or_else(|| panic!("wrk said: {said}"))
            .split(' ')
            .map(|figure| figure.parse().unwrap())
            .collect();
        let [requests, microseconds, p50, p99, errors] = figures[..] else {
            panic!("wrk said: {said}")
        };
        assert!(
            errors <= requests * FEW,
            "{errors} of {requests} requests failed at {}",
            self.address
        );
        Measured {
            requests,
            per_second: requests / microseconds * 1e6,
            p50_ms: p50 / 1e3,
            p99_ms: p99 / 1e3,
            cpu_seconds: cpu / requests * 1e3,
        }
    }
}
