//! What stands between a history and its store.

use super::LONG_YEARS;
use crate::harness::fault_proxy::FaultProxy;
use crate::harness::redis::{Entry, RedisServer};
use crate::harness::{Caching, Service};
use std::time::Duration;

/// Of so many replies of Redis, one is cut off.
const CUT_ONE_IN: usize = 23;
/// And one comes later than it is waited for.
const LATE_ONE_IN: usize = 31;
const LATE: Duration = Duration::from_millis(120);

pub enum Cache {
    None,
    Sound,
    /// Behind a proxy, with entries that do not hold.
    Faulty {
        redis: RedisServer,
        proxy: FaultProxy,
        former: Vec<Entry>,
    },
}

impl Cache {
    /// Each kind in its turn.
    pub async fn begin(history: usize) -> (Service, Self) {
        let long = format!("[retention]\nclosed_years = {LONG_YEARS}\n");
        match history % 4 {
            0 => (Service::start_with(Caching::Without, &long).await, Self::None),
            1 => (Service::start_with(Caching::With, &long).await, Self::Sound),
            _ => {
                let redis = RedisServer::start();
                let proxy = FaultProxy::start(&redis.address());
                let service = Service::start_on(&proxy.url(), &long).await;
                proxy.cut_one_in(CUT_ONE_IN);
                proxy.delay_one_in(LATE_ONE_IN, LATE);
                let former = Vec::new();
                (service, Self::Faulty { redis, proxy, former })
            }
        }
    }

    /// The first time an answer may be from the store, the second from the cache.
    pub fn times_asked(&self) -> usize {
        match self {
            Self::None => 1,
            Self::Sound | Self::Faulty { .. } => 2,
        }
    }

    /// What becomes of the entries between two steps.
    pub fn trouble(&mut self, step: usize) {
        let Self::Faulty { redis, former, .. } = self else {
            return;
        };
        match step % 5 {
            0 => *former = redis.entries(),
            1 => redis.mix_up(),
            2 => drop(redis.command(&["FLUSHALL"])),
            3 => redis.write(former),
            _ => {}
        }
    }

    /// What the proxy did.
    pub fn faults(&self) -> usize {
        match self {
            Self::None | Self::Sound => 0,
            Self::Faulty { proxy, .. } => proxy.cut() + proxy.delayed(),
        }
    }
}
