//! Leases in Redis, and the notice board of the journals: all in the slot of the state.
//!
//! A lease is a key with an end: `{kf}lease` and the bank, to the holder's id and the fence. Redis alone says when it is
//! over; a holder counts from before it asked, so that it believes less. Fences are drawn from the clock of Redis and
//! the last one, so that they grow even if Redis was emptied.

use super::batch::Batch;
use super::build::BUILDING_KEY;
use super::topology::Group;
use super::{Redis, STATE_KEY, parse};
use crate::domain::relationship::SetId;
use crate::index::IndexError;
use crate::index::layout::{FORMAT_VERSION, SetState, Side, encode_state_key};
use crate::index::lease::{Claim, Fence, Phase, Posting, RegisterName};
use redis::{Cmd, FromRedisValue, Value};
use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use uuid::Uuid;

const LEASE_KEY: &[u8] = b"{kf}lease";
const FENCE_KEY: &[u8] = b"{kf}fence";
const REGISTER_KEY: &[u8] = b"{kf}register";
const JOURNALS_KEY: &[u8] = b"{kf}journals";
const PHASE_KEY: &[u8] = b"{kf}phase";

/// Lease, last fence; holder, milliseconds, whether the holder goes on with the fence it has. Gives the fence, or nothing.
const TAKE: &str = "local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, 16) ~= ARGV[1] then return false end
if held and ARGV[3] == '1' then
  redis.call('PEXPIRE', KEYS[1], ARGV[2])
  return string.sub(held, 17)
end
local now = redis.call('TIME')
local drawn = now[1] * 1000000 + now[2]
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
local fence = string.format('%.0f', math.max(last + 1, drawn))
redis.call('SET', KEYS[2], fence)
redis.call('SET', KEYS[1], ARGV[1] .. fence, 'PX', ARGV[2])
return fence";

/// Leases; milliseconds, then what stands there while they are held. Gives 1 for each that was renewed.
const RENEW: &str = "local renewed = {}
for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[i + 1] then
    renewed[i] = redis.call('PEXPIRE', key, ARGV[1])
  else
    renewed[i] = 0
  end
end
return renewed";

/// Leases, and what stands there while they are held.
const GIVE_UP: &str = "for i, key in ipairs(KEYS) do
  if redis.call('GET', key) == ARGV[i] then redis.call('DEL', key) end
end
return 1";

/// Lease, states; what stands there while it is held, the set, its new state. Sent twice it does no harm.
const SWITCH: &str = "if redis.call('HGET', KEYS[2], ARGV[2]) == ARGV[3] then return 1 end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return 1";

/// Number of the build, phase; the number, the phase.
const ENTER: &str = "if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[1] .. ' ' .. ARGV[2])
return 1";

struct Lease {
    fence: Fence,
    over_at: Instant,
    /// For as long as this instance lives, rather than for a moment.
    kept: bool,
}

/// The leases that this instance holds.
#[derive(Default)]
pub(in crate::index) struct Leases {
    holder: OnceLock<(Uuid, Duration)>,
    held: Mutex<HashMap<Claim, Lease>>,
    /// Two at once would each draw a fence, and the first to be drawn would hold nothing.
    taking: tokio::sync::Mutex<()>,
}

impl Leases {
    pub(in crate::index) fn hold_as(&self, holder: Uuid, time: Duration) {
        self.holder.get_or_init(|| (holder, time));
    }

