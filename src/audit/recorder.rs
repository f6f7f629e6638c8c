//! Writes the record of use.

use super::entry::{self, Call, Conclusion, OperatorAct};
use super::head::{HEAD_MESSAGE, PublishedHead};
use super::instance::{InstanceError, InstanceId};
use super::keys::KeyRing;
use super::log::LogFault;
use crate::chain::{AppendError, Chain, Head, OpenError, Options};
use crate::domain::identifiers::OrganizationNumber;
use chrono::{DateTime, Utc};
use metrics::Histogram;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;
use tracing::Instrument;

/// The entry could not be made durable in time, so nothing may be answered.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the record of use cannot be written: {0}")]
pub struct Unrecorded(AppendError);

/// Why the log is not opened.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// Another instance writes it, or a file cannot be used.
    #[error(transparent)]
    Unusable(OpenError),
    /// It is not what was written, beyond a torn end.
    #[error(transparent)]
    Damaged(LogFault),
    #[error("audit.instance: {0}")]
    Instance(#[from] InstanceError),
}

impl From<OpenError> for RecorderError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Corrupt(corrupt) => Self::Damaged(corrupt.into()),
            other => Self::Unusable(other),
        }
    }
}

/// What may be answered, since its record is durable. Only [`Recorder::record`] and [`Recorder::record_act`] make it.
#[derive(Debug)]
pub struct Recorded<T>(T);

impl<T> Recorded<T> {
    /// What was concluded, to be answered now.
    pub fn into_answer(self) -> T {
        self.0
    }
}

/// The bounds of the record, and who writes it.
#[derive(Debug, Clone)]
pub struct RecorderOptions {
    /// Default: a random id, kept in the folder.
    pub instance: Option<String>,
    /// Longest wait of one call for its record.
    pub timeout: Duration,
    /// Size at which the next segment begins. Only whole segments are pruned.
    pub segment_bytes: u64,
}

/// Writes the record of use of one instance.
#[derive(Clone)]
pub struct Recorder(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) chain: Chain,
    pub(super) ring: KeyRing,
    instance: InstanceId,
    writable: AtomicBool,
    waiting: AtomicU64,
    last_append_micros: AtomicU64,
    append_seconds: Histogram,
}

/// How far the log is behind those who wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lag {
    /// Records that are being made durable now.
    pub waiting: u64,
    /// How long the last one took.
    pub last: Duration,
}

/// Counts a record among those that wait, until it is dropped.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn among(all: &'a AtomicU64) -> Self {
        all.fetch_add(1, Ordering::Relaxed);
        Self(all)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Recorder {
    /// Opens the log, or begins it.
    pub fn open(folder: &Path, ring: KeyRing, options: &RecorderOptions) -> Result<Self, RecorderError> {
        let chosen = options.instance.as_deref().map(InstanceId::parse).transpose()?;
        let bounds = Options {
            append_timeout: options.timeout,
            segment_bytes: options.segment_bytes,
            ..Options::default()
        };
        let (chain, recovery) = Chain::open(folder, &ring.head_key(), bounds)?;
        if recovery.torn_bytes > 0 {
            tracing::warn!(
                torn_bytes = recovery.torn_bytes,
                "the record of use had a torn, unanswered end; it is cut off"
            );
        }
        let instance = match chosen {
            Some(instance) => instance,
            None => InstanceId::of_folder(folder)?,
        };
        Ok(Self(Arc::new(Inner {
            chain,
            ring,
            instance,
            writable: AtomicBool::new(true),
            waiting: AtomicU64::new(0),
            last_append_micros: AtomicU64::new(0),
            append_seconds: metrics::histogram!("kundeforhold_audit_append_seconds"),
        })))
    }

    /// Makes the record of a call durable, and only then hands the conclusion back for answering.
    pub async fn record<T: Conclusion>(&self, call: Call, conclusion: T) -> Result<Recorded<T>, Unrecorded> {
        let entry = entry::encode(&call, &conclusion, &self.0.instance, self.0.ring.in_use());
        self.append(entry).await.map(|()| Recorded(conclusion))
    }

    /// The same of what an operator does: what it shows is handed back once the act is durable.
    pub async fn record_act<T>(&self, act: &OperatorAct, shown: T) -> Result<Recorded<T>, Unrecorded> {
        let entry = entry::encode_act(act, &self.0.instance, self.0.ring.in_use());
        self.append(entry).await.map(|()| Recorded(shown))
    }

    /// Records how many calls of a consumer were turned away in a minute.
    pub async fn record_turned_away(
        &self,
        consumer: OrganizationNumber,
        minute: DateTime<Utc>,
        calls: u64,
    ) -> Result<(), Unrecorded> {
        let (instance, key) = (&self.0.instance, self.0.ring.in_use());
        self.append(entry::encode_turned_away(consumer, minute, calls, instance, key))
            .await
    }

    async fn append(&self, entry: Vec<u8>) -> Result<(), Unrecorded> {
        let (started, _waiting) = (Instant::now(), Waiting::among(&self.0.waiting));
        let span = tracing::debug_span!("record of use");
        let appended = self.0.chain.append(entry).instrument(span).await;
        let elapsed = started.elapsed();
        self.0.writable.store(appended.is_ok(), Ordering::Relaxed);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.0.last_append_micros.store(micros, Ordering::Relaxed);
        self.0.append_seconds.record(elapsed);
        match appended {
            Ok(_) => Ok(()),
            Err(cause) => {
                metrics::counter!("kundeforhold_audit_failures_total").increment(1);
                Err(Unrecorded(cause))
            }
        }
    }

    /// How far the log is behind those who wait for it.
    pub fn lag(&self) -> Lag {
        Lag {
            waiting: self.0.waiting.load(Ordering::Relaxed),
            last: Duration::from_micros(self.0.last_append_micros.load(Ordering::Relaxed)),
        }
    }

    /// Whether the last record could be written.
    pub fn writable(&self) -> bool {
        self.0.writable.load(Ordering::Relaxed)
    }

    /// Tries the log with an entry of its own, so that it is found usable again after a fault.
    pub async fn probe(&self) -> bool {
        let entry = entry::probe(&self.0.instance, self.0.ring.in_use());
        let appended = self.0.chain.append(entry).await;
        self.0.writable.store(appended.is_ok(), Ordering::Relaxed);
        appended.is_ok()
    }

    /// Records that wait to be made durable.
    pub fn waiting(&self) -> usize {
        self.0.chain.queued()
    }

    /// The last durable entry, to be put where an outside party can keep it.
    pub fn head(&self) -> PublishedHead {
        PublishedHead::new(&self.0.chain.head(), &self.0.instance, self.0.ring.in_use())
    }

    /// Puts the head into the log of the process.
    pub fn log_head(&self) {
        let PublishedHead {
            instance,
            sequence,
            hash,
            key,
            mac,
        } = self.head();
        tracing::info!(instance, sequence, hash, key, mac, "{HEAD_MESSAGE}");
    }

    /// Tells each time a segment is closed.
    pub fn closed_segments(&self) -> watch::Receiver<Head> {
        self.0.chain.closed_segments()
    }

    /// Flushes and ends the writer, and publishes the last head.
    pub async fn close(&self) {
        if let Err(cause) = self.0.chain.close().await {
            tracing::warn!(%cause, "the record of use did not close cleanly");
        }
        self.log_head();
    }
}

/// The banks that an answer lists, as the record keeps them.
pub type ListedBanks = Vec<OrganizationNumber>;
