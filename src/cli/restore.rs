//! `kundeforhold restore`

use super::backup::{keep_free_bytes, pace, scratch, sources, tell, yield_to_the_service};
use super::{Failure, progress};
use crate::backup::{Keys, Manifest, Part, Restore, Restored, Source, prove, restore};
use crate::cli::out;
use crate::config::Settings;
use crate::server::record_ring;
use serde_json::json;
use std::path::PathBuf;

/// Puts register and record of use back from a file that `backup` made
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold restore /backup/register.tar --config kundeforhold.toml\n  \
                  kundeforhold restore /backup/register.tar --only register --replace --config kundeforhold.toml\n  \
                  kundeforhold restore /backup/register.tar --check --config kundeforhold.toml\n\n\
                  The service has to be stopped. Everything is proved before anything is replaced, and what stood is\n\
                  kept beside it. What banks delivered since the backup is gone: they deliver it again."
)]
pub struct RestoreBackup {
    /// The file to restore from
    file: PathBuf,
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What is restored; may be given several times. Default: all
    #[arg(long = "only", value_name = "PART")]
    only: Vec<PartName>,
    /// Sets aside what stands, under a new name in the same folder
    #[arg(long)]
    replace: bool,
    /// Proves the file in the scratch directory, and restores nothing; the service may run meanwhile
    #[arg(long, conflicts_with = "replace")]
    check: bool,
    /// One line of JSON for scripts
    #[arg(long)]
    json: bool,
}

/// A part, as it is named here.
#[derive(Clone, Copy, clap::ValueEnum)]
enum PartName {
    Register,
    Record,
}

impl From<PartName> for Part {
    fn from(name: PartName) -> Self {
        match name {
            PartName::Register => Self::Register,
            PartName::Record => Self::Record,
        }
    }
}

impl RestoreBackup {
    pub(super) fn run(self) -> Result<(), Failure> {
        let settings = Settings::load(self.config.as_deref())?;
        yield_to_the_service();
        match self.check {
            true => self.prove(&settings),
            false => self.restore(&settings),
        }
    }

    /// The parts that are wanted.
    fn wanted(&self, settings: &Settings) -> Result<Vec<Source>, Failure> {
        let only: Vec<Part> = self.only.iter().map(|part| Part::from(*part)).collect();
        let mut sources = sources(settings)?;
        sources.retain(|source| only.is_empty() || only.contains(&source.part));
        Ok(sources)
    }

    fn prove(&self, settings: &Settings) -> Result<(), Failure> {
        let parts: Vec<Part> = self.wanted(settings)?.iter().map(|source| source.part).collect();
        let scratch = scratch(settings, None)?;
        let (register, record) = (settings.pseudonyms()?, record_ring(settings)?);
        let keys = Keys {
            register: &register,
            record: &record,
        };
        let manifest = prove(&self.file, &parts, &keys, &scratch, pace(settings))?;
        match self.json {
            true => out::say(format_args!("{}", json!({"proved": true, "manifest": manifest})))?,
            false => {
                out::say(format_args!(
                    "{}: proved, and nothing restored",
                    self.file.display()
                ))?;
                tell(&manifest)?;
            }
        }
        Ok(())
    }

    fn restore(&self, settings: &Settings) -> Result<(), Failure> {
        let stages = progress::stages()?;
        let with = Restore {
            sources: &self.wanted(settings)?,
            replace: self.replace,
            keys: Keys {
                register: &settings.pseudonyms()?,
                record: &record_ring(settings)?,
            },
            keep_free_bytes: keep_free_bytes(settings),
            pace: pace(settings),
            tell: &mut |stage| stages.set_message(stage.to_owned()),
        };
        let Restored { manifest, set_aside } = restore(&self.file, with)?;
        stages.finish_and_clear();
        if self.json {
            let set_aside: Vec<_> = set_aside
                .iter()
                .map(|file| json!({"from": file.from, "to": file.to}))
                .collect();
            out::say(format_args!(
                "{}",
                json!({"restored": true, "manifest": manifest, "setAside": set_aside})
            ))?;
            return Ok(());
        }
        for file in &set_aside {
            out::say(format_args!(
                "{} is now {}",
                file.from.display(),
                file.to.display()
            ))?;
        }
        tell_restored(&manifest)
    }
}

fn tell_restored(manifest: &Manifest) -> Result<(), Failure> {
    tell(manifest)?;
    out::say(format_args!(
        "restored. What banks delivered after that time is gone; they have to deliver it again."
    ))
}
