//! `kundeforhold openapi`

use super::{Failure, out};
use crate::http::docs;

/// Prints the OpenAPI 3.1 document
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kundeforhold openapi > openapi.json")]
pub struct Openapi {
    /// In OpenAPI 3.0, which older generators of clients read
    #[arg(long = "v3.0")]
    older: bool,
}

impl Openapi {
    pub(super) fn run(self) -> Result<(), Failure> {
        out::say(format_args!(
            "{}",
            match self.older {
                true => serde_json::to_string_pretty(&docs::document_3_0())?,
                false => docs::document().to_pretty_json()?,
            }
        ))?;
        Ok(())
    }
}
