//! How each bank stands.

use super::arrival;
use super::chart::Chart;
use super::deliveries::failed;
use super::format::{Moment, bytes, moment, number};
use super::operator::Operator;
use super::page::{Frame, Section, page};
use super::refusal::ConsoleRefusal;
use crate::domain::delivery::DeliveryKind;
use crate::register::delivery::Running;
use crate::register::lookup::ParticipantState;
use crate::register::oversight::{BankStanding, SetStanding, banks};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

#[derive(Template)]
#[template(path = "banks.html")]
struct Banks {
    frame: Frame,
    banks: Vec<BankRow>,
}

pub struct BankRow {
    pub number: String,
    pub name: String,
    /// For the style: the shape and the colour follow from it.
    pub state: &'static str,
    pub state_text: &'static str,
    pub sets: Vec<SetRow>,
}

pub struct SetRow {
    pub register: &'static str,
    pub last_delivery: Option<Moment>,
    pub records: String,
    pub rejected: String,
    pub has_rejects: bool,
    pub trend: Option<Chart>,
    pub running: Option<RunningRow>,
}

/// A delivery under way.
pub struct RunningRow {
    pub kind: &'static str,
    /// Of a hundred, where it is known how much will come.
    pub percent: Option<u64>,
    pub text: String,
}

pub async fn show(operator: Operator) -> Result<HttpResponse, ConsoleRefusal> {
    let console = &operator.console;
    let standings = banks(&console.lookup, &console.delivery, &arrival())
        .await
        .map_err(failed)?;
    let view = Banks {
        frame: Frame::new(&operator, Section::Banks, "Banks").live(),
        banks: standings.iter().map(BankRow::new).collect(),
    };
    Ok(page(&operator, StatusCode::OK, &view))
}

impl BankRow {
    pub fn new(bank: &BankStanding) -> Self {
        Self {
            number: bank.status.organization.to_string(),
            name: bank.status.name.clone(),
            state: state_word(bank.status.state),
            state_text: state_text(bank.status.state),
            sets: bank.sets.iter().map(SetRow::new).collect(),
        }
    }
}

impl SetRow {
    fn new(set: &SetStanding) -> Self {
        let or_dash = |count: Option<u64>| count.map_or_else(|| "–".to_owned(), number);
        Self {
            register: set.set.register.name(),
            last_delivery: set.last_delivery.map(moment),
            records: or_dash(set.records),
            rejected: or_dash(set.rejected),
            has_rejects: set.rejected.is_some_and(|rejected| rejected > 0),
            trend: trend(set),
            running: set.running.as_ref().map(RunningRow::new),
        }
    }
}

fn trend(set: &SetStanding) -> Option<Chart> {
    let (first, last) = (set.trend.first()?, set.trend.last()?);
    let values: Vec<f64> = set.trend.iter().map(|(_, records)| *records as f64).collect();
    let label = format!(
        "Records over the last {} deliveries: from {} to {}",
        values.len(),
        number(first.1),
        number(last.1)
    );
    Chart::new(&values, 112.0, 28.0, false, label)
}

impl RunningRow {
    fn new(running: &Running) -> Self {
        let progress = &running.progress;
        // Lines are taken block by block.
        let lines = match progress.lines() {
            0 => String::new(),
            lines => format!(" · {} lines", number(lines)),
        };
        let expected = progress.expected_bytes.filter(|expected| *expected > 0);
        let percent = expected.map(|expected| (progress.bytes().saturating_mul(100) / expected).min(100));
        let text = match (running.kind, percent, expected) {
            (DeliveryKind::Rollback, _, _) => "being put back".to_owned(),
            (_, Some(100), _) => format!("all of it is here, being published{lines}"),
            (_, Some(percent), Some(expected)) => format!(
                "{percent} % · {} of {}{lines}",
                bytes(progress.bytes()),
                bytes(expected)
            ),
            (_, _, _) => format!("{} so far{lines}", bytes(progress.bytes())),
        };
        Self {
            kind: kind_text(running.kind),
            percent,
            text,
        }
    }
}

pub fn kind_text(kind: DeliveryKind) -> &'static str {
    match kind {
        DeliveryKind::WholeSet => "Whole set",
        DeliveryKind::Changes => "Changes",
        DeliveryKind::Batch => "Batch",
        DeliveryKind::Rollback => "Rollback",
        DeliveryKind::KfrCalls => "KFR calls of a day",
    }
}

pub fn state_word(state: ParticipantState) -> &'static str {
    match state {
        ParticipantState::Current => "good",
        ParticipantState::Stale => "late",
        ParticipantState::NotLoaded => "bad",
        ParticipantState::Merged | ParticipantState::Paused => "idle",
    }
}

fn state_text(state: ParticipantState) -> &'static str {
    match state {
        ParticipantState::Current => "Fresh",
        ParticipantState::Stale => "Stale",
        ParticipantState::NotLoaded => "Missing",
        ParticipantState::Merged => "Merged",
        ParticipantState::Paused => "Paused",
    }
}

/// Whether its records in answers are old, or not there.
pub fn is_late(state: ParticipantState) -> bool {
    match state {
        ParticipantState::Stale | ParticipantState::NotLoaded => true,
        ParticipantState::Current | ParticipantState::Merged | ParticipantState::Paused => false,
    }
}
