//! Shows that a process still writes its chain, so that no other goes on with it.

use super::session::Session;
use crate::record::fault::TableError;
use crate::store::PostgresServer;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Several fit into the minute after which a chain counts as left.
const EVERY: Duration = Duration::from_secs(10);

/// A process' beat.
pub(in crate::record) struct Beat {
    server: PostgresServer,
    writer: Uuid,
    session: Option<Session>,
    last: Instant,
}

impl Beat {
    pub(in crate::record) fn new(server: &PostgresServer, writer: Uuid) -> Self {
        Self {
            server: server.clone(),
            writer,
            session: None,
            last: Instant::now(),
        }
    }

    pub(in crate::record) fn look(&mut self, chain: u32) -> Result<(), TableError> {
        if self.last.elapsed() < EVERY {
            return Ok(());
        }
        self.last = Instant::now();
        let session = match self.session.take() {
            Some(session) => session,
            None => Session::connect(&self.server)?,
        };
        // Whoever took this process for dead, and has not written since, has not got the chain.
        let beat = "UPDATE record_writers SET writer = $1, seen_at = now() WHERE chain = $2";
        session.execute(beat, &[&self.writer, &i64::from(chain)])?;
        self.session = Some(session);
        Ok(())
    }
}
