//! `kundeforhold completions`

use super::{Arguments, Failure, out};
use clap::CommandFactory;
use clap_complete::Shell;

/// Prints what a shell needs to complete commands and options
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold completions bash > /etc/bash_completion.d/kundeforhold\n  kundeforhold completions zsh > \"${fpath[1]}/_kundeforhold\"\n  kundeforhold completions fish > ~/.config/fish/completions/kundeforhold.fish"
)]
pub struct Completions {
    /// Which shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(self) -> Result<(), Failure> {
        // Into memory first: a reader that has seen enough is an error here, not a panic.
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "kundeforhold", &mut script);
        out::write(&script)
    }
}
