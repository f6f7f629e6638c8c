//! Commands over a pooled connection.

use crate::index::IndexError;
use deadpool_redis::Connection;
use redis::Pipeline;

/// Keys asked for in one SCAN step.
const SCAN_STEP: usize = 1_000;

/// Sends a pipeline of writes; the client refuses an empty one.
pub(super) async fn send(pipeline: &Pipeline, connection: &mut Connection) -> Result<(), IndexError> {
    if pipeline.is_empty() {
        Ok(())
    } else {
        Ok(pipeline.query_async(connection).await?)
    }
}

/// Walks the keys of rows in steps. A key may be met twice, as SCAN does.
pub(super) struct ScanCursor(Option<u64>);

impl ScanCursor {
    const PATTERN: &str = "{??}[ca]*";

    pub(super) fn start() -> Self {
        Self(Some(0))
    }

    /// The keys of the next step, which may be none; `None` at the end.
    pub(super) async fn next(
        &mut self,
        connection: &mut Connection,
    ) -> Result<Option<Vec<Vec<u8>>>, IndexError> {
        let Some(cursor) = self.0 else { return Ok(None) };
        let mut scan = redis::cmd("SCAN");
        scan.arg(cursor)
            .arg("MATCH")
            .arg(Self::PATTERN)
            .arg("COUNT")
            .arg(SCAN_STEP);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(connection).await?;
        self.0 = (next != 0).then_some(next);
        Ok(Some(keys))
    }
}
