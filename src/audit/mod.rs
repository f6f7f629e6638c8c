//! The record of use: no answer leaves without an entry that is already durable.
//!
//! A [`Recorded`] value is the only thing an answer to an authenticated call can be built from, and only
//! [`Recorder::record`] makes one, after the entry is on disk.

mod entry;

pub use entry::{Call, Conclusion, Endpoint, Subject};

use crate::chain::{AppendError, Chain, Head, HeadKey, OpenError, Options, Purpose};
use crate::domain::identifiers::OrganizationNumber;
use crate::pseudonym::{MasterKey, Pseudonyms};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The entry could not be made durable in time, so nothing may be answered.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the record of use cannot be written: {0}")]
pub struct Unrecorded(AppendError);

/// A conclusion whose record is durable. Only [`Recorder::record`] makes it.
#[derive(Debug)]
pub struct Recorded<T>(T);

impl<T> Recorded<T> {
    /// What was concluded, to be answered now.
    pub fn into_answer(self) -> T {
        self.0
    }
}

/// Writes the record of use of one instance.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    chain: Chain,
    pseudonyms: Pseudonyms,
    writable: AtomicBool,
}

impl Recorder {
    /// Opens the log, or begins it. `timeout` bounds the wait of one call for its record.
    pub fn open(directory: &Path, key: &MasterKey, timeout: Duration) -> Result<Self, OpenError> {
        let options = Options {
            append_timeout: timeout,
            ..Options::default()
        };
        let head_key = HeadKey::new(*key.derive("audit/head"));
        let (chain, recovery) = Chain::open(directory, Purpose::Audit, &head_key, options)?;
        if recovery.torn_bytes > 0 {
            tracing::warn!(
                torn_bytes = recovery.torn_bytes,
                "the record of use had a torn, unanswered end; it is cut off"
            );
        }
        let pseudonyms = Pseudonyms::for_audit(key);
        Ok(Self(Arc::new(Inner {
            chain,
            pseudonyms,
            writable: AtomicBool::new(true),
        })))
    }

    /// Makes the record of a call durable, and only then hands the conclusion back for answering.
    pub async fn record<T: Conclusion>(&self, call: Call, conclusion: T) -> Result<Recorded<T>, Unrecorded> {
        let started = std::time::Instant::now();
        let entry = entry::encode(&call, &conclusion, &self.0.pseudonyms);
        let appended = self.0.chain.append(entry).await;
        self.0.writable.store(appended.is_ok(), Ordering::Relaxed);
        metrics::histogram!("kundeforhold_audit_append_seconds").record(started.elapsed());
        match appended {
            Ok(_) => Ok(Recorded(conclusion)),
            Err(cause) => {
                metrics::counter!("kundeforhold_audit_failures_total").increment(1);
                Err(Unrecorded(cause))
            }
        }
    }

    /// Whether the last record could be written.
    pub fn writable(&self) -> bool {
        self.0.writable.load(Ordering::Relaxed)
    }

    /// Tries the log with an entry of its own, so that it is found usable again after a fault.
    pub async fn probe(&self) -> bool {
        let appended = self.0.chain.append(entry::probe()).await;
        self.0.writable.store(appended.is_ok(), Ordering::Relaxed);
        appended.is_ok()
    }

    /// The last durable entry: number and hash.
    pub fn head(&self) -> Head {
        self.0.chain.head()
    }

    /// Flushes and ends the writer.
    pub async fn close(&self) {
        if let Err(cause) = self.0.chain.close().await {
            tracing::warn!(%cause, "the record of use did not close cleanly");
        }
    }
}

/// The banks that an answer lists, as the record keeps them.
pub type ListedBanks = Vec<OrganizationNumber>;
