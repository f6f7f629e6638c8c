//! `kundeforhold index`

use super::Failure;
use super::progress::{self, Unit};
use crate::config::{LogLevel, Settings};
use crate::domain::calendar::{oslo_day, years_before};
use crate::register::keeper::{Gap, Keeper};
use crate::register::verify::{Comparison, Expected};
use crate::server::Stores;
use crate::telemetry::{LogTarget, log_to};
use chrono::Utc;
use serde_json::json;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How often progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The index: a cache of the journal
#[derive(clap::Subcommand)]
pub enum IndexCommand {
    /// Throws the index away and builds it from the journal, or from several together
    #[command(
        after_help = "Example:\n  kundeforhold index rebuild --config kundeforhold.toml --journal /mnt/other/journal"
    )]
    Rebuild(IndexArguments),
    /// Tells whether index and journal agree
    #[command(after_help = "Example:\n  kundeforhold index verify --config kundeforhold.toml --json")]
    Verify(IndexArguments),
}

#[derive(clap::Args)]
pub struct IndexArguments {
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A journal of another instance, whose service is stopped; may be given several times
    #[arg(long = "journal", value_name = "DIR")]
    journals: Vec<PathBuf>,
    /// Prints the outcome as one line of JSON
    #[arg(long)]
    json: bool,
}

impl IndexCommand {
    pub(super) async fn run(self) -> Result<(), Failure> {
        log_to(LogTarget::Stderr, LogLevel::Warn);
        let (Self::Rebuild(arguments) | Self::Verify(arguments)) = &self;
        let settings = Settings::load(arguments.config.as_deref())?;
        let stores = Stores::open(&settings).await?;
        let journal = stores
            .journal
            .clone()
            .ok_or(Failure("this instance has no journal".to_owned()))?
            .load();
        let upkeep = Upkeep {
            keeper: stores.keeper_with(&settings, &arguments.journals).await?,
            sets: journal.sets().len(),
            settings,
            stores,
        };
        let done = match self {
            Self::Rebuild(_) => upkeep.rebuild(arguments.json).await,
            Self::Verify(_) => upkeep.verify(arguments.json).await,
        };
        journal.close().await;
        done
    }
}

/// An index and the journal it is a cache of; no service has them.
struct Upkeep {
    settings: Settings,
    stores: Stores,
    keeper: Keeper,
    /// Those that the journal has.
    sets: usize,
}

impl Upkeep {
    async fn rebuild(&self, json: bool) -> Result<(), Failure> {
        let began = Instant::now();
        let building = build(&self.keeper, self.sets, "building the index");
        let gaps = self.stores.under_leases(&self.settings, building).await?;
        for gap in &gaps {
            let (set, first, last) = (gap.set, gap.first, gap.last);
            eprintln!(
                "{set}: positions {first} to {last} are in no journal given; let the bank deliver a whole set"
            );
        }
        let sets = self.keeper.index.state().sets.len();
        let seconds = began.elapsed().as_secs_f64();
        if json {
            println!(
                "{}",
                json!({"sets": sets, "gaps": gaps.len(), "seconds": seconds})
            );
        } else {
            println!("{sets} sets were built from the journal in {seconds:.1} s");
        }
        Ok(())
    }

    /// Fails if the index lacks what the journal says, or has what it does not say.
    async fn verify(&self, json: bool) -> Result<(), Failure> {
        self.stores.index.refresh().await?;
        let outcome = self.compare().await?;
        if json {
            println!("{}", serde_json::to_string(&outcome)?);
        } else {
            println!(
                "{} rows agree, {} are missing, {} are too many",
                outcome.agreeing, outcome.missing, outcome.surplus
            );
        }
        if outcome.agrees() {
            Ok(())
        } else {
            Err(Failure(
                "index and journal do not agree; `kundeforhold index rebuild` mends it".to_owned(),
            ))
        }
    }

    /// Holds the index against one that is built for it.
    async fn compare(&self) -> Result<Comparison, Failure> {
        let expected = Expected::beside(&self.keeper)?;
        build(&expected.keeper, self.sets, "building one to compare with").await?;
        let kept_from = years_before(oslo_day(Utc::now()), self.settings.retention.closed_years);
        let comparing = expected.compare(&self.keeper.index, kept_from);
        Ok(progress::while_waiting("comparing", comparing).await??)
    }
}

/// Builds the index of a keeper anew, and tells how many sets it has.
async fn build(keeper: &Keeper, sets: usize, what: &'static str) -> Result<Vec<Gap>, Failure> {
    let bar = progress::bar(sets as u64, Unit::Sets)?.with_message(what);
    let building = keeper.rebuild();
    tokio::pin!(building);
    let mut look = tokio::time::interval(LOOK_EVERY);
    let built = loop {
        tokio::select! {
            built = &mut building => break built,
            _ = look.tick() => bar.set_position(keeper.index.state().sets.len() as u64),
        }
    };
    bar.finish_and_clear();
    Ok(built?)
}
