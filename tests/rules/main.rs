//! The rules of the specification: its table of cases, random questions against a second, naive model, and what is kept
//! of a caller's text.

mod cases;
mod model;
mod noted;
mod participants;
mod random;
mod seen;

use chrono::{NaiveDate, TimeDelta};
use kundeforhold::domain::identifiers::OrganizationNumber;
use kundeforhold::domain::participants::{Merger, Participant};
use kundeforhold::domain::relationship::{Register, Role};

fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

/// Valid organisation numbers, in ascending order.
const NUMBERS: [&str; 6] = [
    "123456785",
    "810059672",
    "889640782",
    "974760673",
    "974761076",
    "988077917",
];

fn number(at: usize) -> OrganizationNumber {
    OrganizationNumber::parse(NUMBERS[at]).unwrap()
}

/// A bank in both registers that has not merged.
fn bank(at: usize) -> Participant {
    Participant {
        organization: number(at),
        name: format!("Bank {at}"),
        registers: vec![Register::Kar, Register::Kfr],
        stale_after: TimeDelta::hours(36),
        covers_from: None,
        kfr_role: Role::Unknown,
        merger: None,
        paused: false,
    }
}

fn merged(at: usize, successor: usize, merged_on: NaiveDate) -> Participant {
    let merger = Merger {
        successor: number(successor),
        merged_on,
    };
    Participant {
        merger: Some(merger),
        ..bank(at)
    }
}
