//! A service for generated banks, and what it takes.

use crate::harness::{Caching, PROGRAM, Service};
use kundeforhold::sandbox::population::{GeneratedSet, Population};
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where generated sets are put before they are pushed.
pub fn scratch() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// A ready service whose participants are the population's banks.
pub async fn start(caching: Caching, population: &Population, scratch: &Path) -> Service {
    let participants = scratch.join("participants.toml");
    std::fs::write(&participants, population.participants_file()).unwrap();
    let configuration = format!(
        "participants_file = {:?}\n[access]\ndaily_customers = 1000000000\n[delivery]\npublish_timeout_seconds = 1800\n",
        participants.display().to_string()
    );
    Service::start_with(caching, &configuration).await
}

/// Writes a set as a bank would have it.
pub fn write_set(set: &GeneratedSet, scratch: &Path) -> PathBuf {
    let path = scratch.join(format!("{}.ndjson", set.id.bank));
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(&path).unwrap());
    for record in set.records() {
        writeln!(out, "{record}").unwrap();
    }
    out.flush().unwrap();
    path
}

/// The same set, but for another role in one of so many lines.
pub fn change_lines(file: &Path, one_in: usize) -> PathBuf {
    let path = file.with_extension(format!("{one_in}.ndjson"));
    let mut out = BufWriter::with_capacity(1 << 20, std::fs::File::create(&path).unwrap());
    let lines = BufReader::with_capacity(1 << 20, std::fs::File::open(file).unwrap()).lines();
    let (mut due, mut changed) = (0, 0_usize);
    for (number, line) in lines.enumerate() {
        let mut line = line.unwrap();
        due += usize::from(number.is_multiple_of(one_in));
        if due > changed {
            let other = line.replace("\"role\":\"owner\"", "\"role\":\"other\"");
            changed += usize::from(other != line);
            line = other;
        }
        writeln!(out, "{line}").unwrap();
    }
    out.flush().unwrap();
    path
}

/// Pushes a set with the bank's own client, and gives the time it took.
pub fn push(service: &Service, set: &GeneratedSet, file: &Path) -> Duration {
    let began = Instant::now();
    let pushed = pushing(service, set, file).status().unwrap();
    assert!(pushed.success(), "{}", service.log());
    began.elapsed()
}

/// The bank's own client. It stands in for another machine's, so lookups go first.
pub fn pushing(service: &Service, set: &GeneratedSet, file: &Path) -> Command {
    let (bank, register) = (set.id.bank.to_string(), set.id.register.name());
    let mut command = Command::new("nice");
    command
        .arg(PROGRAM)
        .args(["push", "--url", &service.url(""), "--bank", &bank])
        .args([
            "--register",
            register,
            "--token",
            &service.issuer.bank_token(&bank),
        ])
        .arg("--file")
        .arg(file)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

/// Megabytes of a line of the process's status, `VmRSS` or `VmHWM`.
pub fn megabytes(service: &Service, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", service.pid())).unwrap();
    let line = status.lines().find(|found| found.starts_with(line)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}