    pub(in crate::index) fn fence(&self, claim: Claim) -> Option<Fence> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let lease = held.get(&claim)?;
        (Instant::now() < lease.over_at).then_some(lease.fence)
    }

    pub(in crate::index) fn held(&self) -> Vec<Claim> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.keys().copied().collect()
    }

    fn note(&self, claim: Claim, fence: Fence, over_at: Instant) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = held.get(&claim).is_some_and(|lease| lease.kept);
        held.insert(claim, Lease { fence, over_at, kept });
    }

    /// One that was given up meanwhile stays so.
    fn extend(&self, claim: Claim, fence: Fence, over_at: Instant) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lease) = held.get_mut(&claim).filter(|lease| lease.fence == fence) {
            lease.over_at = over_at;
        }
    }

    /// The fence of a lease that from now on is kept, if it is held.
    pub(in crate::index) fn keep(&self, claim: Claim) -> Option<Fence> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let lease = held.get_mut(&claim)?;
        lease.kept = true;
        (Instant::now() < lease.over_at).then_some(lease.fence)
    }

    /// Forgets leases that are not kept, and gives those that were held.
    fn let_go(&self, claims: &[Claim], kept_too: bool) -> Vec<(Claim, Fence)> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let goes = |claim: &Claim| held.get(claim).is_some_and(|lease| kept_too || !lease.kept);
        let going: Vec<Claim> = claims.iter().copied().filter(goes).collect();
        let gone = going.into_iter();
        gone.filter_map(|claim| Some((claim, held.remove(&claim)?.fence)))
            .collect()
    }

    fn forget(&self, claim: Claim, fence: Fence) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.get(&claim).is_some_and(|lease| lease.fence == fence) {
            held.remove(&claim);
        }
    }

    /// Held or over, with the fence.
    fn known(&self, claim: Claim) -> Option<Fence> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.get(&claim).map(|lease| lease.fence)
    }

    /// Refused once the lease is over. Where nobody was named who may hold leases, none is needed: tests of the index
    /// alone, and instances that only answer, which write nothing.
    pub(super) fn check(&self, set: SetId) -> Result<(), IndexError> {
        match self.holder.get() {
            Some(_) => self.fence(set.into()).map(|_| ()).ok_or(IndexError::Overtaken),
            None => Ok(()),
        }
    }
}

impl Redis {
    pub(in crate::index) async fn take_lease(&self, claim: Claim) -> Result<Option<Fence>, IndexError> {
        if let Some(fence) = self.leases.fence(claim) {
            return Ok(Some(fence));
        }
        let Some((holder, time)) = self.leases.holder.get() else {
            return Ok(Some(0));
        };
        let _one_at_a_time = self.leases.taking.lock().await;
        if let Some(fence) = self.leases.fence(claim) {
            return Ok(Some(fence));
        }
        let asked_at = Instant::now();
        let mut take = script(TAKE, &[lease_key(claim), FENCE_KEY.to_vec()]);
        take.arg(holder.as_bytes().as_slice()).arg(milliseconds(*time));
        // A lease that is not known here is of a process before this one; what that one may still send is fenced off.
        take.arg(u8::from(self.leases.known(claim).is_some()));
        let fence: Option<String> = self.run(take).await?;
        let Some(fence) = fence else { return Ok(None) };
        let fence = fence.parse().map_err(|_| IndexError::Format("fence"))?;
        self.leases.note(claim, fence, asked_at + *time);
        Ok(Some(fence))
    }

    pub(in crate::index) async fn renew_leases(&self) -> Result<(), IndexError> {
        let held = self.leases.held();
        let (Some((_, time)), false) = (self.leases.holder.get(), held.is_empty()) else {
            return Ok(());
        };
        let known: Vec<_> = held
            .into_iter()
            .filter_map(|claim| Some((claim, self.leases.known(claim)?)))
            .collect();
        let asked_at = Instant::now();
        let keys: Vec<_> = known.iter().map(|(claim, _)| lease_key(*claim)).collect();
        let mut renew = script(RENEW, &keys);
        renew.arg(milliseconds(*time));
        for (_, fence) in &known {
            renew.arg(self.token(*fence));
        }
        let renewed: Vec<u8> = self
            .run::<Vec<i64>>(renew)
            .await?
            .into_iter()
            .map(|one| u8::from(one == 1))
            .collect();
        for ((claim, fence), renewed) in known.into_iter().zip(renewed) {
            match renewed {
                1 => self.leases.extend(claim, fence, asked_at + *time),
                _ => {
                    tracing::warn!(
                        ?claim,
                        "a lease is over: Redis was emptied, or this instance was held up"
                    );
                    self.leases.forget(claim, fence);
                }
            }
        }
        Ok(())
    }

