//! Logs, traces and metrics of the process.

mod json;
mod lines;
mod traces;

pub use traces::{Traces, TracesError};

use crate::config::{LogLevel, LogSettings, TraceSettings, wants_colors};
use json::JsonLines;
use lines::gathered;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use std::io::IsTerminal;
use traces::Exported;
use tracing_appender::non_blocking::WorkerGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Upper bounds of the latency histograms, in seconds. Requests are deliveries too, which can take an hour.
const LATENCY_BUCKETS: [f64; 16] = [
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 15.0, 60.0, 600.0, 3600.0,
];

/// The same of deliveries, of which the largest take minutes.
const DELIVERY_BUCKETS: [f64; 10] = [0.01, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0];
const DELIVERY_SECONDS: &str = "kundeforhold_delivery_seconds";

/// Where log lines go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTarget {
    /// `serve`: JSON lines when standard output is not a terminal.
    Stdout,
    /// Every other command.
    Stderr,
}

/// Sends log lines to their target from now on. Later calls change nothing.
pub fn log_to(target: LogTarget, level: LogLevel) {
    begin(target, level, JsonLines::default(), None);
}

/// The same, and exports spans if the settings say where.
pub fn log_and_trace(
    target: LogTarget,
    log: &LogSettings,
    traces: &TraceSettings,
) -> Result<(LogLines, Traces), TracesError> {
    let traces = Traces::open(traces)?;
    let json = JsonLines {
        with_severity: log.severity,
    };
    let lines = begin(target, log.level, json, traces.layer());
    Ok((lines, traces))
}

/// Lines that are still to be written are, when this is dropped.
pub struct LogLines {
    _writing: Option<WorkerGuard>,
}

fn begin(target: LogTarget, level: LogLevel, json: JsonLines, spans: Option<Exported>) -> LogLines {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    // What the servers say about their own threads helps nobody who operates the service.
    let libraries = [
        "actix_server",
        "actix_web",
        "opentelemetry_sdk",
        "opentelemetry-otlp",
    ];
    let filter = Targets::new()
        .with_default(level)
        .with_targets(libraries.map(|library| (library, LevelFilter::WARN.min(level))))
        // An error for every caller that sends no request or goes away; `http::connection` tells of those.
        .with_target("actix_http::h1::dispatcher", LevelFilter::OFF);
    // It would tell of a log that cannot be written on standard error, and panic if that cannot be either.
    let lines = tracing_subscriber::fmt::layer()
        .log_internal_errors(false)
        .with_target(false);
    let mut guard = None;
    let lines = match target {
        LogTarget::Stdout if std::io::stdout().is_terminal() => lines.with_ansi(wants_colors()).boxed(),
        LogTarget::Stdout => {
            let (out, writing) = gathered();
            guard = Some(writing);
            let lines = lines.event_format(json).fmt_fields(json);
            lines.with_writer(out).boxed()
        }
        LogTarget::Stderr => lines
            .with_ansi(wants_colors() && std::io::stderr().is_terminal())
            .with_writer(std::io::stderr)
            .boxed(),
    };
    let set = tracing_subscriber::registry()
        .with(spans)
        .with(lines.with_filter(filter))
        .try_init();
    if set.is_ok() {
        keep_panics_quiet();
    }
    LogLines { _writing: guard }
}

/// A panic's message could hold what was being handled; its place is enough to find the defect.
fn keep_panics_quiet() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(place, "a defect was met");
    }));
}

/// Collects metrics from now on, for the whole process.
pub fn collect_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets(&LATENCY_BUCKETS)?
        .set_buckets_for_metric(Matcher::Full(DELIVERY_SECONDS.to_owned()), &DELIVERY_BUCKETS)?
        .install_recorder()?;
    metrics::describe_counter!(
        "kundeforhold_requests_total",
        "Requests by endpoint, status and consumer"
    );
    metrics::describe_histogram!(
        "kundeforhold_request_seconds",
        metrics::Unit::Seconds,
        "Time to answer, by endpoint, status and consumer"
    );
    metrics::describe_counter!("kundeforhold_refusals_total", "Refused callers by reason");
    metrics::describe_counter!(
        "kundeforhold_shed_total",
        "Lookups refused at once, since too many were under way"
    );
    metrics::describe_counter!(
        "kundeforhold_connections_closed_total",
        "Connections closed since their clients did not take what they were answered"
    );
    metrics::describe_gauge!("kundeforhold_ready", "1 when ready");
    metrics::describe_counter!(
        "kundeforhold_contested_accounts_total",
        "Account lookups that found two banks at once"
    );
    describe_record();
    describe_deliveries();
    describe_store();
    describe_operation();
    describe_deeds();
    begin_at_zero();
    metrics::gauge!("kundeforhold_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(handle)
}

fn describe_record() {
    metrics::describe_histogram!(
        "kundeforhold_record_append_seconds",
        metrics::Unit::Seconds,
        "Time until a record is durable"
    );
    metrics::describe_counter!(
        "kundeforhold_record_failures_total",
        "Calls refused because they could not be recorded"
    );
    metrics::describe_gauge!(
        "kundeforhold_record_head",
        "Number of the last durable record of use"
    );
    metrics::describe_gauge!(
        "kundeforhold_record_lag_entries",
        "Records of use that wait to be made durable"
    );
    metrics::describe_gauge!(
        "kundeforhold_record_free_bytes",
        metrics::Unit::Bytes,
        "Room that is left on the disk of the record of use"
    );
    metrics::describe_gauge!(
        "kundeforhold_record_bytes",
        metrics::Unit::Bytes,
        "Size of the record of use"
    );
    metrics::describe_gauge!(
        "kundeforhold_record_wal_bytes",
        metrics::Unit::Bytes,
        "Log of the record of use, which is not in its file yet"
    );
    metrics::describe_gauge!(
        "kundeforhold_record_unindexed_entries",
        "Records of use that every search has to read"
    );
}

