//! The command line: one file a command. Exit code 0: done; 1: refused or failed, with a sentence on
//! standard error; 2: wrong usage.

mod ask;
mod audit;
mod cache;
mod check;
mod client;
mod completions;
mod demo;
mod generate;
mod healthcheck;
mod issuer;
mod key;
mod management;
mod migrate;
mod openapi;
mod progress;
mod push;
mod serve;
mod signals;
mod terms;

use clap::{Parser, Subcommand};
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
    Lookup(ask::Lookup),
    Account(ask::Account),
    Generate(generate::Generate),
    Issuer(issuer::Issuer),
    Token(issuer::Token),
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    #[command(subcommand)]
    Cache(cache::CacheCommand),
    Migrate(migrate::Migrate),
    #[command(subcommand)]
    Key(key::KeyCommand),
    Terms(terms::PrintTerms),
    Openapi(openapi::Openapi),
    Completions(completions::Completions),
    Healthcheck(healthcheck::Healthcheck),
}

/// A failure as the user reads it: one clear sentence.
struct Failure(String);

/// With what lies beneath, as far as it is not said already: that a connection was refused, say.
impl<E: std::error::Error> From<E> for Failure {
    fn from(cause: E) -> Self {
        let (mut told, mut beneath) = (cause.to_string(), cause.source());
        while let Some(source) = beneath {
            let said = source.to_string();
            if !told.contains(&said) {
                told = format!("{told}: {said}");
            }
            beneath = source.source();
        }
        Self(told)
    }
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
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
            Command::Lookup(command) => command.run().await,
            Command::Account(command) => command.run().await,
            Command::Generate(command) => command.run(),
            Command::Issuer(command) => command.run().await,
            Command::Token(command) => command.run().await,
            Command::Audit(command) => command.run(),
            Command::Cache(command) => command.run().await,
            Command::Migrate(command) => command.run(),
            Command::Key(command) => command.run(),
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
    eprintln!("kundeforhold: {}", failure.0);
    ExitCode::from(1)
}
