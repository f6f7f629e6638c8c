//! Whether the nation's answers are complete and fresh, at a glance.

use super::chart::Chart;
use super::deliveries::failed;
use super::format::{Moment, age, count, counted, moment, number, rate, short};
use super::operator::Operator;
use super::page::{Frame, Section, page};
use super::refusal::ConsoleRefusal;
use super::{Console, arrival};
use crate::register::oversight::{CoverageCounts, banks};
use crate::register::statistics::{SLOTS, Summary};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    waiting_for: Vec<&'static str>,
    coverage: Coverage,
    lookups: Lookups,
    register: Register,
    record: Record,
    keys: String,
    keys_ready: bool,
    running: usize,
    running_text: String,
}

struct Coverage {
    complete: bool,
    current: String,
    stale: usize,
    missing: usize,
    paused: usize,
    merged: usize,
    /// Those that are not fresh, by name.
    late: Vec<LateBank>,
}

struct LateBank {
    number: String,
    name: String,
    state: &'static str,
    last_delivery: Option<Moment>,
}

struct Lookups {
    per_second: String,
    p50: String,
    p99: String,
    refused: String,
    over_limit: String,
    shed: String,
    failed: String,
    chart: Option<Chart>,
}

/// The store, and the cache in front of it.
struct Register {
    writable: bool,
    /// `None`: there is none.
    cache_reachable: Option<bool>,
}

struct Record {
    head: String,
    hash: String,
    writable: bool,
    waiting: String,
    last: String,
}

pub async fn show(operator: Operator) -> Result<HttpResponse, ConsoleRefusal> {
    let console = &operator.console;
    let banks = banks(&console.lookup, &console.delivery, &arrival())
        .await
        .map_err(failed)?;
    let running = banks.iter().flat_map(|bank| &bank.sets);
    let running = running.filter(|set| set.running.is_some()).count();
    let statuses: Vec<_> = banks.into_iter().map(|bank| bank.status).collect();
    let keys = console.readiness.keys.key_set_age();
    let view = Overview {
        frame: Frame::new(&operator, Section::Overview, "Overview").live(),
        waiting_for: console.readiness.waiting_for(),
        coverage: coverage(&statuses),
        lookups: lookups(console),
        register: Register {
            writable: console.readiness.store.is_writable(),
            cache_reachable: console.lookup.cache_is_reachable(),
        },
        record: record(console),
        keys: keys.map_or_else(|| "never".to_owned(), |since| format!("{} ago", age(since))),
        keys_ready: console.readiness.keys.ready(),
        running,
        running_text: counted(running, "delivery", "deliveries"),
    };
    Ok(page(&operator, StatusCode::OK, &view))
}

fn coverage(banks: &[crate::register::lookup::ParticipantStatus]) -> Coverage {
    let counts = CoverageCounts::of(banks);
    let late = banks.iter().filter_map(|bank| {
        let state = super::banks::state_word(bank.state);
        super::banks::is_late(bank.state).then(|| LateBank {
            number: bank.organization.to_string(),
            name: bank.name.clone(),
            state,
            last_delivery: bank.last_delivery.map(moment),
        })
    });
    Coverage {
        complete: counts.stale == 0 && counts.not_loaded == 0,
        current: count(counts.current),
        stale: counts.stale,
        missing: counts.not_loaded,
        paused: counts.paused,
        merged: counts.merged,
        late: late.collect(),
    }
}

fn lookups(console: &Console) -> Lookups {
    let Summary {
        per_second,
        p50,
        p99,
        answered: _,
        refused,
        over_limit,
        shed,
        failed,
    } = console.statistics.summary();
    let trend = console.statistics.trend();
    let most = trend.iter().copied().fold(0.0, f64::max);
    let label = format!(
        "Lookups a second over the last 15 minutes, {} at most",
        rate(most)
    );
    let time = |took: Option<_>| took.map_or_else(|| "–".to_owned(), short);
    Lookups {
        per_second: rate(per_second),
        p50: time(p50),
        p99: time(p99),
        refused: number(refused),
        over_limit: number(over_limit),
        shed: number(shed),
        failed: number(failed),
        chart: Chart::with_room(SLOTS - 1, &trend, 720.0, 88.0, true, label),
    }
}

fn record(console: &Console) -> Record {
    let recorder = &console.readiness.recorder;
    let (head, lag) = (recorder.head(), recorder.lag());
    Record {
        head: number(head.sequence),
        hash: head.hash,
        writable: recorder.writable(),
        waiting: number(lag.waiting),
        last: short(lag.last),
    }
}
