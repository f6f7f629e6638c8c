//! `kundeforhold rollback`

use super::Bank;
use crate::cli::Failure;
use crate::cli::call::answer;
use crate::cli::receipt;
use reqwest::Method;
use std::time::Duration;
use uuid::Uuid;

/// Longest wait for a rollback, which may have to put millions of records back.
const ROLLBACK_TIMEOUT: Duration = Duration::from_secs(30 * 60);

/// Goes back to the state just before a bank's latest whole set
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  kundeforhold rollback --bank 210011013 --delivery 01936c2e-7d3a-7c11-9a55-0f5d2f0c8a11 --token-file token\n\n\
                  Where others were published after it, the service names them, and they stay unless \
                  --discard-later-changes is given."
)]
pub struct Rollback {
    #[command(flatten)]
    bank: Bank,
    /// The whole set to be undone
    #[arg(long, value_name = "UUID")]
    delivery: Uuid,
    /// Also undoes what was published after it
    #[arg(long)]
    discard_later_changes: bool,
}

impl Rollback {
    pub(in crate::cli) async fn run(self) -> Result<(), Failure> {
        let tail = format!("/{}/rollback", self.delivery);
        let mut request = self
            .bank
            .request(Method::POST, &tail)
            .await?
            .timeout(ROLLBACK_TIMEOUT);
        if self.discard_later_changes {
            request = request.query(&[("discardLaterChanges", "true")]);
        }
        let receipt = answer(request).await?.with("deliveryID")?;
        self.bank.show(&receipt, receipt::table)
    }
}
