//! How lookups went lately, for operators to see: counts and times of the last minutes, in a fixed amount of memory.
//!
//! Written by every lookup and by no lock: a ring of short slots, each a few counters. A slot that is used anew is
//! emptied by the first who needs it; what others add to it in that instant may be lost, which no page would show.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Length of a slot.
const SLOT: Duration = Duration::from_secs(5);
/// A quarter of an hour.
pub const SLOTS: usize = 180;
/// Of the times of a slot: eight to each doubling, from 16 µs to over 4 s.
const BUCKETS: usize = 8 * 18;
const FIRST_BUCKET_BITS: u32 = 4;
/// What the figures of a summary are taken from.
const SUMMARY_SLOTS: u64 = 12;

/// How a lookup ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// With what is known, also if that is nothing.
    Answered,
    /// The caller may not ask that, or not so.
    Refused,
    /// The caller asks too much.
    OverLimit,
    /// The service could not answer now.
    Shed,
    /// Slowness of the store, or a defect.
    Failed,
}

impl Outcome {
    const ALL: usize = 5;

    /// By the HTTP status of a lookup's answer.
    pub fn of_status(status: u16) -> Self {
        match status {
            200..=399 | 404 => Self::Answered,
            429 => Self::OverLimit,
            503 => Self::Shed,
            500.. => Self::Failed,
            _ => Self::Refused,
        }
    }
}

/// The figures of the last minute.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Summary {
    /// Of the lookups that were answered or not.
    pub per_second: f64,
    /// Half of the lookups took no longer; `None` without any.
    pub p50: Option<Duration>,
    /// 99 of 100 took no longer.
    pub p99: Option<Duration>,
    pub answered: u64,
    pub refused: u64,
    pub over_limit: u64,
    pub shed: u64,
    pub failed: u64,
}

/// The last quarter of an hour.
pub struct Statistics {
    created: Instant,
    slots: Vec<Slot>,
}

struct Slot {
    /// Which slot of time it holds, counted from 1; 0: none.
    number: AtomicU64,
    outcomes: [AtomicU64; Outcome::ALL],
    times: [AtomicU32; BUCKETS],
}

impl Slot {
    fn new() -> Self {
        Self {
            number: AtomicU64::new(0),
            outcomes: std::array::from_fn(|_| AtomicU64::new(0)),
            times: std::array::from_fn(|_| AtomicU32::new(0)),
        }
    }

    fn turn_to(&self, number: u64) {
        let held = self.number.load(Ordering::Acquire);
        let is_first = held < number
            && self
                .number
                .compare_exchange(held, number, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok();
        if is_first {
            self.outcomes
                .iter()
                .for_each(|count| count.store(0, Ordering::Relaxed));
            self.times
                .iter()
                .for_each(|count| count.store(0, Ordering::Relaxed));
        }
    }

    fn lookups(&self) -> u64 {
        self.outcomes
            .iter()
            .map(|count| count.load(Ordering::Relaxed))
            .sum()
    }
}

impl Default for Statistics {
    fn default() -> Self {
        Self {
            created: Instant::now(),
            slots: std::iter::repeat_with(Slot::new).take(SLOTS).collect(),
        }
    }
}

impl Statistics {
    /// Counts a lookup.
    pub fn count(&self, outcome: Outcome, took: Duration) {
        self.count_at(self.created.elapsed(), outcome, took);
    }

    fn count_at(&self, now: Duration, outcome: Outcome, took: Duration) {
        let number = number_at(now);
        let slot = self.slot(number);
        slot.turn_to(number);
        slot.outcomes[outcome as usize].fetch_add(1, Ordering::Relaxed);
        slot.times[bucket(took)].fetch_add(1, Ordering::Relaxed);
    }

    /// The last minute.
    pub fn summary(&self) -> Summary {
        self.summary_at(self.created.elapsed())
    }

    fn summary_at(&self, now: Duration) -> Summary {
        let last = number_at(now);
        let (mut outcomes, mut times) = ([0; Outcome::ALL], [0_u64; BUCKETS]);
        for slot in self.between(last.saturating_sub(SUMMARY_SLOTS - 1), last) {
            for (sum, count) in outcomes.iter_mut().zip(&slot.outcomes) {
                *sum += count.load(Ordering::Relaxed);
            }
            for (sum, count) in times.iter_mut().zip(&slot.times) {
                *sum += u64::from(count.load(Ordering::Relaxed));
            }
        }
        let first_second =
            (SLOT * u32::try_from(last.saturating_sub(SUMMARY_SLOTS)).unwrap_or(0)).as_secs_f64();
        let span = (now.as_secs_f64() - first_second).max(1.0);
        let [answered, refused, over_limit, shed, failed] = outcomes;
        Summary {
            per_second: outcomes.iter().sum::<u64>() as f64 / span,
            p50: quantile(&times, 50),
            p99: quantile(&times, 99),
            answered,
            refused,
            over_limit,
            shed,
            failed,
        }
    }

