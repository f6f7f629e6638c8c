//! `kundeforhold terms`

use super::{Failure, out};
use crate::access::terms;

/// Prints the DSOP service terms that are built in, as a file for access.services_file
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kundeforhold terms > dsop-services.toml\n\n\
                  The head of the file explains each key. A file of your own stands alone, and is read again when it changes.")]
pub struct PrintTerms {}

impl PrintTerms {
    pub(super) fn run(self) -> Result<(), Failure> {
        out::write(terms::DEFAULT.as_bytes())
    }
}
