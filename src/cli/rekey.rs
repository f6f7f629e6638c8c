//! `kundeforhold rekey`

use super::Failure;
use super::management::Management;
use super::progress::{self, Unit};
use crate::config::{LogLevel, Settings};
use crate::pseudonym::MasterKey;
use crate::register::rekey::{NextKey, RekeyProgress, RekeyState};
use crate::server::Stores;
use crate::telemetry::{LogTarget, log_to};
use indicatif::ProgressBar;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// How often progress is looked at, and told.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const TELL_EVERY: Duration = Duration::from_secs(2);
/// Where the same stands in the way for so long, the command gives up. What was done so far stays.
const PATIENCE: Duration = Duration::from_secs(120);
/// Longest wait for a running service to find the key file.
const FINDS_THE_FILE: Duration = Duration::from_secs(15);
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Where a service tells how far it is.
const PROGRESS: &str = "/internal/rekey";

/// Gives journal and index another pseudonym key, while lookups and deliveries go on
#[derive(clap::Args)]
#[command(
    after_help = "The next key stands in index.next_pseudonym_key_file, by default the present key's file with .next added; it is \
                  made if it is not there. A running service finds it by itself, and this command tells how far it is; if none \
                  runs, the command does the work. It may be stopped and run again.\n\n\
                  Instances that only answer lookups need the next key's file before: make it with `kundeforhold key new`, put \
                  it in place on all of them, and then on the instance that holds the journal. Once it is done, the next \
                  key's file takes the place of the present one on every instance; the former key is of no use any more.\n\n\
                  Example:\n  kundeforhold rekey --config kundeforhold.toml && mv pseudonym.key.next pseudonym.key"
)]
pub struct Rekey {
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Prints the outcome as one line of JSON
    #[arg(long)]
    json: bool,
}

impl Rekey {
    pub(super) async fn run(self) -> Result<(), Failure> {
        log_to(LogTarget::Stderr, LogLevel::Warn);
        let settings = Settings::load(self.config.as_deref())?;
        if settings.journal_directory().is_none() {
            return Err(failure(
                "this instance has no journal; run it where the journal is",
            ));
        }
        settings.check_key_may_change()?;
        let file = settings.next_key_file().ok_or(failure(
            "index.next_pseudonym_key_file is required: the next key needs a file",
        ))?;
        if !file.exists() {
            MasterKey::create(&file)?;
            eprintln!(
                "{} made. Keep a copy away from journal and index.",
                file.display()
            );
        }
        let next = NextKey::read(&file)?.ok_or(failure("the next key's file is gone"))?;
        let done = match Stores::open(&settings).await {
            Ok(stores) => {
                stores
                    .under_leases(&settings, work(&settings, &stores, &next))
                    .await?
            }
            Err(cause) if cause.is_journal_in_use() => follow(&settings, &next).await?,
            Err(cause) => return Err(cause.into()),
        };
        if self.json {
            println!("{}", serde_json::to_string(&done)?);
        } else {
            println!("{}", what_next(&settings, &file));
        }
        Ok(())
    }
}