/// A rate cannot see the first event of a counter that begins with it.
fn begin_at_zero() {
    for reason in [
        "authentication",
        "system_user",
        "scope",
        "bank",
        "terms",
        "rate",
        "daily_customers",
        "refusals",
    ] {
        metrics::counter!("kundeforhold_refusals_total", "reason" => reason).absolute(0);
    }
    for file in ["participants", "terms", "tls", "management_tls"] {
        metrics::gauge!("kundeforhold_file_refused", "file" => file).set(0.0);
    }
    metrics::counter!("kundeforhold_record_failures_total").absolute(0);
    metrics::counter!("kundeforhold_shed_total").absolute(0);
    metrics::counter!("kundeforhold_connections_closed_total", "reason" => "not_read").absolute(0);
    metrics::counter!("kundeforhold_merge_steps_total").absolute(0);
    metrics::counter!("kundeforhold_contested_accounts_total").absolute(0);
}

fn describe_operation() {
    metrics::describe_gauge!("kundeforhold_build_info", "1, with the version of the program");
    metrics::describe_gauge!(
        "kundeforhold_file_refused",
        "1 while a changed file is refused and what it said before stays in force"
    );
    metrics::describe_counter!(
        "kundeforhold_unusual_days_total",
        "Days of a consumer that left its usual range, by dimension"
    );
}

/// What commands do beside the service.
fn describe_deeds() {
    let times = [
        (
            "kundeforhold_backup_timestamp_seconds",
            "When the last backup was begun; 0: never",
        ),
        (
            "kundeforhold_store_verified_timestamp_seconds",
            "When `store verify` was run last; 0: never",
        ),
        (
            "kundeforhold_record_verified_timestamp_seconds",
            "When `audit verify` was run last; 0: never",
        ),
        ("kundeforhold_backup_seconds", "How long the last backup took"),
    ];
    for (name, told) in times {
        metrics::describe_gauge!(name, metrics::Unit::Seconds, told);
    }
    metrics::describe_gauge!(
        "kundeforhold_backup_bytes",
        metrics::Unit::Bytes,
        "Size of the last backup"
    );
    metrics::describe_gauge!(
        "kundeforhold_store_faults",
        "Rows that the last `store verify` found to be wrong"
    );
    metrics::describe_gauge!(
        "kundeforhold_record_faults",
        "1 if the last `audit verify` found the record of use to be wrong"
    );
}

fn describe_deliveries() {
    metrics::describe_gauge!(
        "kundeforhold_last_delivery_timestamp_seconds",
        metrics::Unit::Seconds,
        "Last delivery of a bank to a register"
    );
    metrics::describe_gauge!(
        "kundeforhold_bank_info",
        "1, with the name of a bank that takes part"
    );
    metrics::describe_gauge!(
        "kundeforhold_stale_after_seconds",
        metrics::Unit::Seconds,
        "Time without a delivery after which a bank's register is stale"
    );
    metrics::describe_counter!(
        "kundeforhold_deliveries_published_total",
        "Publications by bank: deliveries, rollbacks and KFR calls"
    );
    metrics::describe_counter!(
        "kundeforhold_rejects_total",
        "Lines of deliveries that were not taken"
    );
    metrics::describe_gauge!(
        "kundeforhold_records",
        "About how many records of a bank's set run"
    );
    metrics::describe_gauge!(
        "kundeforhold_running_deliveries",
        "V2 deliveries that are being taken now"
    );
    metrics::describe_histogram!(
        DELIVERY_SECONDS,
        metrics::Unit::Seconds,
        "How long V2 deliveries took, from their beginning to their end, published or not"
    );
    metrics::describe_gauge!(
        "kundeforhold_delivery_turns",
        "Turns of deliveries that are taken, of delivery.max_at_once; batches and repeated deliveries count"
    );
}

fn describe_store() {
    metrics::describe_histogram!(
        "kundeforhold_store_seconds",
        metrics::Unit::Seconds,
        "Time of the store to answer a lookup, by operation"
    );
    metrics::describe_counter!(
        "kundeforhold_store_errors_total",
        "Lookups that the store did not answer, by operation"
    );
    metrics::describe_counter!(
        "kundeforhold_merge_steps_total",
        "Steps in which whole sets were written into the store"
    );
    metrics::describe_counter!(
        "kundeforhold_store_unknown_commits_total",
        "Commits of PostgreSQL whose answer was lost, and had to be settled"
    );
    metrics::describe_gauge!(
        "kundeforhold_store_writable",
        "1 while the store takes deliveries, 0 while it cannot be written"
    );
    metrics::describe_gauge!(
        "kundeforhold_store_bytes",
        metrics::Unit::Bytes,
        "Size of the store: its file without the write-ahead log, or the PostgreSQL database"
    );
    metrics::describe_gauge!(
        "kundeforhold_clock_jumped",
        "Whether the machine's clock is further off than its uptime explains, so that nothing is removed by it"
    );
    metrics::describe_gauge!(
        "kundeforhold_rekey_sets_left",
        "Sets that a rekey has still to bring under the next pseudonym key"
    );
    metrics::describe_gauge!(
        "kundeforhold_store_wal_bytes",
        metrics::Unit::Bytes,
        "Size of the store's write-ahead log"
    );
    metrics::describe_gauge!(
        "kundeforhold_store_free_bytes",
        metrics::Unit::Bytes,
        "Room that is left on the disk of the store"
    );
}
