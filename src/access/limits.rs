//! How much one consumer may ask: a rate, and a daily ceiling of distinct customers. And what is unusual of it.

mod refusals;
mod usage;

pub use refusals::{Refusals, TurnedAway};
pub use usage::{ConsumerDay, DayCounts, Dimension, History, Volume};

use crate::domain::calendar::until_next_day;
use crate::domain::identifiers::OrganizationNumber;
use crate::domain::usage::Seen;
use chrono::{DateTime, NaiveDate, Utc};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;
use usage::Usage;
use uuid::Uuid;

/// Bounds for each consumer (`access.rate_per_second`, `access.rate_burst`, `access.daily_customers`).
#[derive(Debug, Clone, Copy)]
pub struct LimitSettings {
    pub rate_per_second: NonZeroU32,
    pub rate_burst: NonZeroU32,
    /// Distinct customers a day in Oslo.
    pub daily_customers: usize,
    /// Beyond it, a consumer's calls are turned away to the end of the minute (`access.refusals_per_minute`).
    pub refusals_per_minute: NonZeroU32,
    /// A day is unusual when it has more than this many times the most of the days before it …
    pub unusual_factor: u32,
    /// … and more than this many.
    pub unusual_floor: usize,
}

/// Why a consumer has to wait. Nothing was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverLimit {
    /// Too many requests at once.
    Rate { retry_after: Duration },
    /// The day's distinct customers are used up; the next day in Oslo begins after this.
    DailyCustomers { retry_after: Duration },
    /// Refused too often in this minute.
    Refusals { retry_after: Duration },
}

impl OverLimit {
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Rate { retry_after }
            | Self::DailyCustomers { retry_after }
            | Self::Refusals { retry_after } => *retry_after,
        }
    }
}

/// A day that has left a consumer's usual range. Told once a day and dimension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unusual {
    pub consumer: OrganizationNumber,
    pub dimension: Dimension,
    pub count: usize,
    /// The most of the days before.
    pub usual_most: usize,
}

/// What a question counts as.
#[derive(Debug, Clone, Copy)]
pub struct Asking {
    pub consumer: OrganizationNumber,
    /// Tells customers apart without naming them: the first bytes of a pseudonym.
    pub customer: Option<u64>,
    pub case: Option<Uuid>,
    pub at: DateTime<Utc>,
    /// The day in Oslo at that moment.
    pub today: NaiveDate,
}

/// Counts what consumers ask, in memory, by this instance; and what it is told that others have counted.
pub struct Limits {
    settings: LimitSettings,
    /// Other instances are told what is counted here.
    shares: bool,
    clock: DefaultClock,
    refusals: Refusals,
    /// One entry a consumer with a good token: as many as there are agencies.
    consumers: RwLock<HashMap<OrganizationNumber, Arc<Consumer>>>,
}

struct Consumer {
    rate: DefaultDirectRateLimiter,
    usage: Mutex<Usage>,
}

impl Limits {
    /// Begins with what is known of former days, where there is no other instance.
    pub fn new(settings: LimitSettings, history: History) -> Self {
        Self::counting(settings, history, false)
    }

    /// The same where there are others.
    pub fn shared(settings: LimitSettings, history: History) -> Self {
        Self::counting(settings, history, true)
    }

    fn counting(settings: LimitSettings, history: History, shares: bool) -> Self {
        let limits = Self {
            settings,
            shares,
            clock: DefaultClock::default(),
            refusals: Refusals::new(settings.refusals_per_minute),
            consumers: RwLock::default(),
        };
        for (consumer, days) in history.into_consumers() {
            limits.consumer_or(consumer, || Usage::after(days, &settings));
        }
        limits
    }

