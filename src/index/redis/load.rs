//! A whole set on its way into Redis.

use super::Redis;
use super::commands::send;
use super::rows::{PIPELINE_ROWS, put_rows};
use crate::domain::relationship::SetId;
use crate::index::IndexError;
use crate::index::layout::{Generation, Row};
use std::sync::Arc;
use tokio::task::JoinSet;

/// Pieces written at a time: while Redis takes one, the next is made ready.
const PIECES_AT_ONCE: usize = 3;

/// Writes the pieces of a set side by side: no two hold the same row, and none answers yet. Dropped unfinished, it
/// leaves rows that never answer.
pub struct Load {
    engine: Arc<Redis>,
    set: SetId,
    generation: Generation,
    run_id: String,
    writing: JoinSet<Result<(), IndexError>>,
}

impl Load {
    pub async fn begin(engine: Arc<Redis>, set: SetId, generation: Generation) -> Result<Self, IndexError> {
        Ok(Self {
            run_id: engine.run_id().await?,
            engine,
            set,
            generation,
            writing: JoinSet::new(),
        })
    }

    pub async fn write(mut self, rows: Vec<Row>) -> Result<Self, IndexError> {
        while self.writing.len() >= PIECES_AT_ONCE {
            self.wait_for_one().await?;
        }
        let (engine, set, generation) = (Arc::clone(&self.engine), self.set, self.generation);
        self.writing.spawn(async move {
            let mut connection = engine.administration().await?;
            for rows in rows.chunks(PIPELINE_ROWS) {
                send(&put_rows(set, generation, rows), &mut connection).await?;
            }
            Ok(())
        });
        Ok(self)
    }

    pub async fn finish(mut self) -> Result<(), IndexError> {
        while !self.writing.is_empty() {
            self.wait_for_one().await?;
        }
        // One that restarted meanwhile came back with what it had saved, which may lack some of these rows.
        match self.engine.run_id().await? == self.run_id {
            true => Ok(()),
            false => Err(IndexError::Unavailable("Redis restarted amid a load".to_owned())),
        }
    }

    async fn wait_for_one(&mut self) -> Result<(), IndexError> {
        match self.writing.join_next().await {
            None => Ok(()),
            Some(Ok(written)) => written,
            Some(Err(_)) => Err(IndexError::Unavailable("a write ended in a defect".to_owned())),
        }
    }
}
