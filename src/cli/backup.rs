//! `kundeforhold backup` and `kundeforhold restore`

use super::Failure;
use super::progress::{self, Unit};
use crate::audit::hex;
use crate::config::{LogLevel, Settings};
use crate::server;
use crate::telemetry::{LogTarget, log_to};
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Writes the journal to one file; the service may run meanwhile
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold backup --config kundeforhold.toml --to journal.kfb\n  \
                  kundeforhold backup --config kundeforhold.toml --to - | ssh vault 'cat > journal.kfb'\n\n\
                  Whatever was acknowledged before it begins is in it. It names nobody without the pseudonym key,\n\
                  which is not in it: keep that elsewhere. A file that is there is replaced once the new one is whole."
)]
pub struct Backup {
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where to; `-` is standard output
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
    /// Prints the outcome as one line of JSON: on standard error where the backup goes to standard output
    #[arg(long)]
    json: bool,
}

/// Makes the journal from a backup, in an empty or new directory, and proves all of it
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold restore --config kundeforhold.toml --from journal.kfb\n\n\
                  The service then builds its index from the journal."
)]
pub struct Restore {
    /// Configuration in TOML
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where from; `-` is standard input
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Prints the outcome as one line of JSON
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub(super) fn run(self) -> Result<(), Failure> {
        log_to(LogTarget::Stderr, LogLevel::Warn);
        let settings = Settings::load(self.config.as_deref())?;
        let to_stdout = self.to.as_os_str() == "-";
        let bar = progress::bar(0, Unit::Bytes)?;
        let mut told = |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        };
        let started = Instant::now();
        let backed_up = if to_stdout {
            server::back_up(&settings, io::stdout().lock(), &mut told)?
        } else {
            let mut file = begin_file(&self.to)?;
            let backed_up = server::back_up(&settings, &mut file, &mut told)?;
            keep_file(file, &self.to)?;
            backed_up
        };
        bar.finish_and_clear();
        let report = report("backed up", &backed_up, started.elapsed(), self.json);
        if to_stdout {
            eprintln!("{report}");
        } else {
            println!("{report}");
        }
        Ok(())
    }
}

impl Restore {
    pub(super) fn run(self) -> Result<(), Failure> {
        log_to(LogTarget::Stderr, LogLevel::Warn);
        let settings = Settings::load(self.config.as_deref())?;
        let bar = progress::bar(0, Unit::Bytes)?;
        let mut told = |done, total| {
            bar.set_length(total);
            bar.set_position(done);
        };
        let started = Instant::now();
        let restored = if self.from.as_os_str() == "-" {
            server::restore(&settings, io::stdin().lock(), &mut told)?
        } else {
            let file = File::open(&self.from).map_err(|cause| failed_on(&self.from, &cause))?;
            server::restore(&settings, BufReader::new(file), &mut told)?
        };
        bar.finish_and_clear();
        println!(
            "{}",
            report("restored and proved", &restored, started.elapsed(), self.json)
        );
        Ok(())
    }
}

/// A file beside the one that is wanted, readable by its owner only; it goes unless it is kept.
fn begin_file(path: &Path) -> Result<tempfile::NamedTempFile, Failure> {
    tempfile::NamedTempFile::new_in(folder_of(path)).map_err(|cause| failed_on(path, &cause))
}

/// Gives the file its name, durably.
fn keep_file(mut file: tempfile::NamedTempFile, path: &Path) -> Result<(), Failure> {
    let kept = file.flush().and_then(|()| file.as_file().sync_all());
    kept.and_then(|()| Ok(file.persist(path).map(drop)?))
        .and_then(|()| File::open(folder_of(path))?.sync_all())
        .map_err(|cause| failed_on(path, &cause))
}

fn folder_of(path: &Path) -> &Path {
    let parent = path.parent();
    parent
        .filter(|parent| !parent.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

fn failed_on(path: &Path, cause: &io::Error) -> Failure {
    Failure(format!("{}: {cause}", path.display()))
}

fn report(what: &str, done: &server::BackedUp, elapsed: Duration, json: bool) -> String {
    let (entries, head) = (done.entries, hex(&done.head));
    let (bodies, bytes, seconds) = (done.bodies, done.bytes, elapsed.as_secs_f64());
    if json {
        return serde_json::json!({
            "entries": entries, "head": head, "bodies": bodies, "bytes": bytes, "seconds": seconds,
        })
        .to_string();
    }
    format!(
        "{what}: {entries} entries up to {head}, {bodies} bodies, {:.1} MB in {seconds:.1} s",
        bytes as f64 / 1e6
    )
}