/// Does the work here, where no service runs.
async fn work(settings: &Settings, stores: &Stores, next: &NextKey) -> Result<RekeyProgress, Failure> {
    let mut rekeying = stores
        .rekeying(settings)
        .ok_or(failure("this instance has no journal"))?;
    let progress = rekeying.progress();
    let end = CancellationToken::new();
    let keeper = tokio::spawn(rekeying.keeper().clone().run(end.clone()));
    let told = tokio::spawn(tell(progress.clone(), Told::begin()?));
    let mut patience = Patience::default();
    let done = loop {
        let looked = rekeying.look(Some(next)).await;
        let now = progress.borrow().clone();
        if now.is_done(next.fingerprint()) {
            break Ok(now);
        }
        if let Some(failed) = patience.ended(looked.err().map(|cause| cause.to_string())) {
            break Err(failed);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    };
    end.cancel();
    told.abort();
    // Neither outlives the command, nor does the bar; the journal is closed so that what is queued is on disk.
    let _ = told.await;
    let _ = keeper.await;
    if let Some(journal) = &stores.journal {
        journal.load().close().await;
    }
    done
}

/// Follows the service that holds the journal.
async fn follow(settings: &Settings, next: &NextKey) -> Result<RekeyProgress, Failure> {
    let management = Management::of(settings, ANSWER_TIMEOUT)?;
    eprintln!(
        "A running service holds the journal; following it at {}.",
        management.address(PROGRESS)
    );
    let (mut patience, mut told) = (Patience::default(), Told::begin()?);
    let started = Instant::now();
    loop {
        let asked = async {
            management
                .get(PROGRESS)
                .send()
                .await?
                .error_for_status()?
                .json::<RekeyProgress>()
                .await
        };
        let waited = match asked.await {
            Ok(now) if now.is_done(next.fingerprint()) => return Ok(now),
            Ok(now) if !now.knows(next.fingerprint()) && started.elapsed() > FINDS_THE_FILE => {
                return Err(failure(
                    "the running service does not use this key file; its log says why, or it runs with another configuration",
                ));
            }
            Ok(now) => {
                told.tell(&now);
                patience.ended(now.problem)
            }
            Err(cause) => {
                let cause = format!(
                    "the service that holds the journal does not say how far it is: {}",
                    cause.without_url()
                );
                patience.ended(Some(cause))
            }
        };
        if let Some(failed) = waited {
            return Err(failed);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn tell(mut progress: watch::Receiver<RekeyProgress>, mut told: Told) {
    while progress.changed().await.is_ok() {
        told.tell(&progress.borrow_and_update());
    }
}

/// A bar on a terminal. Elsewhere a line now and then, since this may take hours.
struct Told {
    bar: ProgressBar,
    last: Option<(RekeyState, Instant)>,
}

impl Told {
    fn begin() -> Result<Self, Failure> {
        let bar = progress::bar(0, Unit::Steps)?;
        Ok(Self { bar, last: None })
    }

    fn tell(&mut self, now: &RekeyProgress) {
        let (what, done, total) = match now.state {
            RekeyState::Copying => ("journal, entries", now.entries.done, now.entries.total),
            RekeyState::Loading => ("index, sets", now.sets.done, now.sets.total),
            RekeyState::Switching => ("changing to the next key", 0, 0),
            RekeyState::Removing => ("removing what is left of the former key", 0, 0),
            RekeyState::Begun | RekeyState::Idle => return,
        };
        self.bar.set_message(what);
        self.bar.set_length(total);
        self.bar.set_position(done);
        let is_known = |(state, at): (RekeyState, Instant)| state == now.state && at.elapsed() < TELL_EVERY;
        if !self.bar.is_hidden() || self.last.is_some_and(is_known) {
            return;
        }
        self.last = Some((now.state, Instant::now()));
        match total {
            0 => eprintln!("{what}"),
            total => eprintln!("{what}: {done} of {total}"),
        }
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// Gives up when the same stands in the way for long.
#[derive(Default)]
struct Patience(Option<(String, Instant)>);

impl Patience {
    fn ended(&mut self, problem: Option<String>) -> Option<Failure> {
        let Some(problem) = problem else {
            self.0 = None;
            return None;
        };
        match &self.0 {
            Some((known, since)) if *known == problem => {
                (since.elapsed() > PATIENCE).then_some(Failure(problem))
            }
            _ => {
                eprintln!("not yet: {problem}");
                self.0 = Some((problem, Instant::now()));
                None
            }
        }
    }
}

fn what_next(settings: &Settings, next: &Path) -> String {
    let next = next.display();
    match (&settings.index.pseudonym_key, &settings.index.pseudonym_key_file) {
        (None, Some(present)) => format!(
            "Journal and index are of the key in {next} now. Put it in place of the former one on every instance:\n\
             mv {next} {}",
            present.display()
        ),
        _ => format!(
            "Journal and index are of the key in {next} now. Put its content in place of the former key on every \
             instance, and remove the file."
        ),
    }
}

fn failure(sentence: &str) -> Failure {
    Failure(sentence.to_owned())
}
