//! Fills the cache behind the lookups, which never wait for it.

use super::Inner;
use redis::Cmd;
use tokio::sync::mpsc::Receiver;

/// Entries that may wait to be sent; more are dropped. At most some 22 MB, usually a few hundred kB.
pub(super) const QUEUE: usize = 1_000;
/// Entries that are sent together.
const BATCH: usize = 64;

/// An entry on its way to Redis.
pub(super) struct Fill {
    pub(super) key: Vec<u8>,
    pub(super) entry: Vec<u8>,
}

impl Fill {
    pub(super) fn command(&self, seconds: u64) -> Cmd {
        let mut set = redis::cmd("SET");
        set.arg(&self.key).arg(&self.entry).arg("EX").arg(seconds);
        set
    }
}

impl Inner {
    /// Sends what comes through the queue, for as long as it is polled.
    pub(super) async fn fill(&self, mut queue: Receiver<Fill>) {
        let mut batch = Vec::with_capacity(BATCH);
        while queue.recv_many(&mut batch, BATCH).await > 0 {
            match self.links.load_full() {
                Some(links) => {
                    let filled = links.store(&batch, self.entry_seconds).await;
                    self.meters.stored.increment(filled.stored);
                    self.meters.fill_errors.increment(filled.errors);
                }
                None => {
                    let dropped = u64::try_from(batch.len()).unwrap_or(u64::MAX);
                    self.meters.dropped.increment(dropped);
                }
            }
            batch.clear();
        }
    }
}
