//! What lookups read: the state, and a hash together with the state it belongs to.
//!
//! What few lookups need is boxed: the future of each lookup is moved, and has room for all that it may wait for.

use super::build::BUILDING_KEY;
use super::rows::{account_bucket, customer_key, group_key};
use super::session::{AskError, Session};
use super::target::Address;
use super::topology::{Group, Lineup};
use super::{Hash, Known, MARKER_KEY, Redis, STATE_AGE_BOUND, STATE_KEY, parse, standing_on};
use crate::index::IndexError;
use crate::index::layout::{
    FoundAccount, FoundRow, IndexState, Marker, SetState, decode_account, decode_row, decode_state_key,
};
use crate::pseudonym::{AccountKey, CustomerKey, Sought};
use redis::{Cmd, FromRedisValue, Pipeline, ServerErrorKind, Value};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often a lookup begins anew when the primaries or the index changed under it.
const READ_ATTEMPTS: usize = 6;
/// Between two of them, where nothing is known to have changed.
const PAUSE: Duration = Duration::from_millis(10);

/// The sets, the marker and the build that was begun last.
type ToldState = (Hash, Option<Vec<u8>>, Option<u64>);
/// The marker, the sets, the marker again, the build that was begun last, and what the primary tells of itself.
type StateAsTold = (Option<Vec<u8>>, Hash, Option<Vec<u8>>, Option<u64>, String);

impl Redis {
    /// The state, read anew if it is too old or of other primaries. Those who wait for the same reading share it.
    async fn fresh_state(&self) -> Result<Arc<Known>, IndexError> {
        let current = || {
            let known = self.known.load_full()?;
            let lineup = self.topology.current()?;
            let fresh = known.read_at.elapsed() < STATE_AGE_BOUND && Arc::ptr_eq(&known.lineup, &lineup);
            fresh.then_some(known)
        };
        if let Some(known) = current() {
            return Ok(known);
        }
        let _one_at_a_time = self.reading_state.lock().await;
        match current() {
            Some(known) => Ok(known),
            None => Box::pin(self.read_known()).await,
        }
    }

    /// Reads the state; once more if the primaries are found to be others.
    pub(super) async fn read_known(&self) -> Result<Arc<Known>, IndexError> {
        let lineup = self.topology.lineup().await?;
        match self.read_known_of(&lineup).await {
            Err(IndexError::Unavailable(_) | IndexError::TimedOut) => {
                let lineup = self.topology.renew(Some(&lineup)).await?;
                self.read_known_of(&lineup).await
            }
            read => read,
        }
    }

    async fn read_known_of(&self, lineup: &Arc<Lineup>) -> Result<Arc<Known>, IndexError> {
        let read_at = Instant::now();
        let (told, named) = tokio::join!(self.ask_state(lineup, read_at), self.topology.is_named(lineup));
        named?;
        let (sets, marker, building) = told?;
        let marker = marker.map(|bytes| Marker::decode(&bytes)).transpose()?;
        let mut state = IndexState::marked(marker);
        for (set, bytes) in sets {
            let set: [u8; 4] = set.try_into().map_err(|_| IndexError::Format("set"))?;
            state.put(decode_state_key(set)?, SetState::decode(&bytes)?);
        }
        state.lineup = standing_on(lineup, building);
        let state = match self.owner.get() {
            Some(owner) => state.judged_by(owner),
            None => state,
        };
        let known = Arc::new(Known {
            state: Arc::new(state),
            read_at,
            lineup: Arc::clone(lineup),
            building,
        });
        self.known.store(Some(Arc::clone(&known)));
        Ok(known)
    }

    /// The state, and whether the primary that told it is still the one.
    async fn ask_state(&self, lineup: &Lineup, asked_at: Instant) -> Result<ToldState, IndexError> {
        let session = lineup.primary(Group::State);
        // Not in a MULTI, which a Redis that is full refuses whatever is in it. Each build has a marker of its own.
        let mut pipeline = Pipeline::with_capacity(5);
        pipeline.get(MARKER_KEY).hgetall(STATE_KEY).get(MARKER_KEY);
        // Last: a state from before a build that has begun is not taken for one of it.
        pipeline.get(BUILDING_KEY);
        pipeline.cmd("INFO").arg("replication");
        let told = match session.ask(&pipeline).await {
            Ok(told) => told,
            Err(AskError::Index(cause)) => return Err(cause),
            Err(AskError::Elsewhere) => Box::pin(self.follow_state(lineup, session)).await?,
        };
        let (before, sets, marker, building, info): StateAsTold = told;
        session.check(&info, asked_at)?;
        if before != marker {
            return Err(IndexError::Unavailable(
                "the index was marked anew meanwhile".to_owned(),
            ));
        }
        Ok((sets, marker, building))
    }

    /// The same in the same order, while the slot of the state is being moved.
    async fn follow_state(&self, lineup: &Lineup, session: &Session) -> Result<StateAsTold, IndexError> {
        let before: Option<Vec<u8>> = self.read_following(lineup, session, Cmd::get(MARKER_KEY)).await?;
        let sets: Hash = self
            .read_following(lineup, session, Cmd::hgetall(STATE_KEY))
            .await?;
        let marker: Option<Vec<u8>> = self.read_following(lineup, session, Cmd::get(MARKER_KEY)).await?;
        let building = self
            .read_following(lineup, session, Cmd::get(BUILDING_KEY))
            .await?;
        let mut ask = Pipeline::with_capacity(1);
        ask.cmd("INFO").arg("replication");
        let (info,) = session.ask(&ask).await?;
        // Where the sets are may have been emptied, and be the one that the slot goes to.
        if marker.is_some() && sets.is_empty() {
            return Err(AskError::Elsewhere.into());
        }
        Ok((before, sets, marker, building, info))
    }

