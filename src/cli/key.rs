//! `kundeforhold key`

use super::{Failure, out};
use crate::pseudonym::MasterKey;
use std::path::PathBuf;

/// Key files
#[derive(clap::Subcommand)]
pub enum KeyCommand {
    /// Makes a key file, readable by its owner only
    #[command(after_help = "Example:\n  kundeforhold key new pseudonym.key")]
    New {
        /// The file to make; an existing one is not touched
        file: PathBuf,
    },
}

impl KeyCommand {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self::New { file } = self;
        MasterKey::create(&file)?;
        out::say(format_args!(
            "{} made. Keep a copy away from the store: without it that names nobody.",
            file.display()
        ))?;
        Ok(())
    }
}