    pub(in crate::index) async fn give_up(&self, claims: &[Claim], kept_too: bool) -> Result<(), IndexError> {
        let known = self.leases.let_go(claims, kept_too);
        if known.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = known.iter().map(|(claim, _)| lease_key(*claim)).collect();
        let mut give_up = script(GIVE_UP, &keys);
        for (_, fence) in known {
            give_up.arg(self.token(fence));
        }
        self.run(give_up).await
    }

    /// Writes the state of a set, if its lease is still held.
    pub(super) async fn switch(&self, set: SetId, state: &SetState) -> Result<(), IndexError> {
        let field = encode_state_key(set, Side::of(state.generation));
        let bytes = state.encode()?;
        if self.leases.holder.get().is_none() {
            let mut put = redis::cmd("HSET");
            put.arg(STATE_KEY).arg(field.as_slice()).arg(bytes);
            return self.write_state(put).await.map(|_| ());
        }
        let claim = Claim::from(set);
        let fence = self.leases.fence(claim).ok_or(IndexError::Overtaken)?;
        let mut switch = script(SWITCH, &[lease_key(claim), STATE_KEY.to_vec()]);
        switch.arg(self.token(fence)).arg(field.as_slice()).arg(bytes);
        if parse::<u8>(self.write_state(switch).await?)? == 1 {
            return Ok(());
        }
        self.leases.forget(claim, fence);
        Err(IndexError::Overtaken)
    }

    pub(in crate::index) async fn register(&self, drawn: RegisterName) -> Result<RegisterName, IndexError> {
        let mut put = redis::cmd("SETNX");
        put.arg(REGISTER_KEY).arg(encode(&drawn)?);
        self.run::<()>(put).await?;
        let mut get = redis::cmd("GET");
        get.arg(REGISTER_KEY);
        decode(&self.run::<Vec<u8>>(get).await?)
    }

    pub(in crate::index) async fn put_register(&self, register: RegisterName) -> Result<(), IndexError> {
        let mut put = redis::cmd("SET");
        put.arg(REGISTER_KEY).arg(encode(&register)?);
        self.run(put).await
    }

    pub(in crate::index) async fn post(&self, journal: Uuid, posting: &Posting) -> Result<(), IndexError> {
        let mut put = redis::cmd("HSET");
        put.arg(JOURNALS_KEY).arg(journal.as_bytes().as_slice());
        put.arg(encode(posting)?);
        self.run(put).await
    }

    pub(in crate::index) async fn forget_postings(&self) -> Result<(), IndexError> {
        let mut forget = redis::cmd("DEL");
        forget.arg(JOURNALS_KEY);
        self.run(forget).await
    }

    pub(in crate::index) async fn postings(&self) -> Result<HashMap<Uuid, Posting>, IndexError> {
        let mut get = redis::cmd("HGETALL");
        get.arg(JOURNALS_KEY);
        let found: Vec<(Vec<u8>, Vec<u8>)> = self.run(get).await?;
        let read = |(journal, posting): (Vec<u8>, Vec<u8>)| {
            let journal = Uuid::from_slice(&journal).map_err(|_| IndexError::Format("journal"))?;
            Ok((journal, decode(&posting)?))
        };
        found.into_iter().map(read).collect()
    }

    pub(in crate::index) async fn phase(&self) -> Result<Phase, IndexError> {
        let mut get = redis::cmd("MGET");
        get.arg(BUILDING_KEY).arg(PHASE_KEY);
        let (building, phase): (Option<String>, Option<String>) = self.run(get).await?;
        let (Some(building), Some(phase)) = (building, phase) else {
            return Ok(Phase::Closed);
        };
        Ok(match phase.split_once(' ') {
            Some((of, "open")) if of == building => Phase::Open,
            Some((of, "gaps")) if of == building => Phase::OverGaps,
            _ => Phase::Closed,
        })
    }