    /// Reads a hash together with the state it belongs to, within the time of a lookup: waiting for others
    /// to read the state counts. Where the hash is depends on the key whose rows answer.
    async fn read_hash<K>(
        &self,
        sought: &Sought<K>,
        place: impl Fn(&K) -> (u8, Vec<u8>),
    ) -> Result<(Arc<IndexState>, Hash), IndexError> {
        tokio::time::timeout(self.lookup_timeout, self.read_hash_and_state(sought, place))
            .await
            .unwrap_or(Err(IndexError::TimedOut))
    }

    async fn read_hash_and_state<K>(
        &self,
        sought: &Sought<K>,
        place: impl Fn(&K) -> (u8, Vec<u8>),
    ) -> Result<(Arc<IndexState>, Hash), IndexError> {
        let mut failed = IndexError::NotBuilt;
        for _ in 0..READ_ATTEMPTS {
            let known = self.fresh_state().await?;
            let marker = known.state.answerable().ok_or(IndexError::NotBuilt)?;
            let (group, key) = place(sought.under(marker.key).ok_or(IndexError::NotBuilt)?);
            match self.read_group(&known.lineup, group, &key).await {
                Ok((rows, stamp)) if stamp.as_deref() == Some(&marker.stamp()[..]) => {
                    return Ok((Arc::clone(&known.state), rows));
                }
                Ok(_) => {
                    failed = IndexError::NotBuilt;
                    Box::pin(self.read_state()).await?;
                }
                Err(cause) => {
                    let renewed = Box::pin(self.topology.renew(Some(&known.lineup))).await;
                    if matches!(renewed, Ok(renewed) if Arc::ptr_eq(&renewed, &known.lineup)) {
                        tokio::time::sleep(PAUSE).await;
                    }
                    failed = cause;
                }
            }
        }
        Err(failed)
    }

    /// A hash, and after it the stamp beside it: were the store emptied before the hash, the stamp would be gone too.
    async fn read_group(
        &self,
        lineup: &Arc<Lineup>,
        group: u8,
        key: &[u8],
    ) -> Result<(Hash, Option<Vec<u8>>), IndexError> {
        let session = lineup.primary(Group::Rows(group));
        if !session.is_confirmed_within(STATE_AGE_BOUND) {
            Box::pin(session.confirm(STATE_AGE_BOUND)).await?;
        }
        let stamp = group_key(group, b'm', &[]);
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.hgetall(key).get(&stamp);
        match session.ask(&pipeline).await {
            Ok(answer) => Ok(answer),
            Err(AskError::Index(cause)) => Err(cause),
            Err(AskError::Elsewhere) => {
                let rows = Box::pin(self.read_following(lineup, session, Cmd::hgetall(key))).await?;
                let stamp = Box::pin(self.read_following(lineup, session, Cmd::get(&stamp))).await?;
                Ok((rows, stamp))
            }
        }
    }

    /// Reads from a slot that is being moved: what has gone already is asked of the primary it goes to.
    async fn read_following<T: FromRedisValue>(
        &self,
        lineup: &Lineup,
        session: &Session,
        command: Cmd,
    ) -> Result<T, IndexError> {
        let mut ask = Pipeline::with_capacity(1);
        ask.add_command(command.clone()).ignore_errors();
        let (answer,): (Value,) = session.ask(&ask).await?;
        let Value::ServerError(cause) = answer else {
            return parse(answer);
        };
        if cause.kind() != Some(ServerErrorKind::Ask) {
            return Err(redis::RedisError::from(cause).into());
        }
        let address = Address::of_ask(&cause).ok_or(IndexError::Format("ASK"))?;
        let importing = self.topology.importing(lineup, &address).await?;
        let mut ask = Pipeline::with_capacity(2);
        ask.cmd("ASKING").ignore().add_command(command);
        let (answer,): (Value,) = importing.ask(&ask).await?;
        parse(answer)
    }

    pub async fn find_relationships<T>(
        &self,
        customer: &Sought<CustomerKey>,
        held: impl Fn(&IndexState, Vec<FoundRow>) -> T,
    ) -> Result<T, IndexError> {
        let place = |customer: &CustomerKey| (customer.0[0], customer_key(customer));
        let (state, rows) = self.read_hash(customer, place).await?;
        let rows = rows
            .iter()
            .map(|(field, value)| decode_row(field, value))
            .collect::<Result<_, _>>()?;
        Ok(held(&state, rows))
    }

    pub async fn find_accounts<T>(
        &self,
        account: &Sought<AccountKey>,
        held: impl Fn(&IndexState, Vec<FoundAccount>) -> T,
    ) -> Result<T, IndexError> {
        let place = |account: &AccountKey| (account.0[0], account_bucket(account).0);
        let (state, rows) = self.read_hash(account, place).await?;
        let answering = state.answerable().and_then(|marker| account.under(marker.key));
        let (_, rest) = account_bucket(answering.ok_or(IndexError::NotBuilt)?);
        let rows = rows
            .iter()
            .filter_map(|(field, value)| Some((field.strip_prefix(&rest)?, value)))
            .map(|(field, value)| decode_account(field, value))
            .collect::<Result<_, _>>()?;
        Ok(held(&state, rows))
    }
}
