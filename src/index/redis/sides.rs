//! Rows of two pseudonym keys in one Redis: which of them answer, and the others removed.

use super::commands::{ScanCursor, send};
use super::rows::side_of_field;
use super::{MARKER_KEY, Redis, STATE_KEY};
use crate::index::IndexError;
use crate::index::layout::{Marker, Side, encode_state_key};
use deadpool_redis::Connection;
use redis::Pipeline;

impl Redis {
    pub async fn answer_by(&self, marker: Marker) -> Result<(), IndexError> {
        let mut connection = self.administration().await?;
        redis::cmd("WATCH")
            .arg(MARKER_KEY)
            .query_async::<()>(&mut connection)
            .await?;
        let found: Option<Vec<u8>> = redis::cmd("GET")
            .arg(MARKER_KEY)
            .query_async(&mut connection)
            .await?;
        let found = found.map(|bytes| Marker::decode(&bytes)).transpose()?;
        if found.map(|found| found.stamp()) != Some(marker.stamp()) {
            return Err(IndexError::NotBuilt);
        }
        let mut pipeline = Pipeline::new();
        pipeline
            .atomic()
            .set(MARKER_KEY, marker.encode().as_slice())
            .ignore();
        let unchanged: Option<()> = pipeline.query_async(&mut connection).await?;
        unchanged.ok_or(IndexError::NotBuilt)?;
        self.refresh().await.map(|_| ())
    }

    pub async fn remove_side(&self, side: Side) -> Result<(), IndexError> {
        let mut connection = self.administration().await?;
        let mut cursor = ScanCursor::start();
        while let Some(keys) = cursor.next(&mut connection).await? {
            remove_fields(&keys, side, &mut connection).await?;
        }
        let state = self.refresh().await?;
        let gone = state.others.iter();
        let gone = gone.filter(|(_, known)| Side::of(known.generation) == side);
        let mut pipeline = Pipeline::new();
        for (set, _) in gone {
            pipeline
                .hdel(STATE_KEY, encode_state_key(*set, side).as_slice())
                .ignore();
        }
        send(&pipeline, &mut connection).await?;
        self.refresh().await.map(|_| ())
    }
}

/// Removes the fields of a side from the hashes of rows.
async fn remove_fields(keys: &[Vec<u8>], side: Side, connection: &mut Connection) -> Result<(), IndexError> {
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
