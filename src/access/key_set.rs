//! The issuer's keys, kept fresh in the background.
//!
//! One task fetches: at start, at a steady pace, and when a token names a key that is not there or has not signed it.
//! Requests only read what is at hand. Tokens already verified are remembered beside the very keys that verified
//! them, so that a change of keys forgets them by construction.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwapOption, Guard};
use tokio::sync::watch;
use tokio::time::{Instant as Deadline, MissedTickBehavior, interval, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::keys::Keys;
use super::outbound::OutboundError;
use fetch::Fetcher;
pub use fetch::{FetchError, KeySource};
pub(super) use remembered::Remembered;
use remembered::RememberedTokens;

mod fetch;
mod remembered;

/// Counter, by `result`: `changed`, `unchanged`, `failed`.
pub const FETCHES_METRIC: &str = "kundeforhold_key_set_fetches_total";
/// Gauge: seconds since the last good fetch; absent before the first.
pub const AGE_METRIC: &str = "kundeforhold_key_set_age_seconds";
/// How often the gauge is set.
const AGE_METRIC_INTERVAL: Duration = Duration::from_secs(5);

/// How keys are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySetSettings {
    /// Between a good fetch and the next.
    pub refresh: Duration,
    /// How long keys serve after the last good fetch.
    pub outage: Duration,
    /// Least time between two fetches for tokens whose key is unknown, or not what has signed them.
    pub unknown_kid_brake: Duration,
    /// Longest time a request waits for such a fetch.
    pub wait_timeout: Duration,
    /// Longest time for each call of a fetch.
    pub fetch_timeout: Duration,
    /// Wait after a first failed fetch, doubled after each further one …
    pub retry_first: Duration,
    /// … up to this.
    pub retry_longest: Duration,
    /// Most tokens remembered.
    pub remembered_tokens: usize,
}

impl Default for KeySetSettings {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(3600),
            outage: Duration::from_secs(86_400),
            unknown_kid_brake: Duration::from_secs(30),
            wait_timeout: Duration::from_secs(2),
            fetch_timeout: Duration::from_secs(10),
            retry_first: Duration::from_millis(200),
            retry_longest: Duration::from_secs(30),
            remembered_tokens: 10_000,
        }
    }
}

/// The keys at hand and the one task that fetches them.
pub struct KeySet {
    settings: KeySetSettings,
    fetcher: Fetcher,
    snapshot: ArcSwapOption<Snapshot>,
    created: Instant,
    /// Of the last good fetch, in milliseconds since `created`. Means nothing before there is a snapshot.
    fetched_at_ms: AtomicU64,
    fetches: watch::Sender<Fetches>,
}

/// One state of the issuer's keys, and the tokens that these keys have verified.
pub(super) struct Snapshot {
    pub keys: Keys,
    pub remembered: RememberedTokens,
}

/// What requests and the task tell each other about fetches.
#[derive(Debug, Default)]
struct Fetches {
    phase: Phase,
    finished: u64,
    /// When a token last asked for one.
    last_wanted: Option<Instant>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Phase {
    #[default]
    Idle,
    /// Asked for, and about to begin.
    Wanted,
    UnderWay,
}

impl KeySet {
    /// An empty key set; [`run`](Self::run) fills it. `issuer` is the exact `iss` of tokens, which a
    /// discovery document must repeat. Metrics go to the recorder installed by then.
    ///
    /// # Errors
    /// When no HTTPS client can be made.
    pub fn new(source: KeySource, issuer: &str, settings: KeySetSettings) -> Result<Self, OutboundError> {
        metrics::describe_counter!(FETCHES_METRIC, "Fetches of the issuer's key set, by result");
        metrics::describe_gauge!(
            AGE_METRIC,
            metrics::Unit::Seconds,
            "Time since the last good fetch of keys"
        );
        Ok(Self {
            fetcher: Fetcher::new(source, issuer, settings.fetch_timeout)?,
            settings,
            snapshot: ArcSwapOption::empty(),
            created: Instant::now(),
            fetched_at_ms: AtomicU64::new(0),
            fetches: watch::Sender::default(),
        })
    }

    /// Whether there are keys to verify tokens with.
    pub fn ready(&self) -> bool {
        self.current().is_some()
    }

    /// Time since the last good fetch; `None` before the first.
    pub fn key_set_age(&self) -> Option<Duration> {
        self.snapshot.load().is_some().then(|| self.since_last_success())
    }

    /// The keys at hand; none before the first fetch and after too long an outage.
    pub(super) fn current(&self) -> Option<Guard<Option<Arc<Snapshot>>>> {
        let snapshot = self.snapshot.load();
        (snapshot.is_some() && self.since_last_success() < self.settings.outage).then_some(snapshot)
    }