    /// Lookups a second of each slot that has ended, oldest first; as many as there are since the start.
    pub fn trend(&self) -> Vec<f64> {
        let current = number_at(self.created.elapsed());
        let first = (current + 1).saturating_sub(SLOTS as u64).max(1);
        (first..current)
            .map(|number| {
                let slot = self.slot(number);
                let is_held = slot.number.load(Ordering::Acquire) == number;
                let lookups = if is_held { slot.lookups() } else { 0 };
                lookups as f64 / SLOT.as_secs_f64()
            })
            .collect()
    }

    fn between(&self, first: u64, last: u64) -> impl Iterator<Item = &Slot> {
        self.slots.iter().filter(move |slot| {
            let number = slot.number.load(Ordering::Acquire);
            number >= first.max(1) && number <= last
        })
    }

    fn slot(&self, number: u64) -> &Slot {
        &self.slots[(number % SLOTS as u64) as usize]
    }
}

fn number_at(now: Duration) -> u64 {
    now.as_secs() / SLOT.as_secs() + 1
}

/// Times share a bucket with those that are up to an eighth longer.
fn bucket(took: Duration) -> usize {
    let micros = u64::try_from(took.as_micros())
        .unwrap_or(u64::MAX)
        .max(1 << FIRST_BUCKET_BITS);
    let bits = micros.ilog2();
    let eighth = (micros >> (bits - 3)) & 7;
    (((bits - FIRST_BUCKET_BITS) * 8) as usize + eighth as usize).min(BUCKETS - 1)
}

/// The longest time of a bucket.
fn upper_bound(bucket: usize) -> Duration {
    let (bits, eighth) = (bucket / 8 + FIRST_BUCKET_BITS as usize, bucket as u64 % 8);
    Duration::from_micros((9 + eighth) << (bits - 3))
}

fn quantile(times: &[u64; BUCKETS], percent: u64) -> Option<Duration> {
    let all: u64 = times.iter().sum();
    let wanted = (all * percent).div_ceil(100);
    let mut seen = 0;
    let found = times.iter().position(|count| {
        seen += count;
        seen >= wanted
    });
    found.filter(|_| all > 0).map(upper_bound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_minute_of_lookups_is_told_by_rate_times_and_outcomes() {
        let statistics = Statistics::default();
        for second in 100..160 {
            for at in 0..10 {
                let took = Duration::from_micros(if at == 0 { 40_000 } else { 1_000 });
                statistics.count_at(seconds(second), Outcome::Answered, took);
            }
            statistics.count_at(seconds(second), Outcome::Refused, Duration::from_micros(100));
        }
        let summary = statistics.summary_at(seconds(159));
        assert_eq!((summary.answered, summary.refused, summary.shed), (600, 60, 0));
        assert!(
            (11.0..11.5).contains(&summary.per_second),
            "{}",
            summary.per_second
        );
        let (p50, p99) = (summary.p50.unwrap(), summary.p99.unwrap());
        assert!(
            p50 >= Duration::from_micros(1_000) && p50 < Duration::from_micros(1_130),
            "{p50:?}"
        );
        assert!(
            p99 >= Duration::from_millis(40) && p99 < Duration::from_millis(46),
            "{p99:?}"
        );
    }

    #[test]
    fn what_is_long_ago_is_forgotten_and_its_slot_used_anew() {
        let statistics = Statistics::default();
        statistics.count_at(seconds(1), Outcome::Shed, seconds(9_000));
        assert_eq!(statistics.summary_at(seconds(30)).shed, 1);
        assert_eq!(statistics.summary_at(seconds(90)).shed, 0);
        let a_round_later = seconds(1) + SLOT * SLOTS as u32;
        statistics.count_at(a_round_later, Outcome::Answered, seconds(0));
        let summary = statistics.summary_at(a_round_later);
        assert_eq!((summary.answered, summary.shed), (1, 0));
        assert_eq!(Statistics::default().summary_at(seconds(0)), Summary::default());
    }

    #[test]
    fn every_time_lies_within_its_bucket() {
        for micros in [16, 17, 31, 32, 1_000, 1_023, 1_024, 999_999, 4_000_000] {
            let took = Duration::from_micros(micros);
            let bound = upper_bound(bucket(took));
            assert!(
                took <= bound && bound <= took * 9 / 8 + Duration::from_micros(2),
                "{micros}"
            );
        }
    }
}
