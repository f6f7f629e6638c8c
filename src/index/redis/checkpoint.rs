//! How far each set is complete in each slot group, written beside the rows.
//!
//! A checkpoint is sent to a primary after it has taken all rows up to it. Whoever has the checkpoint later, since it was
//! promoted or read a file, has the rows before it too: replicas and files keep the order.

use super::batch::Batch;
use super::rows::group_key;
use super::session::replaced;
use super::topology::Group;
use super::{Hash, Redis, parse};
use crate::domain::relationship::SetId;
use crate::index::layout::{Marker, SetState, Side, decode_state_key, encode_state_key};
use crate::index::{Checkpoint, Checkpoints, IndexError};
use redis::Value;

impl Redis {
    /// Notes in every group that these sets are complete up to their positions, on the primaries of which that is known.
    pub async fn write_checkpoints(
        &self,
        marker: &Marker,
        lineup: u64,
        sets: &[(SetId, SetState)],
    ) -> Result<(), IndexError> {
        self.check_stamps(marker).await?;
        if sets.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::with_capacity(256);
        for group in 0..=u8::MAX {
            let mut put = redis::cmd("HSET");
            put.arg(group_key(group, b'p', &[]));
            for (set, state) in sets {
                put.arg(encode_state_key(*set, Side::of(state.generation)).as_slice());
                put.arg(Checkpoint::of(state).encode().as_slice());
            }
            batch.add(Group::Rows(group), put);
        }
        let known = self.known.load_full();
        let known = known.filter(|known| known.state.lineup == lineup);
        let primaries = known.ok_or_else(replaced)?.lineup.fingerprint;
        batch.send_by(&self.topology, Some(primaries)).await.map(|_| ())
    }

    /// Whether every group still has the stamp of the build: one that was emptied alone has lost it.
    async fn check_stamps(&self, marker: &Marker) -> Result<(), IndexError> {
        let mut batch = Batch::with_capacity(256);
        for group in 0..=u8::MAX {
            let mut get = redis::cmd("GET");
            get.arg(group_key(group, b'm', &[]));
            batch.add(Group::Rows(group), get);
        }
        let stamp = Value::BulkString(marker.stamp().to_vec());
        let found = batch.send(&self.topology).await?;
        match found.iter().all(|found| *found == stamp) {
            true => Ok(()),
            false => Err(IndexError::NotBuilt),
        }
    }

    /// What is common to all groups.
    pub async fn checkpoints(&self, marker: &Marker) -> Result<Checkpoints, IndexError> {
        self.check_stamps(marker).await?;
        let mut batch = Batch::with_capacity(256);
        for group in 0..=u8::MAX {
            let mut get = redis::cmd("HGETALL");
            get.arg(group_key(group, b'p', &[]));
            batch.add(Group::Rows(group), get);
        }
        let mut common: Option<Checkpoints> = None;
        for hash in batch.send(&self.topology).await? {
            let hash: Hash = parse(hash)?;
            let mut here = Checkpoints::new();
            for (key, value) in hash {
                let key: [u8; 4] = key.try_into().map_err(|_| IndexError::Format("checkpoint"))?;
                let checkpoint = Checkpoint::decode(&value)?;
                here.insert(
                    (decode_state_key(key)?, Side::of(checkpoint.generation)),
                    checkpoint,
                );
            }
            common = Some(match common {
                None => here,
                Some(common) => common_to(common, &here),
            });
        }
        Ok(common.unwrap_or_default())
    }
}

fn common_to(former: Checkpoints, here: &Checkpoints) -> Checkpoints {
    let both = former.into_iter().filter_map(|(set, checkpoint)| {
        let other = here
            .get(&set)
            .filter(|other| other.generation == checkpoint.generation)?;
        let position = checkpoint.position.min(other.position);
        Some((
            set,
            Checkpoint {
                position,
                ..checkpoint
            },
        ))
    });
    both.collect()
}