    fn since_last_success(&self) -> Duration {
        let fetched_at = Duration::from_millis(self.fetched_at_ms.load(Ordering::Acquire));
        self.created.elapsed().saturating_sub(fetched_at)
    }

    /// Waits for newer keys, on behalf of a token that they may prove: joins a fetch under way or asks for
    /// one, and returns at once when the brake is on. Never waits longer than `wait_timeout`.
    pub(super) async fn newer_keys(&self) {
        let Some(awaited) = self.join_or_ask() else { return };
        let mut fetches = self.fetches.subscribe();
        let finished = fetches.wait_for(|fetches| fetches.finished >= awaited);
        // Whether it came or not, the token is judged once more with what is at hand.
        let _ = timeout(self.settings.wait_timeout, finished).await.is_ok();
    }

    /// The number of the fetch to wait for, if any.
    fn join_or_ask(&self) -> Option<u64> {
        let mut awaited = None;
        self.fetches.send_if_modified(|fetches| {
            let braked = fetches
                .last_wanted
                .is_some_and(|at| at.elapsed() < self.settings.unknown_kid_brake);
            let ask = fetches.phase == Phase::Idle && !braked;
            if ask {
                fetches.phase = Phase::Wanted;
                fetches.last_wanted = Some(Instant::now());
            }
            awaited = (fetches.phase != Phase::Idle).then_some(fetches.finished + 1);
            ask
        });
        awaited
    }

    /// Fetches until `shutdown`: at once, then every `refresh`, sooner after a failure or when asked.
    pub async fn run(&self, shutdown: CancellationToken) {
        let mut wanted = self.fetches.subscribe();
        let mut next_fetch = Deadline::now();
        let mut retry = self.settings.retry_first;
        let mut age_tick = interval(AGE_METRIC_INTERVAL);
        age_tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                _ = age_tick.tick() => {
                    self.show_age();
                    continue;
                }
                _ = wanted.wait_for(|fetches| fetches.phase == Phase::Wanted) => {}
                () = sleep_until(next_fetch) => {}
            }
            let fetched = tokio::select! {
                () = shutdown.cancelled() => return,
                fetched = self.fetch() => fetched,
            };
            if fetched {
                retry = self.settings.retry_first;
                next_fetch = Deadline::now() + self.settings.refresh;
            } else {
                next_fetch = Deadline::now() + retry;
                retry = (retry * 2).min(self.settings.retry_longest);
            }
            self.show_age();
        }
    }

    /// One fetch, and what follows from it. False: it failed, and the keys at hand stay.
    async fn fetch(&self) -> bool {
        self.fetches
            .send_modify(|fetches| fetches.phase = Phase::UnderWay);
        let outcome = self.fetcher.fetch().await;
        let result = match outcome {
            Ok(keys) => self.take(keys),
            Err(cause) => {
                let seconds = self.key_set_age().map(|age| age.as_secs());
                tracing::warn!(%cause, age_seconds = seconds, "the issuer's keys could not be fetched");
                "failed"
            }
        };
        metrics::counter!(FETCHES_METRIC, "result" => result).increment(1);
        self.fetches.send_modify(|fetches| {
            fetches.phase = Phase::Idle;
            fetches.finished += 1;
        });
        result != "failed"
    }

    /// Serves these keys from now on. Unchanged keys keep the tokens they have verified.
    fn take(&self, keys: Keys) -> &'static str {
        let fetched_at = u64::try_from(self.created.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.fetched_at_ms.store(fetched_at, Ordering::Release);
        if self
            .snapshot
            .load()
            .as_ref()
            .is_some_and(|snapshot| snapshot.keys == keys)
        {
            return "unchanged";
        }
        let remembered = RememberedTokens::new(self.settings.remembered_tokens);
        self.snapshot.store(Some(Arc::new(Snapshot { keys, remembered })));
        tracing::info!("the issuer's keys have been taken");
        "changed"
    }

    /// Asks the issuer once, and keeps nothing. Gives how many keys may verify tokens.
    ///
    /// # Errors
    /// What [`run`](Self::run) would log.
    pub async fn look(&self) -> Result<usize, FetchError> {
        self.fetcher.fetch().await.map(|keys| keys.len())
    }

    fn show_age(&self) {
        if let Some(age) = self.key_set_age() {
            metrics::gauge!(AGE_METRIC).set(age.as_secs_f64());
        }
    }
}

#[cfg(test)]
mod tests;
