//! `kundeforhold audit`

mod search;
mod verify;

use super::{Failure, out};
use crate::config::Settings;
use crate::domain::calendar::{oslo_day, years_before};
use crate::pseudonym::MasterKey;
use crate::record::{self, KeyRing, RecordPlace};
use crate::server::{record_place, record_ring, store_place};
use crate::store::Store;
use chrono::NaiveDate;
use serde_json::json;
use std::path::PathBuf;
use tokio::task::spawn_blocking;

/// The record of use: prove it, search it, prune it
#[derive(clap::Subcommand)]
pub enum AuditCommand {
    Verify(verify::Verify),
    Search(search::Search),
    Prune(Prune),
}

/// Which record, and the keys to read it by.
#[derive(clap::Args)]
struct Source {
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The SQLite file of a record, such as a copy. Default: the one that the configuration names (record.url)
    #[arg(long = "record", value_name = "FILE")]
    record: Option<PathBuf>,
    /// A key file of the record, the one in use first; may be given several times. Default: record.key_files
    #[arg(long = "key-file", value_name = "FILE")]
    key_files: Vec<PathBuf>,
}

impl Source {
    /// To be called on a runtime that goes on.
    fn open(self) -> Result<(Settings, RecordPlace, KeyRing), Failure> {
        let settings = Settings::load(self.config.as_deref())?;
        let ring = match self.key_files.split_first() {
            None => record_ring(&settings)?,
            Some((in_use, former)) => {
                let former = former.iter().map(|path| MasterKey::read(path));
                KeyRing::new(&MasterKey::read(in_use)?, &former.collect::<Result<Vec<_>, _>>()?)
            }
        };
        let place = match self.record {
            Some(file) => RecordPlace::Sqlite(file),
            None => record_place(&settings)?,
        };
        Ok((settings, place, ring))
    }
}

/// What is wrong, of which record.
fn refused(place: &RecordPlace, cause: impl std::fmt::Display) -> Failure {
    Failure::Refused(format!("{place}: {cause}"))
}

/// Removes what is older than the record is kept, and leaves the proof of it
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold audit prune --config kundeforhold.toml\n\n\
                        The service may run meanwhile. Nothing is removed by a clock that has jumped (kundeforhold clock). \
                        The file keeps its size; the room is used again."
)]
pub struct Prune {
    #[command(flatten)]
    source: Source,
    /// Removes what was recorded before this day, YYYY-MM-DD. Default: record.retention_years ago, and never later
    #[arg(long, value_name = "DATE")]
    before: Option<NaiveDate>,
    /// Prints the outcome as one line of JSON
    #[arg(long)]
    json: bool,
}

impl AuditCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Verify(command) => spawn_blocking(|| command.run()).await?,
            Self::Search(command) => spawn_blocking(|| command.run()).await?,
            Self::Prune(command) => command.run().await,
        }
    }
}

impl Prune {
    async fn run(self) -> Result<(), Failure> {
        let (settings, place, ring) = self.source.open()?;
        let (clock, years) = (
            Store::look_at_clock(&store_place(&settings.store)?).await?,
            settings.record.retention_years,
        );
        let latest = years_before(oslo_day(clock.now()), years);
        let before = self.before.unwrap_or(latest);
        if before > latest {
            return Err(Failure::Refused(format!(
                "{before} is inside the {years} years for which the record is kept (record.retention_years)"
            )));
        }
        let prune =
            move || record::prune(&place, &ring, before, &clock).map_err(|cause| refused(&place, cause));
        let removed = spawn_blocking(prune).await??;
        if self.json {
            let removed = removed.iter().map(
                |(instance, removal)| json!({"instance": instance, "removed": verify::removal_json(removal)}),
            );
            out::say(format_args!("{}", json!(removed.collect::<Vec<_>>())))?;
            return Ok(());
        }
        for (instance, removal) in &removed {
            out::say(format_args!(
                "{instance}: entries {} to {} removed",
                removal.first, removal.last
            ))?;
        }
        if removed.is_empty() {
            out::say(format_args!("nothing to remove before {before}"))?;
        }
        Ok(())
    }
}
