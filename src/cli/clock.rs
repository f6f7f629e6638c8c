//! `kundeforhold clock`

use super::{Failure, out};
use crate::config::Settings;
use crate::server::store_place;
use crate::store::Store;
use std::path::PathBuf;

/// The machine's clock, by which what is kept no longer is removed for good
#[derive(clap::Subcommand)]
pub enum ClockCommand {
    Show(Show),
    Confirm(Confirm),
}

/// Tells whether the clock is believed: exit code 1 where it is more than a day off from what explains it
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold clock show --config kundeforhold.toml\n\nThe service may run meanwhile."
)]
pub struct Show {
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Says that the clock is right as it is now: after the machine was off for long, or the clock was wrong before
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  date && kundeforhold clock confirm --config kundeforhold.toml\n\n\
                  Look at the date first: what ended longer ago than retention.closed_years by this clock is erased \
                  within the hour. The service may run meanwhile."
)]
pub struct Confirm {
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ClockCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Show(command) => command.run().await,
            Self::Confirm(command) => command.run().await,
        }
    }
}

impl Show {
    async fn run(self) -> Result<(), Failure> {
        let place = store_place(&Settings::load(self.config.as_deref())?.store)?;
        let clock = Store::look_at_clock(&place).await?;
        out::say(format_args!("{}: the clock is believed", clock.now()))?;
        Ok(())
    }
}

impl Confirm {
    async fn run(self) -> Result<(), Failure> {
        let place = store_place(&Settings::load(self.config.as_deref())?.store)?;
        let confirmed = Store::confirm_clock(&place).await?;
        out::say(format_args!(
            "{}: the clock is believed from now on",
            confirmed.at
        ))?;
        Ok(())
    }
}
