//! Instructions of a lookup by part, counted by callgrind: unlike times, they are the same on a busy machine.
//!
//! Callgrind hides the processor's own instructions for SHA-256, and counts each byte that `rep stosb` clears.

use super::deployment::Service;
use super::figures::print_heading;
use super::lookups::SideBySide;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

const CONNECTIONS: usize = 32;
/// Asked before anything is counted, so that tokens are remembered and connections to Redis made.
const WARM_UP: Duration = Duration::from_secs(10);
const COUNTED: Duration = Duration::from_secs(20);

/// A part is what these functions do, and all that they call. None of them calls another.
const PARTS: [(&str, &[&str]); 11] = [
    (
        "token: the hash by which it is remembered",
        &["remembered::digest"],
    ),
    (
        "request decoded, by actix",
        &["h1::codec::Codec as tokio_util::codec::decoder::Decoder>::decode"],
    ),
    (
        "headers and query into a question",
        &[
            "http::request::Reader::new",
            "http::request::Reader::legal_context",
            "http::request::Reader::customer",
            "http::request::Reader::period",
            "http::request::Reader::only_primary_owner",
        ],
    ),
    (
        "limits, and the customer's pseudonym",
        &["Lookup>::admit", "PseudonymRing::customer"],
    ),
    ("terms", &["Lookup>::judge"]),
    (
        "index",
        &[
            "embedded::view::View::relationships",
            "redis::read::<impl kundeforhold::index::redis::Redis>::read_group",
            "PipelineSink<T>::poll_read",
            "PipelineSink<T> as futures_sink::Sink<redis::aio::multiplexed_connection::PipelineMessage>>::poll_flush",
        ],
    ),
    ("rules", &["domain::overview::overview"]),
    (
        "record of use: made and handed over",
        &["Recorder::record::{{closure}}"],
    ),
    (
        "record of use: chained and written",
        &["chain::writer::Writer::run"],
    ),
    ("answer as JSON", &["HttpResponseBuilder::json"]),
    (
        "log line and span",
        &[
            "tracing_core::subscriber::Subscriber>::event",
            "tracing_core::subscriber::Subscriber>::new_span",
            "tracing_core::subscriber::Subscriber>::enter",
            "tracing_core::subscriber::Subscriber>::exit",
            "tracing_core::subscriber::Subscriber>::try_close",
        ],
    ),
];

pub fn measure() {
    print_heading("Instructions of a lookup");
    let mut all = SideBySide::prepare();
    let counts = ["embedded", "redis"].map(|engine| {
        let file = all.scratch().join(format!("{engine}.callgrind"));
        all.deployment.under = callgrind(&file);
        let redis = (engine == "redis").then_some(&all.redis);
        let service = all.deployment.start(&all.issuer, redis);
        let requests = count(&all, service);
        Counted::read(&file, requests)
    });
    print_parts(&counts);
}

fn callgrind(file: &Path) -> Vec<String> {
    let file = format!("--callgrind-out-file={}", file.display());
    ["valgrind", "--tool=callgrind", "--instr-atstart=no", &file]
        .map(str::to_owned)
        .to_vec()
}

/// Asks while instructions are counted. Gives how often it was answered; what was counted is written as the service ends.
fn count(all: &SideBySide, service: Service) -> f64 {
    let switch = |on: &str| {
        let told = Command::new("callgrind_control")
            .args(["-i", on, &service.process.id().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(told.unwrap().success(), "callgrind was not told: {on}");
    };
    let processes = [&service.process];
    let target = all.target(&service.address, &all.for_service, &processes);
    target.ask(CONNECTIONS, WARM_UP);
    switch("on");
    let measured = target.ask(CONNECTIONS, COUNTED);
    switch("off");
    measured.requests
}

/// Functions, and the instructions of each with all that it calls, largest first.
struct Counted {
    requests: f64,
    functions: Vec<(String, f64)>,
}

impl Counted {
    fn read(file: &Path, requests: f64) -> Self {
        let told = Command::new("callgrind_annotate")
            .args(["--inclusive=yes", "--threshold=100"])
            .arg(file)
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&told.stdout);
        let functions = told.lines().filter_map(|line| {
            let (count, rest) = line.trim_start().split_once(' ')?;
            let count = count.replace(',', "").parse().ok()?;
            Some((rest.to_owned(), count))
        });
        Self {
            requests,
            functions: functions.collect(),
        }
    }

    /// Thousands of instructions a lookup. A function that calls itself is listed more than once; its first line has all.
    fn of(&self, name: &str) -> f64 {
        let line = self
            .functions
            .iter()
            .find(|(function, _)| function.contains(name));
        line.map_or(0.0, |(_, count)| count / self.requests / 1e3)
    }
}

fn print_parts(counts: &[Counted; 2]) {
    println!("| thousands of instructions a lookup | embedded | over Redis |\n|---|---|---|");
    let of = |names: &[&str]| {
        counts
            .each_ref()
            .map(|counted| names.iter().map(|name| counted.of(name)).sum())
    };
    let mut rest: [f64; 2] = of(&["PROGRAM TOTALS"]);
    let all = rest;
    for (part, functions) in PARTS {
        let [embedded, redis]: [f64; 2] = of(functions);
        println!("| {part} | {embedded:.1} | {redis:.1} |");
        rest = [rest[0] - embedded, rest[1] - redis];
    }
    println!(
        "| the rest: actix, tokio, metrics, what is inlined | {:.1} | {:.1} |",
        rest[0], rest[1]
    );
    println!("| **all** | **{:.1}** | **{:.1}** |", all[0], all[1]);
}