    pub(in crate::index) async fn enter(&self, phase: Phase) -> Result<(), IndexError> {
        let name = match phase {
            Phase::Closed => "closed",
            Phase::Open => "open",
            Phase::OverGaps => "gaps",
        };
        let mut enter = script(ENTER, &[BUILDING_KEY.to_vec(), PHASE_KEY.to_vec()]);
        let building = *self.building.lock().unwrap_or_else(PoisonError::into_inner);
        enter.arg(building.number).arg(name);
        match self.run::<u8>(enter).await? {
            1 => Ok(()),
            _ => Err(IndexError::NotBuilt),
        }
    }

    /// What stands in a lease while it is held here.
    fn token(&self, fence: Fence) -> Vec<u8> {
        let holder = self
            .leases
            .holder
            .get()
            .map_or(Uuid::nil(), |(holder, _)| *holder);
        [holder.as_bytes().as_slice(), fence.to_string().as_bytes()].concat()
    }

    /// May be sent twice, and follows the state to whichever primary has it: the state names the primaries that it
    /// holds for.
    async fn write_state(&self, command: Cmd) -> Result<Value, IndexError> {
        let mut batch = Batch::with_capacity(1);
        batch.add(Group::State, command);
        let replies = batch.send(&self.topology).await?;
        Ok(replies.into_iter().next().unwrap_or(Value::Nil))
    }

    /// Sends a command to the primary of now that has the state. It is sent again only where that primary has refused
    /// it, since the slot is elsewhere: nothing is done twice, and nothing under other primaries than it was meant for.
    async fn run<T: FromRedisValue>(&self, command: Cmd) -> Result<T, IndexError> {
        let lineup = self.topology.lineup().await?;
        let mut batch = Batch::with_capacity(1);
        batch.add(Group::State, command);
        let reply = batch.send_by(&self.topology, Some(lineup.fingerprint)).await?;
        parse(reply.into_iter().next().unwrap_or(Value::Nil))
    }
}

fn lease_key(claim: Claim) -> Vec<u8> {
    let name = match claim {
        Claim::Bank(bank) => bank.to_string(),
        Claim::Build => "build".to_owned(),
    };
    [LEASE_KEY, name.as_bytes()].concat()
}

/// Sent whole each time: Redis may have forgotten it, and it is short.
fn script(text: &str, keys: &[Vec<u8>]) -> Cmd {
    let mut eval = redis::cmd("EVAL");
    eval.arg(text).arg(keys.len()).arg(keys);
    eval
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn encode(value: &impl serde::Serialize) -> Result<Vec<u8>, IndexError> {
    let mut bytes = vec![FORMAT_VERSION];
    bytes.extend(postcard::to_stdvec(value).map_err(|_| IndexError::Format("notice"))?);
    Ok(bytes)
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, IndexError> {
    match bytes.split_first() {
        Some((&FORMAT_VERSION, rest)) => postcard::from_bytes(rest).map_err(|_| IndexError::Format("notice")),
        _ => Err(IndexError::Format("notice version")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_that_was_given_up_while_it_was_renewed_is_not_held() {
        let (leases, later) = (Leases::default(), Instant::now() + Duration::from_secs(60));
        leases.note(Claim::Build, 7, later);
        assert_eq!(leases.fence(Claim::Build), Some(7));
        leases.let_go(&[Claim::Build], false);
        leases.extend(Claim::Build, 7, later);
        assert_eq!(leases.fence(Claim::Build), None);
        leases.note(Claim::Build, 8, Instant::now());
        leases.extend(Claim::Build, 7, later);
        assert_eq!(leases.fence(Claim::Build), None);
        leases.extend(Claim::Build, 8, later);
        assert_eq!(leases.fence(Claim::Build), Some(8));
    }
}
