//! Days and periods. All days are days in `Europe/Oslo`.

use chrono::{DateTime, Datelike, Months, NaiveDate, TimeDelta, Utc};
use chrono_tz::Europe::Oslo;

/// The day it is in Oslo at a moment, whatever the clock of the machine is set to.
pub fn oslo_day(now: DateTime<Utc>) -> NaiveDate {
    now.with_timezone(&Oslo).date_naive()
}

/// How long it is until the next day begins in Oslo; a day may have 23 or 25 hours.
pub fn until_next_day(now: DateTime<Utc>) -> TimeDelta {
    let next = oslo_day(now).succ_opt().and_then(|day| day.and_hms_opt(0, 0, 0));
    let begins = next.and_then(|midnight| midnight.and_local_timezone(Oslo).earliest());
    begins.map_or(TimeDelta::days(1), |begins| begins.with_timezone(&Utc) - now)
}

/// Parses `YYYY-MM-DD` and nothing else; `None` for any other shape and for days that do not exist.
pub fn parse_day(text: &str) -> Option<NaiveDate> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = *text.as_bytes() else {
        return None;
    };
    // By hand: a delivery has millions of days, and a format that is read anew for each took a twentieth of its time.
    let number = |digits: &[u8]| {
        digits.iter().try_fold(0, |number: u32, digit| {
            let digit = char::from(*digit).to_digit(10)?;
            Some(number * 10 + digit)
        })
    };
    let year = number(&[y1, y2, y3, y4])?;
    let day = NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, number(&[m1, m2])?, number(&[d1, d2])?);
    // The calendar has no year 0.
    day.filter(|day| day.year() > 0)
}

/// The same day `years` back; 29 February becomes 28 February where there is none.
pub fn years_before(day: NaiveDate, years: u32) -> NaiveDate {
    day.checked_sub_months(Months::new(years.saturating_mul(12)))
        .unwrap_or(NaiveDate::MIN)
}

/// An interval of days, both inclusive, never reversed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    from: NaiveDate,
    to: NaiveDate,
}

impl Period {
    /// `None` when `to` lies before `from`.
    pub fn new(from: NaiveDate, to: NaiveDate) -> Option<Self> {
        (from <= to).then_some(Self { from, to })
    }

    /// First day, inclusive.
    pub fn from(&self) -> NaiveDate {
        self.from
    }

    /// Last day, inclusive.
    pub fn to(&self) -> NaiveDate {
        self.to
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn day_at(text: &str) -> String {
        let now: DateTime<Utc> = text.parse().unwrap();
        oslo_day(now).to_string()
    }

    #[test]
    fn today_follows_oslo_around_midnight_and_clock_changes() {
        for (now, day) in [
            ("2026-11-20T22:59:59Z", "2026-11-20"),
            ("2026-11-20T23:00:00Z", "2026-11-21"),
            ("2026-12-31T22:59:59Z", "2026-12-31"),
            ("2026-12-31T23:00:00Z", "2027-01-01"),
            ("2027-03-27T22:59:59Z", "2027-03-27"),
            ("2027-03-27T23:00:00Z", "2027-03-28"),
            ("2027-03-28T00:59:59Z", "2027-03-28"),
            ("2027-03-28T01:00:00Z", "2027-03-28"),
            ("2027-03-28T21:59:59Z", "2027-03-28"),
            ("2027-03-28T22:00:00Z", "2027-03-29"),
            ("2027-10-30T21:59:59Z", "2027-10-30"),
            ("2027-10-30T22:00:00Z", "2027-10-31"),
            ("2027-10-31T00:30:00Z", "2027-10-31"),
            ("2027-10-31T22:59:59Z", "2027-10-31"),
            ("2027-10-31T23:00:00Z", "2027-11-01"),
            ("2028-02-28T23:00:00Z", "2028-02-29"),
            ("2028-02-29T23:00:00Z", "2028-03-01"),
        ] {
            assert_eq!(day_at(now), day, "{now}");
        }
    }

    #[test]
    fn in_every_hour_of_a_year_the_day_is_one_or_two_hours_ahead_of_utc() {
        let start = Utc.with_ymd_and_hms(2027, 1, 1, 0, 0, 0).unwrap();
        let summer = Utc.with_ymd_and_hms(2027, 3, 28, 1, 0, 0).unwrap()
            ..Utc.with_ymd_and_hms(2027, 10, 31, 1, 0, 0).unwrap();
        for hour in 0..365 * 24 {
            let now = start + chrono::Duration::hours(hour);
            let ahead = if summer.contains(&now) { 2 } else { 1 };
            assert_eq!(
                oslo_day(now),
                (now + chrono::Duration::hours(ahead)).date_naive(),
                "{now}"
            );
        }
    }

    #[test]
    fn the_next_day_begins_at_midnight_in_oslo_even_when_clocks_change() {
        let hours = |now: &str| until_next_day(now.parse().unwrap()).num_hours();
        assert_eq!(hours("2026-11-20T22:00:00Z"), 1);
        assert_eq!(hours("2027-03-27T23:00:00Z"), 23);
        assert_eq!(hours("2027-10-30T22:00:00Z"), 25);
    }

    #[test]
    fn only_iso_days_that_exist_parse() {
        assert_eq!(parse_day("2028-02-29"), NaiveDate::from_ymd_opt(2028, 2, 29));
        for text in [
            "2027-02-29",
            "2027-2-01",
            "27-02-01",
            "2027-02-01T00:00",
            "+027-02-01",
            "2027/02/01",
            "",
            "２０２７-02-01",
        ] {
            assert_eq!(parse_day(text), None, "{text}");
        }
    }

    #[test]
    fn a_leap_day_has_its_anniversary_on_the_28th() {
        let day = |text: &str| parse_day(text).unwrap();
        assert_eq!(years_before(day("2028-02-29"), 10), day("2018-02-28"));
        assert_eq!(years_before(day("2028-02-29"), 4), day("2024-02-29"));
    }
}
