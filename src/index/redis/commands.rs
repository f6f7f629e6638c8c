//! Commands over a pooled connection.

use super::rows::side_of_field;
use crate::index::IndexError;
use crate::index::layout::Side;
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

/// Removes the fields of a side from the hashes of rows.
pub(super) async fn remove_fields(
    keys: &[Vec<u8>],
    side: Side,
    connection: &mut Connection,
) -> Result<(), IndexError> {
    let mut ask = Pipeline::with_capacity(keys.len());
    for key in keys {
        ask.hkeys(key);
    }
    if ask.is_empty() {
        return Ok(());
    }
    let hashes: Vec<Vec<Vec<u8>>> = ask.query_async(connection).await?;
    let mut remove = Pipeline::new();
    for (key, mut fields) in keys.iter().zip(hashes) {
        fields.retain(|field| side_of_field(key, field) == Some(side));
        if !fields.is_empty() {
            remove.hdel(key, fields).ignore();
        }
    }
    send(&remove, connection).await
}
