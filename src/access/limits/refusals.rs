//! How often a consumer may be refused in a minute. Each refusal is recorded, and nobody is to fill the record with them:
//! beyond the bound its calls are turned away, unseen, and share an entry.

use crate::domain::identifiers::OrganizationNumber;
use chrono::{DateTime, Utc};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const SECONDS: i64 = 60;

/// Counts refusals, in memory, by this instance.
pub struct Refusals {
    per_minute: NonZeroU32,
    minutes: Mutex<Minutes>,
}

#[derive(Default)]
struct Minutes {
    /// Of consumers that were refused of late.
    under_way: HashMap<OrganizationNumber, Minute>,
    /// What is over and to be recorded.
    over: Vec<TurnedAway>,
}

#[derive(Clone, Copy)]
struct Minute {
    /// Since 1970.
    number: i64,
    refused: u32,
    turned_away: u64,
}

/// How many calls of a consumer were turned away in a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TurnedAway {
    pub consumer: OrganizationNumber,
    /// When the minute began.
    pub minute: DateTime<Utc>,
    pub calls: u64,
}

impl Refusals {
    pub fn new(per_minute: NonZeroU32) -> Self {
        Self {
            per_minute,
            minutes: Mutex::default(),
        }
    }

    /// Whether a call is to be looked at. One that is not is counted.
    ///
    /// # Errors
    /// The time to the next minute, when the consumer was refused too often in this one.
    pub fn admit(&self, consumer: OrganizationNumber, at: DateTime<Utc>) -> Result<(), Duration> {
        let mut minutes = self.lock();
        let Some(minute) = minutes.under_way.get_mut(&consumer) else {
            return Ok(());
        };
        if minute.number != number_of(at) || minute.refused < self.per_minute.get() {
            return Ok(());
        }
        minute.turned_away += 1;
        let seconds = SECONDS - at.timestamp().rem_euclid(SECONDS);
        Err(Duration::from_secs(seconds.unsigned_abs()))
    }

    /// Counts a refusal.
    pub fn count(&self, consumer: OrganizationNumber, at: DateTime<Utc>) {
        let number = number_of(at);
        let new = Minute {
            number,
            refused: 0,
            turned_away: 0,
        };
        let mut minutes = self.lock();
        let minute = minutes.under_way.entry(consumer).or_insert(new);
        if minute.number != number {
            let ended = std::mem::replace(minute, new).turned_away(consumer);
            minutes.over.extend(ended);
        }
        if let Some(minute) = minutes.under_way.get_mut(&consumer) {
            minute.refused = minute.refused.saturating_add(1);
        }
    }

    /// What is to be recorded of minutes that are over; by the end of time, of all.
    pub fn take(&self, now: DateTime<Utc>) -> Vec<TurnedAway> {
        let (mut minutes, now) = (self.lock(), number_of(now));
        let mut over = std::mem::take(&mut minutes.over);
        minutes.under_way.retain(|consumer, minute| {
            let goes_on = minute.number == now;
            if !goes_on {
                over.extend(minute.turned_away(*consumer));
            }
            goes_on
        });
        over
    }

    /// What could not be recorded, to be taken again.
    pub fn give_back(&self, unrecorded: TurnedAway) {
        self.lock().over.push(unrecorded);
    }

    fn lock(&self) -> MutexGuard<'_, Minutes> {
        self.minutes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Minute {
    fn turned_away(&self, consumer: OrganizationNumber) -> Option<TurnedAway> {
        (self.turned_away > 0).then(|| TurnedAway {
            consumer,
            minute: DateTime::from_timestamp(self.number * SECONDS, 0).unwrap_or_default(),
            calls: self.turned_away,
        })
    }
}

fn number_of(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(SECONDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn consumer(number: &str) -> OrganizationNumber {
        OrganizationNumber::parse(number).unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        format!("2026-11-20T21:{text}Z").parse().unwrap()
    }

    #[test]
    fn who_is_refused_too_often_is_turned_away_until_the_next_minute() {
        let (one, other) = (consumer("974761076"), consumer("915429785"));
        let refusals = Refusals::new(NonZeroU32::new(3).unwrap());
        for _ in 0..3 {
            assert_eq!(refusals.admit(one, at("30:10")), Ok(()));
            refusals.count(one, at("30:10"));
        }
        assert_eq!(refusals.admit(one, at("30:20")), Err(Duration::from_secs(40)));
        assert_eq!(refusals.admit(one, at("30:59")), Err(Duration::from_secs(1)));
        assert_eq!(refusals.admit(other, at("30:59")), Ok(()));
        assert_eq!(refusals.take(at("30:59")), []);
        assert_eq!(refusals.admit(one, at("31:00")), Ok(()));
        let turned_away = TurnedAway {
            consumer: one,
            minute: at("30:00"),
            calls: 2,
        };
        assert_eq!(refusals.take(at("31:00")), [turned_away]);
        assert_eq!(refusals.take(at("31:00")), []);
        refusals.give_back(turned_away);
        assert_eq!(refusals.take(at("31:00")), [turned_away]);
    }

    #[test]
    fn a_minute_that_another_follows_is_told_too() {
        let one = consumer("974761076");
        let refusals = Refusals::new(NonZeroU32::new(1).unwrap());
        for minute in ["30:59", "31:00", "33:00"] {
            refusals.count(one, at(minute));
            assert!(refusals.admit(one, at(minute)).is_err());
        }
        let told: Vec<_> = refusals
            .take(DateTime::<Utc>::MAX_UTC)
            .iter()
            .map(|over| over.minute)
            .collect();
        assert_eq!(told, [at("30:00"), at("31:00"), at("33:00")]);
    }
}
