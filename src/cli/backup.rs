//! `kundeforhold backup`

use super::{Failure, progress};
use crate::backup::{Backup, Deed, Keys, Last, Manifest, Part, Source, note};
use crate::cli::out;
use crate::config::Settings;
use crate::copying::{Pace, Scratch};
use crate::server::record_ring;
use crate::store::StoreError;
use chrono::Utc;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Added to the niceness of commands that read or write much: the service goes first.
const NICENESS: i32 = 10;

/// Copies register and record of use into one file, proved on the way
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold backup /backup/register.tar --config kundeforhold.toml\n\n\
                  The service may run meanwhile. The file is a tar of a manifest and of SQLite files. It names nobody\n\
                  without the pseudonym key, which is not in it: keep that elsewhere."
)]
pub struct MakeBackup {
    /// The file to make
    file: PathBuf,
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Takes the place of a file of that name, once the new one is proved
    #[arg(long)]
    replace: bool,
    /// Where copies are put meanwhile, as large as register and record. Default: store.scratch_directory
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// One line of JSON for scripts
    #[arg(long)]
    json: bool,
}

impl MakeBackup {
    pub(super) fn run(self) -> Result<(), Failure> {
        let (settings, began) = (Settings::load(self.config.as_deref())?, Instant::now());
        let register = register_file(&settings)?;
        let sources = sources(&settings)?;
        if let Some(missing) = sources.iter().find(|source| !source.path.exists()) {
            return Err(StoreError::Absent(missing.path.clone()).into());
        }
        let scratch = scratch(&settings, self.scratch.as_deref())?;
        let stages = progress::stages()?;
        yield_to_the_service();
        let backup = Backup {
            sources: &sources,
            scratch: &scratch,
            keys: Keys {
                register: &settings.pseudonyms()?,
                record: &record_ring(&settings)?,
            },
            pace: pace(&settings),
            tell: &mut |stage| stages.set_message(stage.to_owned()),
        };
        let manifest = backup.make(&self.file, self.replace)?;
        stages.finish_and_clear();
        let last = Last {
            at: manifest.made_at,
            seconds: began.elapsed().as_secs_f64(),
            bytes: std::fs::metadata(&self.file)?.len(),
            faults: 0,
        };
        note(&register, Deed::Backup, &last)?;
        match self.json {
            true => out::say(format_args!(
                "{}",
                json!({"file": self.file, "bytes": last.bytes, "seconds": last.seconds, "manifest": manifest})
            ))?,
            false => {
                out::say(format_args!(
                    "{}: {} bytes in {:.1} s, proved",
                    self.file.display(),
                    last.bytes,
                    last.seconds
                ))?;
                tell(&manifest)?;
            }
        }
        Ok(())
    }
}

/// What a backup holds.
pub(super) fn tell(manifest: &Manifest) -> Result<(), Failure> {
    out::say(format_args!(
        "made {}",
        manifest.made_at.format("%Y-%m-%dT%H:%M:%SZ")
    ))?;
    for part in &manifest.parts {
        out::say(format_args!(
            "{}: {} bytes, schema {}",
            part.name, part.bytes, part.schema
        ))?;
    }
    Ok(())
}

/// The register's file. A register in PostgreSQL has no such file, and tools of its own for all that is done with it.
pub(super) fn register_file(settings: &Settings) -> Result<PathBuf, Failure> {
    settings.store.path()?.ok_or_else(of_database)
}

fn of_database() -> Failure {
    Failure::Refused(
        "what is in PostgreSQL is left to its own tools: pg_basebackup with an archive of its log, or pg_dump and pg_restore; \
         amcheck proves its tables"
            .to_owned(),
    )
}

/// What a backup is made of: the register first, so that all that it has is in the record.
pub(super) fn sources(settings: &Settings) -> Result<Vec<Source>, Failure> {
    let register = Source {
        part: Part::Register,
        path: register_file(settings)?,
    };
    let record = Source {
        part: Part::Record,
        path: settings.record_path()?.ok_or_else(of_database)?,
    };
    Ok(vec![register, record])
}

pub(super) fn pace(settings: &Settings) -> Pace {
    Pace::new(settings.store.copy_megabytes_per_second)
}

pub(super) fn keep_free_bytes(settings: &Settings) -> u64 {
    settings.delivery.min_free_megabytes.saturating_mul(1 << 20)
}

pub(super) fn scratch(settings: &Settings, named: Option<&Path>) -> Result<Scratch, Failure> {
    let directory = match named {
        Some(directory) => directory.to_owned(),
        None => settings.store.scratch_directory()?,
    };
    Ok(Scratch::take(&directory, keep_free_bytes(settings))?)
}

pub(super) fn yield_to_the_service() {
    // Refused by the system, it works at the usual priority.
    let _ = rustix::process::nice(NICENESS);
}

/// Keeps how a verification went, which began at some time.
pub(super) fn note_verified(register: &Path, deed: Deed, began: Instant, faults: u64) -> Result<(), Failure> {
    let last = Last {
        at: Utc::now(),
        seconds: began.elapsed().as_secs_f64(),
        bytes: 0,
        faults,
    };
    Ok(note(register, deed, &last)?)
}
