//! The record of use: whether it holds, and who asked what. Results name cases and calls, never customers.

use super::Console;
use super::format::{Moment, moment, number, short};
use super::operator::{Form, Operator};
use super::page::{Frame, Section, page, see_other};
use super::refusal::ConsoleRefusal;
use super::verifier::{Outcome, Running};
use crate::record::{Deed, Found, OperatorAct, Query, Reading, Record};
use actix_web::HttpResponse;
use actix_web::http::StatusCode;
use askama::Template;
use chrono::Utc;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use uuid::Uuid;

/// Entries that a search shows.
const MOST_FOUND: usize = 200;
/// `audit search` has more time.
const LONGEST_SEARCH: Duration = Duration::from_secs(20);

#[derive(Template)]
#[template(path = "record.html")]
struct RecordPage {
    frame: Frame,
    head: String,
    hash: String,
    instance: String,
    running: Option<RunningProof>,
    proof: Option<Proof>,
    case: String,
    correlation: String,
    fault: Option<&'static str>,
    results: Option<Results>,
}

struct RunningProof {
    percent: u64,
    text: String,
}

struct Proof {
    at: Moment,
    holds: bool,
    text: String,
}

struct Results {
    rows: Vec<Row>,
    read: String,
    complete: bool,
}

/// What is shown of an entry.
struct Row {
    at: Moment,
    who: String,
    what: String,
    service: String,
    status: String,
    case: String,
    correlation: String,
    banks: Vec<String>,
    place: String,
}

/// What was looked for, as it was typed.
#[derive(Default)]
struct Sought {
    case: String,
    correlation: String,
    fault: Option<&'static str>,
    results: Option<Results>,
}

pub async fn show(operator: Operator) -> HttpResponse {
    respond(&operator, StatusCode::OK, Sought::default())
}

/// Proves the record in the background; the page tells how far it is.
pub async fn verify(form: Form) -> HttpResponse {
    let console = &form.operator.console;
    let stop = Arc::clone(&console.readiness.draining);
    console.verifier.begin(&console.readiness.recorder, stop);
    see_other("/console/record")
}

/// Searches, records that it was done, and only then shows what was found.
pub async fn search(form: Form) -> Result<HttpResponse, ConsoleRefusal> {
    let operator = &form.operator;
    let mut sought = Sought {
        case: form.field("case").to_owned(),
        correlation: form.field("correlation").to_owned(),
        ..Sought::default()
    };
    let query = match query_of(&sought) {
        Ok(query) => query,
        Err(fault) => {
            sought.fault = Some(fault);
            return Ok(respond(operator, StatusCode::BAD_REQUEST, sought));
        }
    };
    let Ok(only) = Arc::clone(&operator.console.searches).try_acquire_owned() else {
        sought.fault = Some("Another search is under way. Try again in a moment.");
        return Ok(respond(operator, StatusCode::SERVICE_UNAVAILABLE, sought));
    };
    let found = find(&operator.console, query.clone(), only).await;
    sought.results = recorded(operator, &query, found)
        .await?
        .map(|found| results(&found));
    let status = match &sought.results {
        Some(_) => StatusCode::OK,
        None => StatusCode::INTERNAL_SERVER_ERROR,
    };
    sought.fault = sought
        .results
        .is_none()
        .then_some("The record could not be read to its end. Verify it: it may be damaged.");
    Ok(respond(operator, status, sought))
}

fn query_of(sought: &Sought) -> Result<Query, &'static str> {
    let id = |text: &str| match text.is_empty() {
        true => Ok(None),
        false => Uuid::try_parse(text).map(Some),
    };
    let case = id(&sought.case).map_err(|_| "A case is an AccountInfoRequestID, which is a UUID.")?;
    let correlation = id(&sought.correlation).map_err(|_| "A CorrelationID is a UUID.")?;
    if case.is_none() && correlation.is_none() {
        return Err("Give a case or a correlation to look for.");
    }
    Ok(Query {
        case,
        correlation,
        ..Query::default()
    })
}

/// `None`: the record could not be read, which the process log tells.
async fn find(console: &Console, query: Query, only: OwnedSemaphorePermit) -> Option<Found> {
    let recorder = console.readiness.recorder.clone();
    let deadline = Instant::now() + LONGEST_SEARCH;
    let reading = Reading::until(Arc::clone(&console.readiness.draining), Some(deadline));
    let found = in_background(only, move || recorder.find(&query, MOST_FOUND, &reading));
    match found.await {
        Ok(Ok(found)) => Some(found),
        Ok(Err(cause)) => {
            tracing::error!(%cause, "the record of use could not be searched");
            None
        }
        Err(_) => None,
    }
}

