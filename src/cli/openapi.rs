//! `kundeforhold openapi`

use super::Failure;

/// Prints the OpenAPI 3.1 document
#[derive(clap::Args)]
#[command(after_help = "Example:\n  kundeforhold openapi > openapi.json")]
pub struct Openapi {}

impl Openapi {
    pub(super) fn run(self) -> Result<(), Failure> {
        println!("{}", crate::http::docs::document().to_pretty_json()?);
        Ok(())
    }
}
