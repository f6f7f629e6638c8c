//! An index emptied, and marked as whole once it is built.

use super::batch::Batch;
use super::rows::{group_key, group_of};
use super::scan::Scan;
use super::topology::Group;
use super::{MARKER_KEY, Redis, STATE_KEY};
use crate::index::IndexError;
use crate::index::layout::Marker;
use redis::{Cmd, Pipeline, Value};
use std::collections::BTreeMap;
use std::sync::PoisonError;

/// Names the build under way. Were the store emptied amid it, this would be gone too.
pub(super) const BUILDING_KEY: &[u8] = b"{kf}building";
/// Stands in place of a group's stamp while the index is being built: it is like none, and gone if the group is emptied.
const UNSTAMPED: &[u8] = b"building";

/// The build that this handle began last.
#[derive(Clone, Copy, Default)]
pub(super) struct Building {
    pub(super) number: u64,
    /// Rows that were written go by the primaries of then.
    lineup: u64,
}

impl Redis {
    pub async fn clear(&self) -> Result<(), IndexError> {
        let lineup = self.topology.lineup().await?;
        let building = Building {
            number: uuid::Uuid::new_v4().as_u64_pair().0,
            lineup: lineup.fingerprint,
        };
        *self.building.lock().unwrap_or_else(PoisonError::into_inner) = building;
        let mut state = Batch::default();
        state.add(Group::State, command("DEL", &[MARKER_KEY, STATE_KEY]));
        let number = building.number.to_string();
        state.add(Group::State, command("SET", &[BUILDING_KEY, number.as_bytes()]));
        state.send(&self.topology).await?;
        let mut groups = Batch::with_capacity(512);
        for group in 0..=u8::MAX {
            groups.add(
                Group::Rows(group),
                command("SET", &[&group_key(group, b'm', &[]), UNSTAMPED]),
            );
            groups.add(
                Group::Rows(group),
                command("DEL", &[&group_key(group, b'p', &[])]),
            );
        }
        groups.send(&self.topology).await?;
        self.read_state().await?;
        let mut scan = Scan::start(self).await?;
        let mut found = scan.next().await?;
        while let Some(keys) = found {
            let (unlinked, next) = tokio::join!(self.unlink(keys), scan.next());
            unlinked?;
            found = next?;
        }
        Ok(())
    }

    async fn unlink(&self, keys: Vec<Vec<u8>>) -> Result<(), IndexError> {
        let mut by_group: BTreeMap<u8, Cmd> = BTreeMap::new();
        for key in keys {
            if let Group::Rows(group) = group_of(&key)? {
                by_group
                    .entry(group)
                    .or_insert_with(|| redis::cmd("UNLINK"))
                    .arg(key);
            }
        }
        let mut batch = Batch::with_capacity(by_group.len());
        for (group, command) in by_group {
            batch.add(Group::Rows(group), command);
        }
        batch.send(&self.topology).await.map(|_| ())
    }

    /// Refused if a primary was emptied or replaced, or another build began, since [`clear`](Self::clear): rows may
    /// be missing.
    pub async fn complete(&self, marker: Marker) -> Result<(), IndexError> {
        let building = *self.building.lock().unwrap_or_else(PoisonError::into_inner);
        let lineup = self.topology.lineup().await?;
        let mut connection = lineup.primary(Group::State).writer().await?;
        redis::cmd("WATCH")
            .arg(BUILDING_KEY)
            .query_async::<()>(&mut connection)
            .await?;
        let found: Option<u64> = redis::cmd("GET")
            .arg(BUILDING_KEY)
            .query_async(&mut connection)
            .await?;
        if found.unwrap_or(0) != building.number {
            return Err(IndexError::NotBuilt);
        }
        self.stamp(&marker, building.number != 0).await?;
        let primaries = self.topology.current().map_or(0, |lineup| lineup.fingerprint);
        if building.number != 0 && primaries != building.lineup {
            return Err(IndexError::NotBuilt);
        }
        let mut pipeline = Pipeline::new();
        pipeline
            .atomic()
            .set(MARKER_KEY, marker.encode().as_slice())
            .ignore();
        let unchanged: Option<()> = pipeline.query_async(&mut connection).await?;
        unchanged.ok_or(IndexError::NotBuilt)?;
        drop(connection);
        self.refresh().await.map(|_| ())
    }

    /// Marks each group; one that was emptied since it was cleared has nothing there to mark.
    async fn stamp(&self, marker: &Marker, was_cleared: bool) -> Result<(), IndexError> {
        let mut batch = Batch::with_capacity(256);
        for group in 0..=u8::MAX {
            let mut set = command("SET", &[&group_key(group, b'm', &[]), &marker.stamp()]);
            if was_cleared {
                set.arg("XX");
            }
            batch.add(Group::Rows(group), set);
        }
        let replies = batch.send(&self.topology).await?;
        if replies.contains(&Value::Nil) {
            return Err(IndexError::NotBuilt);
        }
        Ok(())
    }
}

fn command(name: &str, arguments: &[&[u8]]) -> Cmd {
    let mut command = redis::cmd(name);
    for argument in arguments {
        command.arg(*argument);
    }
    command
}
