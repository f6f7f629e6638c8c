//! The command line: one file a command, or two that are alike. Exit code 0: done; 1: refused or failed, with a
//! sentence on standard error; 2: wrong usage; 3: likewise with a sentence, what was to be called (the service, or the
//! issuer of its tokens) could not be reached.

mod ask;
mod audit;
mod backup;
mod cache;
mod call;
mod check;
mod client;
mod clock;
mod completions;
mod deliveries;
mod demo;
mod generate;
mod healthcheck;
mod issuer;
mod key;
mod listings;
mod management;
mod memory;
mod migrate;
mod openapi;
mod out;
mod progress;
mod push;
mod receipt;
mod rekey;
mod restore;
mod serve;
mod settings;
mod signals;
mod store;
mod terms;

use crate::text::shown::shown_lines;
use clap::{Parser, Subcommand};
use std::error::Error;
use std::fmt;
use std::process::ExitCode;

/// DSOP Customer Relations Overview: which banks has a customer had a relationship with, and which bank
/// services an account.
#[derive(Parser)]
#[command(name = "kundeforhold", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Demo(demo::Demo),
    Serve(serve::Serve),
    Check(check::Check),
    Push(push::Push),
    Receipts(deliveries::Receipts),
    Rollback(deliveries::Rollback),
    Lookup(ask::Lookup),
    Account(ask::Account),
    Participants(listings::Participants),
    Services(listings::Services),
    Generate(generate::Generate),
    Issuer(issuer::Issuer),
    Token(issuer::Token),
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    #[command(subcommand)]
    Cache(cache::CacheCommand),
    Migrate(migrate::Migrate),
    #[command(subcommand)]
    Store(store::StoreCommand),
    Backup(backup::MakeBackup),
    Restore(restore::RestoreBackup),
    #[command(subcommand)]
    Key(key::KeyCommand),
    Rekey(rekey::RekeyCommand),
    #[command(subcommand)]
    Clock(clock::ClockCommand),
    Settings(settings::PrintSettings),
    Terms(terms::PrintTerms),
    Openapi(openapi::Openapi),
    Completions(completions::Completions),
    Healthcheck(healthcheck::Healthcheck),
}

/// A failure as the user reads it: one clear sentence.
#[derive(Debug)]
enum Failure {
    /// Refused, or failed.
    Refused(String),
    /// What was to be called could not be reached.
    Unreachable(String),
    /// Nobody reads what is said any longer.
    Unheard,
}

impl Failure {
    fn exit_code(&self) -> ExitCode {
        match self {
            Self::Refused(_) => ExitCode::from(1),
            Self::Unreachable(_) => ExitCode::from(3),
            Self::Unheard => ExitCode::SUCCESS,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(said) | Self::Unreachable(said) => f.write_str(said),
            Self::Unheard => f.write_str("nobody reads on"),
        }
    }
}

/// With what lies beneath, as far as it is not said already: that a connection was refused, say.
impl<E: Error + 'static> From<E> for Failure {
    fn from(cause: E) -> Self {
        let (mut told, mut unreachable) = (cause.to_string(), false);
        let mut beneath: Option<&(dyn Error + 'static)> = Some(&cause);
        while let Some(source) = beneath {
            let said = source.to_string();
            if !told.contains(&said) {
                told = format!("{told}: {said}");
            }
            unreachable |= source
                .downcast_ref::<reqwest::Error>()
                .is_some_and(|call| call.is_connect() || call.is_timeout());
            beneath = source.source();
        }
        match unreachable {
            true => Self::Unreachable(told),
            false => Self::Refused(told),
        }
    }
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    memory::keep_private();
    let arguments = Arguments::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(cause) => return failed(&Failure::from(cause)),
    };
    // The servers of actix spawn onto a local set of their own threads; the commands run on this one.
    let done = tokio::task::LocalSet::new().block_on(&runtime, async {
        match arguments.command {
            Command::Demo(command) => command.run().await,
            Command::Serve(command) => command.run().await,
            Command::Check(command) => command.run().await,
            Command::Push(command) => command.run().await,
            Command::Receipts(command) => command.run().await,
            Command::Rollback(command) => command.run().await,
            Command::Lookup(command) => command.run().await,
            Command::Account(command) => command.run().await,
            Command::Participants(command) => command.run().await,
            Command::Services(command) => command.run().await,
            Command::Generate(command) => command.run(),
            Command::Issuer(command) => command.run().await,
            Command::Token(command) => command.run().await,
            Command::Audit(command) => command.run().await,
            Command::Cache(command) => command.run().await,
            Command::Migrate(command) => command.run().await,
            Command::Store(command) => command.run(),
            Command::Backup(command) => command.run(),
            Command::Restore(command) => command.run(),
            Command::Key(command) => command.run(),
            Command::Rekey(command) => command.run().await,
            Command::Clock(command) => command.run().await,
            Command::Settings(command) => command.run(),
            Command::Terms(command) => command.run(),
            Command::Openapi(command) => command.run(),
            Command::Completions(command) => command.run(),
            Command::Healthcheck(command) => command.run().await,
        }
    });
    runtime.shutdown_timeout(std::time::Duration::from_secs(5));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure),
    }
}

fn failed(failure: &Failure) -> ExitCode {
    if !matches!(failure, Failure::Unheard) {
        let said = shown_lines(&failure.to_string());
        out::tell(format_args!("kundeforhold: {said}"));
    }
    failure.exit_code()
}
