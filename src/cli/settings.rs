//! `kundeforhold settings`

use super::{Failure, out};
use crate::config;

/// Prints every setting with its default, explained, as a file for --config
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kundeforhold settings > kundeforhold.toml\n\n\
                  A file needs only what is to differ from it.")]
pub struct PrintSettings {}

impl PrintSettings {
    pub(super) fn run(self) -> Result<(), Failure> {
        out::write(config::DEFAULTS.as_bytes())
    }
}
