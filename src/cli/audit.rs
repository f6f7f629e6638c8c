//! `kundeforhold audit`

mod search;
mod verify;

use super::Failure;
use crate::audit::{self, KeyRing};
use crate::config::Settings;
use crate::domain::calendar::{oslo_day, years_before};
use crate::pseudonym::MasterKey;
use crate::server::audit_ring;
use chrono::{NaiveDate, Utc};
use serde_json::json;
use std::path::PathBuf;

/// The record of use: prove it, search it, prune it
#[derive(clap::Subcommand)]
pub enum AuditCommand {
    Verify(verify::Verify),
    Search(search::Search),
    Prune(Prune),
}

/// Which logs, and the keys to read them by.
#[derive(clap::Args)]
struct Logs {
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A folder with a log; may be given several times. Default: audit.directory
    #[arg(long = "directory", value_name = "DIR")]
    directories: Vec<PathBuf>,
    /// A key file of the logs, the one in use first; may be given several times. Default: audit.key_files
    #[arg(long = "key-file", value_name = "FILE")]
    key_files: Vec<PathBuf>,
}

impl Logs {
    fn open(self) -> Result<(Settings, Vec<PathBuf>, KeyRing), Failure> {
        let settings = Settings::load(self.config.as_deref())?;
        let ring = match self.key_files.split_first() {
            None => audit_ring(&settings)?,
            Some((in_use, former)) => {
                let former = former.iter().map(|path| MasterKey::read(path));
                KeyRing::new(&MasterKey::read(in_use)?, &former.collect::<Result<Vec<_>, _>>()?)
            }
        };
        let directories = match self.directories.is_empty() {
            true => vec![settings.audit.directory.clone()],
            false => self.directories,
        };
        Ok((settings, directories, ring))
    }
}

/// Removes whole segments that are older than the record is kept, and leaves the proof of it
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold audit prune --config kundeforhold.toml\n\n\
                        The service may run meanwhile. The segment being written always stays."
)]
pub struct Prune {
    #[command(flatten)]
    logs: Logs,
    /// Removes what was recorded before this day, YYYY-MM-DD. Default: audit.retention_years ago, and never later
    #[arg(long, value_name = "DATE")]
    before: Option<NaiveDate>,
    /// Prints the outcome as one line of JSON a folder
    #[arg(long)]
    json: bool,
}

impl AuditCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Verify(command) => command.run(),
            Self::Search(command) => command.run(),
            Self::Prune(command) => command.run(),
        }
    }
}

impl Prune {
    fn run(self) -> Result<(), Failure> {
        let (settings, directories, ring) = self.logs.open()?;
        let (now, years) = (Utc::now(), settings.audit.retention_years);
        let latest = years_before(oslo_day(now), years);
        let before = self.before.unwrap_or(latest);
        if before > latest {
            return Err(Failure::Refused(format!(
                "{before} is inside the {years} years for which the record is kept (audit.retention_years)"
            )));
        }
        for directory in directories {
            let removal = audit::prune(&directory, &ring, before, now)
                .map_err(|cause| Failure::Refused(format!("{}: {cause}", directory.display())))?;
            match removal {
                _ if self.json => println!(
                    "{}",
                    json!({"directory": directory, "removed": removal.as_ref().map(verify::removal_json)})
                ),
                None => println!("{}: nothing to remove before {before}", directory.display()),
                Some(removal) => println!(
                    "{}: entries {} to {} removed",
                    directory.display(),
                    removal.first,
                    removal.last
                ),
            }
        }
        Ok(())
    }
}