/// Reads on a thread of its own. The permit is held until that ends, which it does not when a caller goes away.
fn in_background<T: Send + 'static>(
    only: OwnedSemaphorePermit,
    read: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    tokio::task::spawn_blocking(move || {
        let _only = only;
        read()
    })
}

async fn recorded(
    operator: &Operator,
    query: &Query,
    found: Option<Found>,
) -> Result<Option<Found>, ConsoleRefusal> {
    let status = if found.is_some() {
        StatusCode::OK
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    };
    let act = OperatorAct {
        at: Utc::now(),
        operator: operator.session.actor(),
        correlation: Uuid::new_v4(),
        deed: Deed::Search {
            case: query.case,
            correlation: query.correlation,
        },
        status: status.as_u16(),
    };
    let recorder = &operator.console.readiness.recorder;
    let recorded = recorder.record_act(&act, found).await.map_err(|cause| {
        tracing::error!(%cause, "a search could not be recorded");
        ConsoleRefusal::Unrecorded
    })?;
    Ok(recorded.into_answer())
}

fn respond(operator: &Operator, status: StatusCode, sought: Sought) -> HttpResponse {
    let console = &operator.console;
    let (head, verification) = (console.readiness.recorder.head(), console.verifier.look());
    let frame = Frame::new(operator, Section::Record, "Record of use");
    // The answer to a form cannot be fetched anew.
    let is_answer = sought.results.is_some() || sought.fault.is_some();
    let view = RecordPage {
        frame: if is_answer { frame } else { frame.live() },
        head: number(head.sequence),
        hash: head.hash,
        instance: head.instance.to_string(),
        running: verification.running.as_ref().map(RunningProof::new),
        proof: verification.last.as_ref().map(Proof::new),
        case: sought.case,
        correlation: sought.correlation,
        fault: sought.fault,
        results: sought.results,
    };
    page(operator, status, &view)
}

impl RunningProof {
    fn new(running: &Running) -> Self {
        let read = running.reading.entries();
        Self {
            percent: (read.saturating_mul(100) / running.up_to.max(1)).min(100),
            text: format!("{} of {} entries", number(read), number(running.up_to)),
        }
    }
}

impl Proof {
    fn new(outcome: &Outcome) -> Self {
        let (holds, text) = match &outcome.result {
            Ok(proved) if proved.complete => {
                let (entries, head) = (number(proved.entries), number(proved.sequence));
                let took = short(outcome.took);
                (
                    true,
                    format!("{entries} entries proved up to number {head}, in {took}"),
                )
            }
            Ok(proved) => (
                false,
                format!("ended early, at number {}", number(proved.sequence)),
            ),
            Err(fault) => (false, fault.clone()),
        };
        Self {
            at: moment(outcome.at),
            holds,
            text,
        }
    }
}

fn results(found: &Found) -> Results {
    Results {
        rows: found.records.iter().rev().map(Row::new).collect(),
        read: number(found.looked.indexed + found.looked.proved),
        complete: found.complete,
    }
}

impl Row {
    fn new(record: &Record) -> Self {
        let endpoint = serde_json::to_value(record.endpoint).unwrap_or_default();
        let id = |id: Option<Uuid>| id.map_or_else(String::new, |id| id.to_string());
        let service = record.service.clone().unwrap_or_default();
        Self {
            at: moment(record.time),
            who: record
                .consumer
                .clone()
                .or_else(|| record.operator.clone())
                .unwrap_or_default(),
            what: match record.calls {
                Some(calls) => format!("{calls} calls turned away"),
                None => endpoint.as_str().unwrap_or_default().to_owned(),
            },
            service: match &record.outside_terms {
                Some(term) => format!("{service} outside {term}").trim().to_owned(),
                None => service,
            },
            status: record
                .status
                .map_or_else(String::new, |status| status.to_string()),
            case: id(record.case),
            correlation: id(record.correlation),
            banks: record.banks.clone(),
            place: number(record.sequence),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn a_search_that_nobody_waits_for_still_keeps_out_the_next() {
        let searches = Arc::new(Semaphore::new(1));
        let ((begin, begun), (end, ended)) = (mpsc::channel(), mpsc::channel::<()>());
        let only = Arc::clone(&searches).try_acquire_owned().unwrap();
        drop(in_background(only, move || {
            begin.send(()).unwrap();
            ended.recv()
        }));
        begun.recv().unwrap();
        assert!(Arc::clone(&searches).try_acquire_owned().is_err());
        drop(end);
        let next = tokio::time::timeout(LONGEST_SEARCH, searches.acquire()).await;
        assert!(next.is_ok_and(|next| next.is_ok()));
    }
}
