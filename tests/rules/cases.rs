//! "Cases that must hold", row by row, on days that are awkward in Oslo.

use crate::{bank, day, number};
use chrono::{DateTime, Days as DayCount, NaiveDate, Utc};
use kundeforhold::domain::calendar::{Period, oslo_day, years_before};
use kundeforhold::domain::overview::{Days, HeldRelationship, OwnershipFilter, OwnershipType, overview};
use kundeforhold::domain::participants::{Participant, Participants};
use kundeforhold::domain::relationship::{
    Agreement, Interval, Register, Relationship, RelationshipRecord, Role,
};

const CLOSED_YEARS: u32 = 10;

/// Moments, and the day that it is in Oslo then.
const MOMENTS: &[(&str, &str)] = &[
    ("2026-11-20T12:00:00Z", "2026-11-20"),
    ("2026-12-31T22:59:59Z", "2026-12-31"),
    ("2026-12-31T23:00:00Z", "2027-01-01"),
    ("2027-03-27T22:59:59Z", "2027-03-27"),
    ("2027-03-27T23:00:00Z", "2027-03-28"),
    ("2027-03-28T00:59:59Z", "2027-03-28"),
    ("2027-03-28T01:00:00Z", "2027-03-28"),
    ("2027-03-28T21:59:59Z", "2027-03-28"),
    ("2027-03-28T22:00:00Z", "2027-03-29"),
    ("2027-07-01T21:59:59Z", "2027-07-01"),
    ("2027-07-01T22:00:00Z", "2027-07-02"),
    ("2027-10-30T21:59:59Z", "2027-10-30"),
    ("2027-10-30T22:00:00Z", "2027-10-31"),
    ("2027-10-31T00:59:59Z", "2027-10-31"),
    ("2027-10-31T01:00:00Z", "2027-10-31"),
    ("2027-10-31T22:59:59Z", "2027-10-31"),
    ("2027-10-31T23:00:00Z", "2027-11-01"),
    ("2028-02-28T22:59:59Z", "2028-02-28"),
    ("2028-02-28T23:00:00Z", "2028-02-29"),
    ("2028-02-29T22:59:59Z", "2028-02-29"),
    ("2028-02-29T23:00:00Z", "2028-03-01"),
];

/// records of one bank | request | what is listed: activeAccount and ownershipType, `no`, or `no, counted`.
/// A record is its role, `+c` when creditable, `+f` when it holds funds, and its days. `covers DAY:` before the records
/// is the bank's `coversFrom`.
const CASES: &str = "
owner+c+f 2015-03-01..                            | 2020-01-01..today, false      | true primaryOwner
owner+c+f 2015-03-01..                            | 2020-01-01..yesterday, absent | false
owner+c+f 2015-03-01..                            | 2020-01-01..tomorrow, false   | false primaryOwner
owner+c+f 2015-03-01..yesterday                   | today..today, false           | no
owner+c+f 2015-03-01..yesterday                   | today..today, absent          | no
owner+c+f 2015-03-01..today                       | today..today, true            | true primaryOwner
other 2018-01-01..2019-06-30                      | 2019-06-30..2019-12-31, false | false notPrimaryOwner
other 2018-01-01..2019-06-30                      | 2019-06-30..2019-12-31, true  | no
other 2018-01-01..2019-06-30                      | 2019-07-01..2019-12-31, false | no
other 2018-01-01..2019-06-30                      | 2017-01-01..2018-01-01, false | false notPrimaryOwner
other 2018-01-01..2019-06-30                      | 2017-01-01..2017-12-31, false | no
unknown 2005-01-01..                              | 2018-01-01..2018-12-31, false | false unknown
unknown 2005-01-01..                              | 2018-01-01..2018-12-31, true  | no, counted
unknown 2005-01-01..                              | 2018-01-01..2018-12-31, true+ | false unknown
unknown 2005-01-01..2018-12-31; owner+f 2019-01-01.. | 2017-01-01..2018-12-31, false | false unknown
unknown 2005-01-01..2018-12-31; owner+f 2019-01-01.. | 2017-01-01..2019-01-01, false | false primaryOwner
covers 2019-01-01: other 2019-01-01..             | 2017-01-01..2019-12-31, false | false unknown
covers 2019-01-01: other 2019-01-01..             | 2017-01-01..2019-12-31, true  | no, counted
covers 2019-01-01: other 2019-01-01..             | 2017-01-01..2019-12-31, true+ | false unknown
covers 2019-01-01: other 2019-01-01..             | 2017-01-01..2019-12-31, absent | false
covers 2019-01-01: other 2019-01-01..             | 2018-12-31..2019-12-31, false | false unknown
covers 2019-01-01: other 2019-01-01..             | 2019-01-01..2019-12-31, false | false notPrimaryOwner
covers 2019-01-01: other 2019-01-01..             | 2017-01-01..2018-12-31, true  | no
covers 2019-01-01: owner+f 2019-01-01..           | 2017-01-01..2019-12-31, true  | false primaryOwner
owner+c 2021-05-05..                              | today..today, false           | true notPrimaryOwner
secondaryOwner+c+f 2021-05-05..                   | today..today, false           | true notPrimaryOwner
other+c 2021-05-05..                              | today..today, false           | false notPrimaryOwner
owner+f 2021-05-05..                              | today..today, false           | false primaryOwner
KFR:unknown 2021-05-05..                          | today..today, false           | false unknown
KFR:owner 2021-05-05..                            | today..today, false           | false primaryOwner
owner+c+f tomorrow..                              | today..tomorrow, false        | no
owner+c+f tomorrow..                              | today..tomorrow, absent       | no
owner+c+f today..                                 | today..today, false           | true primaryOwner
";

