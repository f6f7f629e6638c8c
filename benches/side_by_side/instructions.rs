//! Instructions of a lookup by part, counted by callgrind: unlike times, they are the same on a busy machine.
//!
//! Callgrind hides the processor's own instructions for SHA-256, and counts each byte that `rep stosb` clears.

use super::bare::Bare;
use super::figures::print_heading;
use super::lookups::SideBySide;
use super::process::Process;
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
        "store or cache",
        &["Lookup>::held_by_customer", "PipelineSink<T>::poll_read"],
    ),
    ("rules: each bank judged", &["domain::overview::judge"]),
    (
        "record of use: made and handed over",
        &["Recorder::record::{{closure}}"],
    ),
    ("record of use: the hash of its chain", &["_SHA256 ["]),
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
    let counts = ["bare", "sqlite", "redis"].map(|server| {
        let file = all.scratch().join(format!("{server}.callgrind"));
        let requests = match server {
            "bare" => {
                let log = all.scratch().join("servers.log");
                let bare = Bare::start(&["bare"], 1, &callgrind(&file), &log);
                count(&all, &bare.address, &bare.process)
            }
            storage => {
                all.deployment.under = callgrind(&file);
                let redis = (storage == "redis").then_some(&all.redis);
                let service = all.deployment.start(&all.issuer, redis);
                count(&all, &service.address, &service.process)
            }
        };
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

/// Asks while instructions are counted. Gives how often it was answered; what was counted is written as the process ends.
fn count(all: &SideBySide, address: &str, process: &Process) -> f64 {
    let switch = |on: &str| {
        let told = Command::new("callgrind_control")
            .args(["-i", on, &process.id().to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(told.unwrap().success(), "callgrind was not told: {on}");
    };
    let processes = [process];
    let target = all.target(address, &all.for_service, &processes);
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
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
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

fn print_parts(counts: &[Counted; 3]) {
    println!(
        "| thousands of instructions a lookup | bare actix | on SQLite | over Redis |\n|---|---|---|---|"
    );
    let of = |names: &[&str]| {
        let sum = |counted: &Counted| names.iter().map(|name| counted.of(name)).sum::<f64>();
        counts.each_ref().map(sum)
    };
    let all = of(&["PROGRAM TOTALS"]);
    assert!(
        all.iter().all(|all| *all > 0.0),
        "callgrind counted nothing: {all:?}"
    );
    let mut rest = all;
    for (part, functions) in PARTS {
        let found = of(functions);
        let known = found[1] > 0.0 && found[2] > 0.0;
        assert!(known, "{part}: callgrind knows none of {functions:?}");
        rest.iter_mut()
            .zip(found)
            .for_each(|(rest, found)| *rest -= found);
        print_row(part, found);
    }
    print_row("the rest: actix, tokio, metrics, what is inlined", rest);
    print_row("**all**", all);
}

fn print_row(part: &str, [bare, sqlite, redis]: [f64; 3]) {
    println!("| {part} | {bare:.1} | {sqlite:.1} | {redis:.1} |");
}
