//! A whole set on its way into Redis.

use super::Redis;
use super::batch::Batch;
use super::rows::{PIPELINE_ROWS, put_rows};
use crate::domain::relationship::SetId;
use crate::index::IndexError;
use crate::index::layout::{Generation, Row};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Pieces of a set in hand: while Redis takes one, the next is made ready.
const PIECES_AT_ONCE: usize = 3;
/// Pipelines of all loads that Redis has at a time. It takes from each connection in turn, so a lookup waits for a
/// part of every one; with fewer than two it would wait for us.
pub(super) const PIPELINES_AT_ONCE: usize = 2;

/// Writes the pieces of a set side by side: no two hold the same row, and none answers yet. Dropped unfinished, it
/// leaves rows that never answer.
pub struct Load {
    engine: Arc<Redis>,
    set: SetId,
    generation: Generation,
    writing: JoinSet<Result<(), IndexError>>,
}

impl Load {
    pub fn begin(engine: Arc<Redis>, set: SetId, generation: Generation) -> Self {
        Self {
            engine,
            set,
            generation,
            writing: JoinSet::new(),
        }
    }

    pub async fn write(mut self, rows: Vec<Row>) -> Result<Self, IndexError> {
        while self.writing.len() >= PIECES_AT_ONCE {
            self.wait_for_one().await?;
        }
        let (engine, set, generation) = (Arc::clone(&self.engine), self.set, self.generation);
        self.writing.spawn(async move {
            let batches = move || -> Vec<Batch> {
                let pipelines = rows.chunks(PIPELINE_ROWS);
                pipelines.map(|rows| put_rows(set, generation, rows)).collect()
            };
            for batch in engine.workers.run(batches).await? {
                // Bounded by what is before it: turns are given in order, loads have so many pieces in hand, and a turn
                // ends with its pipeline, for which `Batch` waits only so often and so long.
                let _turn = engine.load_turns.acquire().await;
                batch.send(&engine.topology).await?;
            }
            Ok(())
        });
        Ok(self)
    }

    /// Rows that went to a primary that is none any longer are missed by whoever vouches for the set.
    pub async fn finish(mut self) -> Result<(), IndexError> {
        while !self.writing.is_empty() {
            self.wait_for_one().await?;
        }
        Ok(())
    }

    async fn wait_for_one(&mut self) -> Result<(), IndexError> {
        match self.writing.join_next().await {
            None => Ok(()),
            Some(Ok(written)) => written,
            Some(Err(_)) => Err(IndexError::Unavailable("a write ended in a defect".to_owned())),
        }
    }
}
