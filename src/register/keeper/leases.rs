//! The leases of this instance, renewed in the background.

use super::Keeper;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// A lease is renewed so often before it would be over.
const RENEWALS: u32 = 4;
/// Longest wait at shutdown for leases to be given up; without it they end by themselves.
const GIVE_UP_WAIT: Duration = Duration::from_secs(2);

impl Keeper {
    /// Runs until shutdown, and then gives up what is held.
    pub async fn renew_leases(self, lease_time: Duration, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(lease_time / RENEWALS) => {}
                () = shutdown.cancelled() => break,
            }
            if let Err(cause) = self.index.renew_leases().await {
                tracing::warn!(%cause, "the leases for the deliveries of banks could not be renewed");
            }
        }
        match tokio::time::timeout(GIVE_UP_WAIT, self.index.give_up_all()).await {
            Ok(Ok(())) => {}
            Ok(Err(cause)) => tracing::warn!(%cause, "leases could not be given up; they end by themselves"),
            Err(_) => tracing::warn!("leases could not be given up in time; they end by themselves"),
        }
    }
}
