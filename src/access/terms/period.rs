//! Which dates a service admits on a day.

use crate::domain::calendar::{Period, years_before};
use chrono::{Datelike, Days, NaiveDate};
use std::num::NonZeroU8;

/// The day a question is judged by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Today {
    /// In Oslo.
    pub day: NaiveDate,
    /// Where today is demanded, this many days before it will do too: a caller whose clock is in UTC is a day
    /// behind just after midnight in Oslo (`access.today_grace_days`).
    pub grace_days: u8,
}

/// The period that a service may ask about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeriodRule {
    Any,
    /// `fromDate` at most this many years before today.
    YearsBack(NonZeroU8),
    /// The same, and `toDate` is today.
    YearsBackToToday(NonZeroU8),
    PreviousCalendarYear,
    TodayOnly,
}

/// Bounds, all inclusive, of the two dates; `None` is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AllowedDates {
    pub earliest_from: Option<NaiveDate>,
    pub latest_from: Option<NaiveDate>,
    pub earliest_to: Option<NaiveDate>,
    pub latest_to: Option<NaiveDate>,
}

impl PeriodRule {
    /// Whether a period is inside.
    pub fn admits(self, period: &Period, today: Today) -> bool {
        let dates = self.dates_on(today);
        let inside = |day: NaiveDate, earliest: Option<NaiveDate>, latest: Option<NaiveDate>| {
            earliest.is_none_or(|earliest| earliest <= day) && latest.is_none_or(|latest| day <= latest)
        };
        inside(period.from(), dates.earliest_from, dates.latest_from)
            && inside(period.to(), dates.earliest_to, dates.latest_to)
    }

    /// The dates that are admitted. No `fromDate` lies after today anyway, whatever the service.
    pub fn dates_on(self, today: Today) -> AllowedDates {
        let day = today.day;
        let earliest_today = day
            .checked_sub_days(Days::new(today.grace_days.into()))
            .unwrap_or(day);
        let unbounded = AllowedDates {
            earliest_from: None,
            latest_from: Some(day),
            earliest_to: None,
            latest_to: None,
        };
        let back = |years: NonZeroU8| Some(years_before(day, years.get().into()));
        match self {
            Self::Any => unbounded,
            Self::YearsBack(years) => AllowedDates {
                earliest_from: back(years),
                ..unbounded
            },
            Self::YearsBackToToday(years) => AllowedDates {
                earliest_from: back(years),
                latest_from: Some(day),
                earliest_to: Some(earliest_today),
                latest_to: Some(day),
            },
            Self::PreviousCalendarYear => {
                let (first, last) = (
                    NaiveDate::from_ymd_opt(day.year() - 1, 1, 1),
                    NaiveDate::from_ymd_opt(day.year() - 1, 12, 31),
                );
                AllowedDates {
                    earliest_from: first,
                    latest_from: last,
                    earliest_to: first,
                    latest_to: last,
                }
            }
            Self::TodayOnly => AllowedDates {
                earliest_from: Some(earliest_today),
                latest_from: Some(day),
                earliest_to: Some(earliest_today),
                latest_to: Some(day),
            },
        }
    }
}
