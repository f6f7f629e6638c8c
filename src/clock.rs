//! Whether the machine's clock can be believed: what is removed by it is gone for good.
//!
//! The store keeps when the clock was last found to be right, and how long the machine was up then. Time that has passed
//! since shows in the uptime, which nobody can set, so a clock that is more than a day off that has jumped. While the
//! machine was off nothing shows: more than a day of that has to be confirmed by an operator.

use chrono::{DateTime, TimeDelta, Utc};
use rustix::time::{ClockId, clock_gettime};
use uuid::Uuid;

/// Names the boot of the machine, as Linux has it.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";
/// As far as this the clock may be off.
const TOLERANCE: TimeDelta = TimeDelta::days(1);

/// A moment by the machine's clock, and by its uptime.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    pub at: DateTime<Utc>,
    /// Names the boot that the uptime counts from.
    pub boot: String,
    /// Sleep counts too.
    pub uptime: TimeDelta,
}

/// The clock was found to be right. What removes anything by the clock asks for this.
#[derive(Debug, Clone)]
pub struct TrustedClock {
    now: DateTime<Utc>,
    seen: Reading,
}

/// The clock is further off than anything explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the clock says {now}, and was last found to be right at {seen}, since when the machine was up for {up_hours} hours \
     at the most; nothing is removed until the clock is right again, or `kundeforhold clock confirm` says that it is"
)]
pub struct ClockJumped {
    now: DateTime<Utc>,
    seen: DateTime<Utc>,
    up_hours: i64,
}

impl Reading {
    /// What the machine says now.
    pub fn take() -> Self {
        // Where the boot has no name it is taken for another one than before: that explains less.
        let boot = std::fs::read_to_string(BOOT).unwrap_or_else(|_| Uuid::new_v4().to_string());
        let uptime = clock_gettime(ClockId::Boottime);
        Self {
            at: Utc::now(),
            boot: boot.trim().to_owned(),
            uptime: TimeDelta::seconds(uptime.tv_sec) + TimeDelta::nanoseconds(uptime.tv_nsec),
        }
    }

    /// Judges the clock by when it was last right.
    pub fn judge(self, last: &Self) -> Result<TrustedClock, ClockJumped> {
        let is_same_boot = self.boot == last.boot;
        // Between the two, the machine was up for so long: of another boot, at the most.
        let up = match is_same_boot {
            true => self.uptime - last.uptime,
            false => self.uptime,
        };
        let latest = last.at + up;
        let earliest = if is_same_boot { latest } else { last.at };
        if self.at < earliest - TOLERANCE || self.at > latest + TOLERANCE {
            return Err(ClockJumped {
                now: self.at,
                seen: last.at,
                up_hours: up.num_hours(),
            });
        }
        let now = self.at;
        // As long as the machine is up its uptime goes on, so that a clock that creeps is found out too.
        let at = if is_same_boot { latest } else { now };
        Ok(TrustedClock {
            now,
            seen: Self { at, ..self },
        })
    }
}

impl TrustedClock {
    pub fn now(&self) -> DateTime<Utc> {
        self.now
    }

    /// What the next reading is judged by.
    pub fn seen(&self) -> &Reading {
        &self.seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(boot: &str, hours: i64, uptime_hours: i64) -> Reading {
        Reading {
            at: DateTime::UNIX_EPOCH + TimeDelta::hours(hours),
            boot: boot.to_owned(),
            uptime: TimeDelta::hours(uptime_hours),
        }
    }

    const YEAR: i64 = 365 * 24;

    #[test]
    fn a_clock_that_goes_as_the_uptime_does_is_right() {
        let last = reading("a", 1_000, 10);
        for (hours, uptime_hours) in [
            (1_000, 10),
            (1_001, 11),
            (1_000 + YEAR, 10 + YEAR),
            (1_023, 10),
            (977, 10),
        ] {
            assert!(reading("a", hours, uptime_hours).judge(&last).is_ok(), "{hours}");
        }
        for hours in [1_000 + 10 * YEAR, 1_025, 975, 0] {
            assert!(reading("a", hours, 10).judge(&last).is_err(), "{hours}");
        }
    }

    #[test]
    fn after_a_boot_the_clock_lies_between_no_time_and_the_uptime_from_what_was_seen() {
        let last = reading("a", 1_000, 10);
        for (hours, uptime_hours) in [(1_000, 0), (1_020, 0), (1_048, 30), (1_010, 48)] {
            assert!(reading("b", hours, uptime_hours).judge(&last).is_ok(), "{hours}");
        }
        for (hours, uptime_hours) in [
            (1_025, 0),
            (1_000 + 10 * YEAR, 0),
            (1_060, 30),
            (975, 0),
            (975, YEAR),
        ] {
            assert!(reading("b", hours, uptime_hours).judge(&last).is_err(), "{hours}");
        }
    }

    #[test]
    fn a_clock_that_creeps_is_found_out() {
        let mut last = reading("a", 1_000, 0);
        let mut hours = 1_000;
        for uptime in 1..=3 {
            hours += 8;
            last = reading("a", hours, uptime).judge(&last).unwrap().seen().clone();
        }
        assert_eq!(last.at, reading("a", 1_003, 0).at);
        assert!(reading("a", hours + 8, 4).judge(&last).is_err());
    }

    #[test]
    fn the_machine_is_read() {
        let (first, second) = (Reading::take(), Reading::take());
        assert!(second.uptime >= first.uptime && !first.boot.is_empty());
        assert!(second.judge(&first).is_ok());
    }
}