#[test]
fn every_case_of_the_specification_holds_on_every_awkward_day() {
    let rows: Vec<&str> = CASES.lines().filter(|line| !line.is_empty()).collect();
    assert_eq!(rows.len(), 33);
    for (moment, expected_day) in MOMENTS {
        let today = oslo_day(moment.parse::<DateTime<Utc>>().unwrap());
        assert_eq!(today, day(expected_day), "{moment}");
        for row in &rows {
            let cells: Vec<&str> = row.split('|').map(str::trim).collect();
            let [records, request, expected] = cells[..] else {
                panic!("three cells: {row}")
            };
            assert_eq!(answer(records, request, today), expected, "at {moment}: {row}");
        }
    }
}

/// The answer to one row, written as the table writes it.
fn answer(records: &str, request: &str, today: NaiveDate) -> String {
    let (covers_from, records) = match records.strip_prefix("covers ") {
        Some(covering) => covering
            .split_once(": ")
            .map(|(first, records)| (Some(day(first)), records))
            .unwrap(),
        None => (None, records),
    };
    let held: Vec<HeldRelationship> = records
        .split(';')
        .map(|record| HeldRelationship {
            bank: number(0),
            relationship: relationship(record.trim(), today),
        })
        .collect();
    let (days, only_primary_owner) = request.split_once(", ").unwrap();
    let (from, to) = days.split_once("..").unwrap();
    let period = Period::new(named_day(from, today), named_day(to, today)).unwrap();
    let covering = Participant {
        covers_from,
        ..bank(0)
    };
    let participants = Participants::new(vec![covering, bank(1)]).unwrap();
    let at = Days {
        today,
        retained_from: years_before(today, CLOSED_YEARS),
    };
    let filter = filter(only_primary_owner);
    let found = overview(&held, &participants, &period, filter, &at).unwrap();
    match (&found.banks[..], found.unknown_ownership) {
        ([], 0) => "no".to_owned(),
        ([], 1) => "no, counted".to_owned(),
        ([listed], 0) if filter == OwnershipFilter::Absent => listed.standing.active_account.to_string(),
        ([listed], 0) => {
            let ownership = match listed.standing.ownership {
                OwnershipType::PrimaryOwner => "primaryOwner",
                OwnershipType::NotPrimaryOwner => "notPrimaryOwner",
                OwnershipType::Unknown => "unknown",
            };
            format!("{} {ownership}", listed.standing.active_account)
        }
        (banks, counted) => panic!("{} banks listed, {counted} counted", banks.len()),
    }
}

fn filter(only_primary_owner: &str) -> OwnershipFilter {
    match only_primary_owner {
        "absent" => OwnershipFilter::Absent,
        "false" => OwnershipFilter::All,
        "true" => OwnershipFilter::OnlyPrimaryOwner,
        "true+" => OwnershipFilter::PrimaryOwnerOrUnknown,
        other => panic!("{other}"),
    }
}

fn relationship(text: &str, today: NaiveDate) -> Relationship {
    let (what, days) = text.split_once(' ').unwrap();
    let (from, to) = days.split_once("..").unwrap();
    let to = (!to.is_empty()).then(|| named_day(to, today));
    let interval = Interval::new(named_day(from, today), to).unwrap();
    if let Some(kfr_role) = what.strip_prefix("KFR:") {
        let role = role(kfr_role);
        let creditable = RelationshipRecord::creditable_by_default(Register::Kfr, &Agreement::CustomerLevel);
        let holds_funds = RelationshipRecord::holds_funds_by_default(role);
        return Relationship::new(role, creditable, holds_funds, interval);
    }
    let mut parts = what.split('+');
    let role = role(parts.next().unwrap());
    let flags: Vec<&str> = parts.collect();
    Relationship::new(role, flags.contains(&"c"), flags.contains(&"f"), interval)
}

fn role(text: &str) -> Role {
    match text {
        "owner" => Role::Owner,
        "secondaryOwner" => Role::SecondaryOwner,
        "other" => Role::Other,
        "unknown" => Role::Unknown,
        other => panic!("{other}"),
    }
}

fn named_day(text: &str, today: NaiveDate) -> NaiveDate {
    match text {
        "today" => today,
        "yesterday" => today - DayCount::new(1),
        "tomorrow" => today + DayCount::new(1),
        text => day(text),
    }
}

#[test]
fn what_ended_ten_years_ago_is_answered_and_what_ended_a_day_earlier_is_not() {
    for (today, last_day_kept) in [
        ("2026-11-20", "2016-11-20"),
        ("2027-01-01", "2017-01-01"),
        ("2028-02-29", "2018-02-28"),
        ("2028-03-01", "2018-03-01"),
    ] {
        let (today, kept) = (day(today), day(last_day_kept));
        let forgotten = kept - DayCount::new(1);
        for (to, expected) in [(kept, "false primaryOwner"), (forgotten, "no")] {
            let record = format!("owner+c+f 2001-01-01..{to}");
            assert_eq!(
                answer(&record, "2001-01-01..today, false", today),
                expected,
                "{today} {to}"
            );
        }
    }
}

#[test]
fn a_question_about_days_before_those_kept_says_so() {
    let today = day("2028-02-29");
    let days = Days {
        today,
        retained_from: years_before(today, CLOSED_YEARS),
    };
    let participants = Participants::new(vec![bank(0)]).unwrap();
    for (from, expected) in [("2018-02-27", true), ("2018-02-28", false), ("2028-02-29", false)] {
        let period = Period::new(day(from), today).unwrap();
        let found = overview(&[], &participants, &period, OwnershipFilter::Absent, &days).unwrap();
        assert_eq!(found.before_retention, expected, "{from}");
    }
}
