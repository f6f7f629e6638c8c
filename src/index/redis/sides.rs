//! Rows of two pseudonym keys in one Redis: which of them answer, and the others removed.

use super::batch::Batch;
use super::rows::{group_key, group_of, side_of_field};
use super::scan::Scan;
use super::topology::Group;
use super::{MARKER_KEY, Redis, STATE_KEY};
use crate::index::IndexError;
use crate::index::layout::{Marker, Side, encode_state_key};
use redis::Pipeline;

impl Redis {
    pub async fn answer_by(&self, marker: Marker) -> Result<(), IndexError> {
        let lineup = self.topology.lineup().await?;
        let mut connection = lineup.primary(Group::State).writer().await?;
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
        // First of all, since they would tell of rows that are gone.
        self.remove_checkpoints(side).await?;
        let mut scan = Scan::start(self).await?;
        while let Some(keys) = scan.next().await? {
            let mut remove = Batch::default();
            let hashes: Vec<Vec<Vec<u8>>> = scan.ask("HKEYS", &keys).await?;
            for (key, mut fields) in keys.iter().zip(hashes) {
                fields.retain(|field| side_of_field(key, field) == Some(side));
                if !fields.is_empty() {
                    let mut delete = redis::cmd("HDEL");
                    delete.arg(key).arg(fields);
                    remove.add(group_of(key)?, delete);
                }
            }
            remove.send(&self.topology).await?;
        }
        let mut batch = Batch::default();
        for state_key in self.states_of(side).await? {
            let mut delete = redis::cmd("HDEL");
            delete.arg(STATE_KEY).arg(state_key.as_slice());
            batch.add(Group::State, delete);
        }
        batch.send(&self.topology).await?;
        self.refresh().await.map(|_| ())
    }

    async fn remove_checkpoints(&self, side: Side) -> Result<(), IndexError> {
        let gone = self.states_of(side).await?;
        if gone.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::with_capacity(256);
        for group in 0..=u8::MAX {
            let mut delete = redis::cmd("HDEL");
            delete.arg(group_key(group, b'p', &[]));
            for state_key in &gone {
                delete.arg(state_key.as_slice());
            }
            batch.add(Group::Rows(group), delete);
        }
        batch.send(&self.topology).await.map(|_| ())
    }

    /// The keys of the states of sets on a side that does not answer.
    async fn states_of(&self, side: Side) -> Result<Vec<[u8; 4]>, IndexError> {
        let state = self.refresh().await?;
        let of_side = state
            .others
            .iter()
            .filter(|(_, known)| Side::of(known.generation) == side);
        Ok(of_side.map(|(set, _)| encode_state_key(*set, side)).collect())
    }
}
