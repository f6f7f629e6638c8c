//! `kundeforhold audit verify`

use super::{Failure, Source, refused};
use crate::backup::Deed;
use crate::cli::backup::note_verified;
use crate::cli::out;
use crate::cli::progress;
use crate::record::{self, HeadStanding, KeptHead, KeyRing, Proof, RecordFault, Removal, Verification, hex};
use crate::text;
use chrono::DateTime;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Proves the record of use, or names the first bad entry
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold audit verify --config kundeforhold.toml --heads kept-heads.jsonl\n  \
                  kundeforhold audit verify --key-file record.key --record copy.sqlite\n\n\
                  A cut end, or a chain that is gone, is found only by a head that was kept elsewhere: from the\n\
                  log lines or /internal/audit/head. The service may run meanwhile."
)]
pub struct Verify {
    #[command(flatten)]
    source: Source,
    /// A head that was kept elsewhere; may be given several times
    #[arg(long = "head", value_name = "SEQUENCE:HASH", value_parser = KeptHead::parse)]
    heads: Vec<KeptHead>,
    /// A file of heads: SEQUENCE:HASH or JSON a line, such as the service's log; `-` reads standard input
    #[arg(long = "heads", value_name = "FILE")]
    head_files: Vec<PathBuf>,
    /// Prints the outcome as one line of JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(super) fn run(self) -> Result<(), Failure> {
        let is_of_the_service = self.source.record.is_none();
        let (settings, place, ring) = self.source.open()?;
        let mut heads = self.heads;
        for file in &self.head_files {
            heads.extend(read_heads(file, &ring)?);
        }
        let started = Instant::now();
        let counter = progress::counter("entries proved")?;
        let verification = record::verify(&place, &ring, heads, &mut || counter.inc(1));
        counter.finish_and_clear();
        let elapsed = started.elapsed();
        if is_of_the_service {
            let faults = u64::from(!verification.holds());
            if let Some(register) = settings.store.path()? {
                note_verified(&register, Deed::RecordVerify, started, faults)?;
            }
        }
        let said = match self.json {
            true => out::say(format_args!("{}", verification_json(&verification, elapsed))),
            false => tell_all(&verification),
        };
        // A fault is told, whether anybody reads the rest or not.
        verification
            .first_fault()
            .map_or(said, |fault| Err(refused(&place, fault)))
    }
}

fn read_heads(file: &Path, ring: &KeyRing) -> Result<Vec<KeptHead>, Failure> {
    let unreadable = |cause: std::io::Error| Failure::Refused(format!("{}: {cause}", file.display()));
    let text = match file.as_os_str() == "-" {
        true => text::read_all(std::io::stdin()),
        false => text::read_file(file),
    };
    let text = text.map_err(unreadable)?;
    let mut heads = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let head = KeptHead::parse_line(line, ring);
        heads.extend(
            head.map_err(|cause| Failure::Refused(format!("{}, line {number}: {cause}", file.display())))?,
        );
    }
    Ok(heads)
}

fn tell_all(verification: &Verification) -> Result<(), Failure> {
    verification.proofs.iter().try_for_each(tell)?;
    tell_heads(verification)
}

fn tell(proof: &Proof) -> Result<(), Failure> {
    let instance = proof.instance;
    for removal in &proof.removals {
        let on = DateTime::from_timestamp(removal.at, 0).unwrap_or_default();
        out::say(format_args!(
            "{instance}: entries {} to {} were pruned on {}",
            removal.first,
            removal.last,
            on.date_naive()
        ))?;
    }
    let head = format!("{}:{}", proof.head.sequence, hex(&proof.head.hash));
    out::say(format_args!(
        "{instance}: {} entries proved, up to {head}",
        proof.entries
    ))
}

fn tell_heads(verification: &Verification) -> Result<(), Failure> {
    if verification.heads.is_empty() {
        return out::say(format_args!(
            "no heads were given, so a cut end, or a chain that is gone, would not be found"
        ));
    }
    let count = |wanted| {
        let with = verification
            .heads
            .iter()
            .filter(|(_, standing)| *standing == wanted);
        with.count()
    };
    out::say(format_args!(
        "heads: {} found, {} pruned, {} missing",
        count(HeadStanding::Found),
        count(HeadStanding::Pruned),
        count(HeadStanding::Missing)
    ))
}

fn verification_json(verification: &Verification, elapsed: Duration) -> Value {
    let heads = verification.heads.iter().map(|(head, standing)| {
        let standing = match standing {
            HeadStanding::Found => "found",
            HeadStanding::Pruned => "pruned",
            HeadStanding::Missing => "missing",
        };
        json!({"sequence": head.head.sequence, "hash": hex(&head.head.hash), "instance": head.instance, "standing": standing})
    });
    json!({
        "proved": verification.holds(),
        "entries": verification.proofs.iter().map(|proof| proof.entries).sum::<u64>(),
        "seconds": elapsed.as_secs_f64(),
        "chains": verification.proofs.iter().map(proof_json).collect::<Vec<_>>(),
        "heads": heads.collect::<Vec<_>>(),
        "fault": verification.fault.as_ref().map(fault_json),
    })
}

fn proof_json(proof: &Proof) -> Value {
    json!({
        "instance": proof.instance,
        "entries": proof.entries,
        "sequence": proof.head.sequence,
        "hash": hex(&proof.head.hash),
        "pruned": proof.removals.iter().map(removal_json).collect::<Vec<_>>(),
        "fault": proof.fault.as_ref().map(fault_json),
    })
}

pub(super) fn removal_json(removal: &Removal) -> Value {
    let at = DateTime::from_timestamp(removal.at, 0);
    json!({"first": removal.first, "last": removal.last, "hash": hex(&removal.hash), "at": at})
}

fn fault_json(fault: &RecordFault) -> Value {
    let sequence = match fault {
        RecordFault::Entry { sequence, .. } => Some(*sequence),
        RecordFault::Index { first, .. } => Some(*first),
        RecordFault::Cut { last, .. } => Some(*last),
        RecordFault::Table(_) | RecordFault::Head(_) | RecordFault::Stray(_) => None,
    };
    json!({"sequence": sequence, "what": fault.to_string()})
}
