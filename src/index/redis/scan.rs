//! All keys of rows, on all primaries.

use super::batch::Batch;
use super::rows::group_of;
use super::{Hash, Redis, parse};
use crate::index::IndexError;
use deadpool_redis::Connection;

/// Keys asked for in one SCAN step.
const SCAN_STEP: usize = 1_000;
const PATTERN: &str = "{??}[ca]*";

/// Walks the keys in steps, primary by primary. A key may be met twice, as SCAN does, and while slots are moved.
pub(super) struct Scan<'a> {
    engine: &'a Redis,
    left: Vec<Connection>,
    cursor: u64,
}

impl<'a> Scan<'a> {
    pub(super) async fn start(engine: &'a Redis) -> Result<Self, IndexError> {
        let lineup = engine.topology.lineup().await?;
        let mut left = Vec::new();
        for session in &lineup.sessions {
            left.push(session.writer().await?);
        }
        Ok(Self {
            engine,
            left,
            cursor: 0,
        })
    }

    /// The keys of the next step, which may be none; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Vec<u8>>>, IndexError> {
        let Some(connection) = self.left.last_mut() else {
            return Ok(None);
        };
        let mut scan = redis::cmd("SCAN");
        scan.arg(self.cursor)
            .arg("MATCH")
            .arg(PATTERN)
            .arg("COUNT")
            .arg(SCAN_STEP);
        let (next, keys): (u64, Vec<Vec<u8>>) = scan.query_async(connection).await?;
        self.cursor = next;
        if next == 0 {
            self.left.pop();
        }
        Ok(Some(keys))
    }

    /// Sends one command for each key, and gives the replies in order.
    pub(super) async fn ask<T: redis::FromRedisValue>(
        &self,
        command: &str,
        keys: &[Vec<u8>],
    ) -> Result<Vec<T>, IndexError> {
        let mut batch = Batch::with_capacity(keys.len());
        for key in keys {
            let mut ask = redis::cmd(command);
            ask.arg(key);
            batch.add(group_of(key)?, ask);
        }
        let replies = batch.send(&self.engine.topology).await?;
        replies.into_iter().map(parse).collect()
    }

    pub(super) async fn hashes(&self, keys: &[Vec<u8>]) -> Result<Vec<Hash>, IndexError> {
        self.ask("HGETALL", keys).await
    }
}
