//! `kundeforhold store`

use super::backup::{note_verified, pace, register_file, scratch, yield_to_the_service};
use super::{Failure, progress};
use crate::backup::{Deed, Part};
use crate::cli::out;
use crate::config::Settings;
use crate::copying::copy;
use crate::domain::calendar::oslo_day;
use crate::store::{Finding, Held, SetCounts, StoreError, Verification, repair_counts, verify};
use chrono::Utc;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::Instant;

/// The register
#[derive(clap::Subcommand)]
pub enum StoreCommand {
    Verify(Verify),
}

/// Proves that the rows of the register are what their formats, versions and counts say
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold store verify --config kundeforhold.toml\n\n\
                  The service may run meanwhile: a copy is proved, of one moment. What is found names nobody."
)]
pub struct Verify {
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Writes the counts of sets anew, if nothing else is wrong; the service has to be stopped
    #[arg(long)]
    repair_counts: bool,
    /// Where a copy is put meanwhile, as large as the register. Default: store.scratch_directory
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// One line of JSON for scripts
    #[arg(long)]
    json: bool,
}

impl StoreCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Verify(command) => command.run(),
        }
    }
}

impl Verify {
    fn run(self) -> Result<(), Failure> {
        let (settings, began) = (Settings::load(self.config.as_deref())?, Instant::now());
        let register = register_file(&settings)?;
        if !register.exists() {
            return Err(StoreError::Absent(register).into());
        }
        // A running service knows the counts, and would write them back.
        let held = self.repair_counts.then(|| Held::take(&register)).transpose()?;
        yield_to_the_service();
        let found = self.verify(&settings, &register)?;
        let mended = match &held {
            Some(held) if found.only_counts_are_wrong() => repair_counts(held, &found.sets)?,
            Some(_) | None => 0,
        };
        let left: Vec<Finding> = match mended {
            0 => found.findings.clone(),
            _ => Vec::new(),
        };
        let faults = left.iter().map(|finding| finding.rows).sum();
        note_verified(&register, Deed::StoreVerify, began, faults)?;
        let said = match self.json {
            true => out::say(format_args!("{}", told(&found, &left, mended, began))),
            false => tell(&found, mended),
        };
        // Damage is told, whether anybody reads the rest or not.
        match left.as_slice() {
            [] => said,
            [first, ..] => Err(Failure::Refused(format!(
                "{} is damaged: {first}",
                register.display()
            ))),
        }
    }

    fn verify(&self, settings: &Settings, register: &Path) -> Result<Verification, Failure> {
        let scratch = scratch(settings, self.scratch.as_deref())?;
        let counter = progress::counter("records read")?;
        let copy = copy(register, &scratch, Part::Register.name(), &mut pace(settings))?;
        let today = oslo_day(Utc::now());
        let found = verify(&copy, today, scratch.directory(), &mut |rows| counter.inc(rows))?;
        counter.finish_and_clear();
        Ok(found)
    }
}

fn tell(found: &Verification, mended: usize) -> Result<(), Failure> {
    for finding in &found.findings {
        out::say(format_args!("{finding}"))?;
    }
    for counts in found.sets.iter().filter(|counts| counts.stored != counts.counted) {
        out::say(format_args!(
            "{}: {} records are said to stand and {} do; {} were counted as running and {} run today",
            counts.set,
            counts.stored.records,
            counts.counted.records,
            counts.stored.running,
            counts.counted.running
        ))?;
    }
    if mended > 0 {
        out::say(format_args!("the counts of {mended} sets were written anew"))?;
    }
    let records: u64 = found.sets.iter().map(|counts| counts.counted.records).sum();
    out::say(format_args!("{} sets, {records} records", found.sets.len()))
}

fn told(found: &Verification, left: &[Finding], mended: usize, began: Instant) -> Value {
    json!({
        "sound": left.is_empty(),
        "seconds": began.elapsed().as_secs_f64(),
        "findings": found.findings.iter().map(finding_json).collect::<Vec<_>>(),
        "sets": found.sets.iter().map(counts_json).collect::<Vec<_>>(),
        "mended": mended,
    })
}

fn finding_json(finding: &Finding) -> Value {
    let set = finding.set.map(|set| set.to_string());
    json!({"set": set, "what": finding.fault.to_string(), "rows": finding.rows})
}

fn counts_json(counts: &SetCounts) -> Value {
    json!({
        "set": counts.set.to_string(),
        "records": counts.counted.records,
        "running": counts.counted.running,
        "storedRecords": counts.stored.records,
        "storedRunning": counts.stored.running,
    })
}
