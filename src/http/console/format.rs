//! Numbers and times as people read them.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Europe::Oslo;
use std::time::Duration;

/// A moment, in Oslo's time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moment {
    /// For machines.
    pub iso: String,
    pub text: String,
    /// How long ago; empty where that says nothing.
    pub ago: String,
}

/// Day and time of a moment, and how long ago it was.
pub fn moment(at: DateTime<Utc>) -> Moment {
    Moment {
        ago: ago(Utc::now() - at),
        ..with(at, "%-d %b %Y %H:%M:%S")
    }
}

/// The time of day.
pub fn clock(at: DateTime<Utc>) -> Moment {
    with(at, "%H:%M:%S")
}

fn with(at: DateTime<Utc>, form: &str) -> Moment {
    let there = at.with_timezone(&Oslo);
    Moment {
        iso: there.format("%Y-%m-%dT%H:%M:%S%:z").to_string(),
        text: there.format(form).to_string(),
        ago: String::new(),
    }
}

fn ago(since: TimeDelta) -> String {
    let seconds = since.num_seconds().max(0);
    match seconds {
        0..10 => "just now".to_owned(),
        10..90 => format!("{seconds} s ago"),
        90..5_400 => format!("{} min ago", (seconds + 30) / 60),
        5_400..172_800 => format!("{} h ago", (seconds + 1_800) / 3_600),
        _ => format!("{} days ago", seconds / 86_400),
    }
}

/// Digits in groups of three, kept on one line.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let mut text = digits[..first].to_owned();
    for at in (first..digits.len()).step_by(3) {
        if !text.is_empty() {
            text.push('\u{a0}');
        }
        text.push_str(&digits[at..at + 3]);
    }
    text
}

/// The same of what is counted in memory.
pub fn count(count: usize) -> String {
    number(count as u64)
}

/// Three significant digits at most.
pub fn rate(per_second: f64) -> String {
    match per_second {
        rate if rate >= 100.0 => number(rate.round() as u64),
        rate if rate >= 10.0 => format!("{rate:.1}"),
        rate => format!("{rate:.2}"),
    }
}

/// A short time.
pub fn short(took: Duration) -> String {
    match took.as_secs_f64() * 1e3 {
        ms if ms >= 1_000.0 => format!("{:.1}\u{a0}s", ms / 1e3),
        ms if ms >= 10.0 => format!("{ms:.0}\u{a0}ms"),
        ms => format!("{ms:.1}\u{a0}ms"),
    }
}

/// An age.
pub fn age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds}\u{a0}s"),
        seconds @ 120..7_200 => format!("{}\u{a0}min", seconds / 60),
        seconds => format!("{}\u{a0}h", seconds / 3_600),
    }
}

/// A size.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let (mut size, mut unit) = (bytes as f64 / 1e3, 0);
    while size >= 1e3 && unit + 1 < UNITS.len() {
        size /= 1e3;
        unit += 1;
    }
    format!("{size:.1}\u{a0}{}", UNITS[unit])
}

/// A number with its noun.
pub fn counted(number: usize, one: &str, several: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => format!("{} {several}", count(number)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_groups() {
        let texts = [0, 7, 999, 1_000, 12_345_678].map(number);
        assert_eq!(texts, ["0", "7", "999", "1\u{a0}000", "12\u{a0}345\u{a0}678"]);
        assert_eq!(
            [bytes(1_500), bytes(2_340_000_000)],
            ["1.5\u{a0}kB", "2.3\u{a0}GB"]
        );
        assert_eq!(
            [rate(0.25), rate(12.34), rate(1234.5)],
            ["0.25", "12.3", "1\u{a0}235"]
        );
    }

    #[test]
    fn times_are_those_of_oslo() {
        let at = "2027-07-01T22:30:00Z".parse().unwrap();
        assert_eq!(moment(at).text, "2 Jul 2027 00:30:00");
        assert_eq!(clock(at).iso, "2027-07-02T00:30:00+02:00");
        let texts = [3, 45, 600, 7_200, 400_000].map(|seconds| ago(TimeDelta::seconds(seconds)));
        assert_eq!(
            texts,
            ["just now", "45 s ago", "10 min ago", "2 h ago", "4 days ago"]
        );
    }
}