    /// Admits a question, or says how long to wait. Gives what became unusual by it.
    pub fn admit(&self, asking: &Asking) -> Result<Vec<Unusual>, OverLimit> {
        let consumer = self.consumer_or(asking.consumer, Usage::default);
        let slow_enough = consumer.rate.check();
        let mut usage = consumer.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.turn_to(asking.today);
        if let Err(not_until) = slow_enough {
            usage.asked(false);
            return Err(OverLimit::Rate {
                retry_after: not_until.wait_time_from(self.clock.now()),
            });
        }
        let admitted = usage.admits(asking.customer, self.settings.daily_customers);
        usage.asked(admitted);
        if !admitted {
            return Err(OverLimit::DailyCustomers {
                retry_after: until_next_day(asking.at).to_std().unwrap_or_default(),
            });
        }
        let unusual = usage.count(asking.customer, asking.case, &self.settings, self.shares);
        Ok(unusual
            .into_iter()
            .map(|(dimension, count, usual_most)| Unusual {
                consumer: asking.consumer,
                dimension,
                count,
                usual_most,
            })
            .collect())
    }

    /// How often consumers were refused of late.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Counts a question outside the service terms, refused or not.
    pub fn note_outside_terms(&self, consumer: OrganizationNumber, term: &'static str) {
        let consumer = self.consumer_or(consumer, Usage::default);
        let mut usage = consumer.usage.lock().unwrap_or_else(PoisonError::into_inner);
        usage.outside_terms(term);
    }

    /// How each consumer's day stands to those before it, by organisation number.
    pub fn days(&self, today: NaiveDate) -> Vec<ConsumerDay> {
        let consumers: Vec<_> = {
            let all = self.consumers.read().unwrap_or_else(PoisonError::into_inner);
            all.iter()
                .map(|(number, consumer)| (*number, Arc::clone(consumer)))
                .collect()
        };
        let day = |(number, consumer): (OrganizationNumber, Arc<Consumer>)| {
            let mut usage = consumer.usage.lock().unwrap_or_else(PoisonError::into_inner);
            usage.turn_to(today);
            usage.day_of(number, &self.settings)
        };
        let mut days: Vec<ConsumerDay> = consumers.into_iter().map(day).collect();
        days.sort_by_key(|day| day.consumer.as_u32());
        days
    }

    /// What was counted, by consumer and day, to be kept over a restart.
    pub fn history(&self) -> History {
        let consumers = self.consumers.read().unwrap_or_else(PoisonError::into_inner);
        let days = |consumer: &Consumer| {
            consumer
                .usage
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .days()
        };
        History::new(
            consumers
                .iter()
                .map(|(number, consumer)| (*number, days(consumer)))
                .collect(),
        )
    }

    /// What was counted here since this was asked last, for other instances.
    pub fn take_fresh(&self) -> Vec<Seen> {
        let consumers = self.consumers.read().unwrap_or_else(PoisonError::into_inner);
        let fresh = consumers.iter().flat_map(|(number, consumer)| {
            let mut usage = consumer.usage.lock().unwrap_or_else(PoisonError::into_inner);
            usage.take_fresh().into_iter().map(|(day, what)| Seen {
                consumer: *number,
                day,
                what,
            })
        });
        fresh.collect()
    }

    /// Counts what other instances have counted.
    pub fn learn(&self, seen: &[Seen]) {
        for seen in seen {
            let consumer = self.consumer_or(seen.consumer, Usage::default);
            let mut usage = consumer.usage.lock().unwrap_or_else(PoisonError::into_inner);
            usage.learn(seen.day, seen.what);
        }
    }

    fn consumer_or(&self, number: OrganizationNumber, usage: impl FnOnce() -> Usage) -> Arc<Consumer> {
        let known = self
            .consumers
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&number)
            .cloned();
        known.unwrap_or_else(|| {
            let quota =
                Quota::per_second(self.settings.rate_per_second).allow_burst(self.settings.rate_burst);
            let new = || {
                Arc::new(Consumer {
                    rate: RateLimiter::direct(quota),
                    usage: Mutex::new(usage()),
                })
            };
            let mut consumers = self.consumers.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(consumers.entry(number).or_insert_with(new))
        })
    }
}

#[cfg(test)]
mod tests;
