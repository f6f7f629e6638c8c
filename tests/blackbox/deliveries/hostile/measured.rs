//! What an attack costs: memory of the process, and the time of those who ask meanwhile.

use crate::harness::Service;
use crate::harness::identifiers::people;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

/// More than this an attack may not take. KiB, as the system tells it.
const MEMORY_KIB: u64 = 64 * 1_024;
const ASKED: usize = 100;
/// The goal is 2; a machine that other tests use too is noisy.
const SLOWER: f64 = 10.0;
/// Below this nobody is slow.
const NOISE: Duration = Duration::from_millis(100);

pub struct Measured<'s> {
    service: &'s Service,
    usual: Duration,
}

impl<'s> Measured<'s> {
    /// What it takes when nothing happens.
    pub async fn begin(service: &'s Service) -> Self {
        let mut measured = Self {
            service,
            usual: Duration::ZERO,
        };
        let asked = RefCell::default();
        for _ in 0..ASKED {
            measured.ask(&asked).await;
        }
        measured.usual = median(&asked);
        measured
    }

    /// Runs the attack beside lookups, and prints and judges what it took.
    pub async fn meanwhile(&self, what: &str, attack: impl Future<Output = ()>) {
        let resident_kib = self.status("VmRSS:");
        // From here on the peak is that of the attack.
        std::fs::write(format!("/proc/{}/clear_refs", self.service.pid()), "5").unwrap();
        let (ended, asked, started) = (Cell::new(false), RefCell::default(), Instant::now());
        let ask = async {
            while !ended.get() {
                self.ask(&asked).await;
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let attack = async {
            attack.await;
            ended.set(true);
        };
        tokio::join!(attack, ask);
        let median = median(&asked);
        let more_kib = self.status("VmHWM:").saturating_sub(resident_kib);
        let slower = median.as_secs_f64() / self.usual.as_secs_f64();
        println!(
            "{what}: {:.1} s, +{} MB at most; lookups {:.1} ms, {slower:.1} x the usual",
            started.elapsed().as_secs_f64(),
            more_kib / 1_024,
            median.as_secs_f64() * 1_000.0
        );
        assert!(more_kib <= MEMORY_KIB, "{what}: +{more_kib} KiB");
        assert!(
            slower <= SLOWER || median < NOISE,
            "{what}: lookups took {slower:.1} x the usual"
        );
    }

    async fn ask(&self, asked: &RefCell<Vec<Duration>>) {
        let started = Instant::now();
        let customer = people().next().unwrap();
        let request = self.service.relationships(&customer, "2020-01-01", "2020-12-31");
        assert_eq!(
            request.send().await.unwrap().status(),
            200,
            "{}",
            self.service.log()
        );
        asked.borrow_mut().push(started.elapsed());
    }

    /// A figure of the process in KiB.
    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.service.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }
}

fn median(asked: &RefCell<Vec<Duration>>) -> Duration {
    let mut asked = asked.borrow().clone();
    asked.sort();
    asked.get(asked.len() / 2).copied().unwrap_or_default()
}
