//! Writes the record of use.

use super::answer::answer;
use super::chain::Head;
use super::engine::{Care, Reader, RecordPlace, Table};
use super::entry::{self, Call, Conclusion, LateRecord, OperatorAct};
use super::fault::{Flaw, RecordFault, TableError};
use super::heads::{Chain, Chains};
use super::keys::KeyRing;
use super::published::{HEAD_MESSAGE, PublishedHead};
use super::upkeep::{Upkeep, UpkeepWork};
use super::walk::Walk;
use super::writer::{AppendError, Command, Own, Progress, Reached, Writer, WriterParts};
use crate::domain::identifiers::OrganizationNumber;
use crate::store::{Basis, Store};
use chrono::{DateTime, Utc};
use metrics::Histogram;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tracing::Instrument;
use uuid::Uuid;

/// Entries that wait for the writer; further ones wait to be queued, within the same time.
const QUEUE_ENTRIES: usize = 4_096;
/// Largest entry.
const MOST_ENTRY_BYTES: usize = 1 << 20;
/// Longest wait for what is queued when closing.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// Of it, for what is done beside writing.
const UPKEEP_TIMEOUT: Duration = Duration::from_secs(2);

/// The entry could not be made durable in time, so nothing may be answered.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the record of use cannot be written: {0}")]
pub struct Unrecorded(AppendError);

impl Unrecorded {
    /// What was to be recorded is no longer what the store has: it is to be concluded anew.
    pub fn is_overtaken(&self) -> bool {
        self.0 == AppendError::Overtaken
    }
}

/// Why the record is not opened.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// It cannot be used, or is not what was written.
    #[error(transparent)]
    Record(#[from] RecordFault),
    #[error("its threads cannot be started: {0}")]
    Threads(std::io::Error),
}

impl From<TableError> for RecorderError {
    fn from(cause: TableError) -> Self {
        Self::Record(cause.into())
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

/// Which chain is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainChoice {
    /// The last one that nobody writes, or a new one if there is none.
    GoOn,
    /// A new one, beside those that others write.
    Begin,
}

#[derive(Clone)]
pub struct RecorderOptions {
    pub place: RecordPlace,
    pub chain: ChainChoice,
    /// Where conclusions from a cache are confirmed.
    pub confirms: Option<Store>,
    /// Longest wait of one call for its record.
    pub timeout: Duration,
}

/// Writes the record of use of one instance.
#[derive(Clone)]
pub struct Recorder(Arc<Inner>);

struct Inner {
    place: RecordPlace,
    ring: Arc<KeyRing>,
    timeout: Duration,
    queue: mpsc::Sender<Command>,
    progress: Arc<Progress>,
    upkeep: Upkeep,
    writable: AtomicBool,
    waiting: AtomicU64,
    last_append_micros: AtomicU64,
    append_seconds: Histogram,
}

/// How far those who wait for their record are behind.
#[derive(Debug, Clone, Copy)]
pub struct Lag {
    /// Answers that wait for their record.
    pub waiting: u64,
    /// How long the last record took.
    pub last: Duration,
}

/// Counts one who waits, as long as it lives.
struct Waiting<'a>(&'a AtomicU64);

impl<'a> Waiting<'a> {
    fn among(waiting: &'a AtomicU64) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Recorder {
    /// Opens the record, made if need be, and starts the threads that write and tidy it. Proves the list of heads, and
    /// the entries behind the last of them. Blocks while it reads.
    pub fn open(ring: KeyRing, options: &RecorderOptions) -> Result<Self, RecorderError> {
        let (ring, place, writer) = (Arc::new(ring), options.place.clone(), Uuid::new_v4());
        let mut table = Table::open(&place, writer)?;
        let claimed = match options.chain {
            ChainChoice::GoOn => table.claim()?,
            ChainChoice::Begin => None,
        };
        let reader = Reader::open(&place)?;
        let chains = prove_chains(&reader, &ring)?;
        let proved = match claimed.and_then(|number| chains.find(number)) {
            Some(own) => proved_end(&mut table, &reader, &ring, own)?.map(|head| (Arc::clone(own), head)),
            None => None,
        };
        let (own, head, list) = match (proved, chains.end()) {
            (Some((own, head)), Some(end)) => (own, head, end),
            (None, _) | (_, None) => {
                let (mark, list) = table.begin(Uuid::new_v4(), ring.in_use())?;
                (Arc::new(Chain::begun(&mark)), mark.head, list)
            }
        };
        let reached = Reached {
            own: Own {
                number: own.number,
                instance: own.instance,
            },
            head,
            list,
        };
        let (queue, commands) = mpsc::channel(QUEUE_ENTRIES);
        let progress = Arc::new(Progress::new(reached));
        let upkeep = Upkeep::start(UpkeepWork {
            place: place.clone(),
            care: Care::new(&place, writer),
            ring: Arc::clone(&ring),
            queue: queue.clone(),
            progress: Arc::clone(&progress),
        });
        let listed = own.last_reached().sequence;
        let writer = Writer::new(WriterParts {
            table,
            ring: Arc::clone(&ring),
            queue: commands,
            progress: Arc::clone(&progress),
            confirms: options.confirms.clone(),
            listed,
        });
        let thread = std::thread::Builder::new().name("record".to_owned());
        thread.spawn(|| writer.run()).map_err(RecorderError::Threads)?;
        Ok(Self(Arc::new(Inner {
            place,
            ring,
            timeout: options.timeout,
            queue,
            progress,
            upkeep: upkeep.map_err(RecorderError::Threads)?,
            writable: AtomicBool::new(true),
            waiting: AtomicU64::new(0),
            last_append_micros: AtomicU64::new(0),
            append_seconds: metrics::histogram!("kundeforhold_record_append_seconds"),
        })))
    }

    /// Makes the record of a call durable, and only then hands the conclusion back for answering.
    pub async fn record<T: Conclusion>(&self, call: Call, conclusion: T) -> Result<Recorded<T>, Unrecorded> {
        self.record_if(&call, conclusion, None).await
    }

    /// The same if what the conclusion stands on is confirmed; else nothing is recorded, and it is overtaken.
    pub async fn record_if<T: Conclusion>(
        &self,
        call: &Call,
        conclusion: T,
        basis: Option<Basis>,
    ) -> Result<Recorded<T>, Unrecorded> {
        let entry = entry::encode(call, &conclusion, self.0.ring.in_use());
        self.append(entry, basis).await.map(|()| Recorded(conclusion))
    }

    /// The same of what an operator does: what it shows is handed back once the act is durable.
    pub async fn record_act<T>(&self, act: &OperatorAct, shown: T) -> Result<Recorded<T>, Unrecorded> {
        let entry = entry::encode_act(act, self.0.ring.in_use());
        self.append(entry, None).await.map(|()| Recorded(shown))
    }

    /// Makes up for the record of a delivery that took effect without one.
    pub async fn record_late(&self, delivery: &LateRecord) -> Result<(), Unrecorded> {
        self.append(entry::encode_late(delivery, self.0.ring.in_use()), None)
            .await
    }

    /// Records how many calls of a consumer were turned away in a minute.
    pub async fn record_turned_away(
        &self,
        consumer: OrganizationNumber,
        minute: DateTime<Utc>,
        calls: u64,
    ) -> Result<(), Unrecorded> {
        let entry = entry::encode_turned_away(consumer, minute, calls, self.0.ring.in_use());
        self.append(entry, None).await
    }

    async fn append(&self, entry: Vec<u8>, basis: Option<Basis>) -> Result<(), Unrecorded> {
        let (started, _waiting) = (Instant::now(), Waiting::among(&self.0.waiting));
        let span = tracing::debug_span!("record of use");
        let appended = self.write(entry, basis).instrument(span).await;
        if matches!(appended, Err(AppendError::Overtaken)) {
            return Err(Unrecorded(AppendError::Overtaken));
        }
        let elapsed = started.elapsed();
        self.0.writable.store(appended.is_ok(), Ordering::Relaxed);
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.0.last_append_micros.store(micros, Ordering::Relaxed);
        self.0.append_seconds.record(elapsed);
        appended.map_err(|cause| {
            metrics::counter!("kundeforhold_record_failures_total").increment(1);
            Unrecorded(cause)
        })
    }

    /// When this returns `Ok` the entry is durable. If it fails, or is dropped, the entry may or may not be in the
    /// record.
    async fn write(&self, entry: Vec<u8>, basis: Option<Basis>) -> Result<(), AppendError> {
        if entry.len() > MOST_ENTRY_BYTES {
            return Err(AppendError::TooLarge {
                bytes: entry.len(),
                limit: MOST_ENTRY_BYTES,
            });
        }
        let (answer, answered) = answer();
        let written = async {
            let queued = self.0.queue.send(Command::Append { entry, basis, answer }).await;
            queued.map_err(|_| AppendError::Closed)?;
            answered.await
        };
        timeout(self.0.timeout, written)
            .await
            .unwrap_or(Err(AppendError::TimedOut))
    }

    /// How far the record is behind those who wait for it.
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

    /// Tries the record with an entry of its own, so that it is found usable again after a fault.
    pub async fn probe(&self) -> bool {
        let written = self.write(entry::probe(self.0.ring.in_use()), None).await;
        self.0.writable.store(written.is_ok(), Ordering::Relaxed);
        written.is_ok()
    }

    /// Records that wait for the writer.
    pub fn waiting(&self) -> usize {
        self.0.queue.max_capacity() - self.0.queue.capacity()
    }

    /// The last durable entry and the end of the list of heads, to be put where an outside party can keep them.
    pub fn head(&self) -> PublishedHead {
        let Reached { own, head, list } = self.0.progress.now();
        PublishedHead::new(&head, &list, own.instance, self.0.ring.in_use())
    }

    /// Puts the head into the log of the process.
    pub fn log_head(&self) {
        let PublishedHead {
            instance,
            sequence,
            hash,
            heads,
            key,
            mac,
        } = self.head();
        tracing::info!(%instance, sequence, hash, heads, key, mac, "{HEAD_MESSAGE}");
    }

    /// Where the record is.
    pub fn place(&self) -> &RecordPlace {
        &self.0.place
    }

    pub(super) fn ring(&self) -> &KeyRing {
        &self.0.ring
    }

    /// The chain that this process writes, as the list of heads has it now.
    pub(super) fn own_chain(&self, reader: &Reader) -> Result<Arc<Chain>, RecordFault> {
        let chains = Chains::prove(&reader.heads()?, &self.0.ring)?;
        let number = self.0.progress.now().own.number;
        let own = chains.find(number).map(Arc::clone);
        own.ok_or(RecordFault::Stray(number))
    }

    /// Makes what is queued durable, lists and publishes the last head, and ends what writes.
    pub async fn close(&self) {
        let closed = timeout(CLOSE_TIMEOUT, self.end()).await;
        let closed = closed.unwrap_or(Err(AppendError::TimedOut));
        if let Err(cause) = closed {
            tracing::warn!(%cause, "the record of use did not close cleanly");
        }
        self.log_head();
    }

    async fn end(&self) -> Result<(), AppendError> {
        // It may wait for the writer, and so goes first; and where it waits for a database, it is left to that.
        let _ = timeout(UPKEEP_TIMEOUT, self.0.upkeep.close()).await;
        let (done, finished) = oneshot::channel();
        let queued = self.0.queue.send(Command::Close { done }).await;
        queued.map_err(|_| AppendError::Closed)?;
        Ok(finished.await.map_err(|_| AppendError::Closed)??)
    }
}

/// Proves the list of heads, and that there are no entries but of its chains.
fn prove_chains(reader: &Reader, ring: &KeyRing) -> Result<Chains, RecordFault> {
    // First, so that a chain that begins meanwhile is in the list.
    let with_entries = reader.chains()?;
    let chains = Chains::prove(&reader.heads()?, ring)?;
    let stray = with_entries
        .into_iter()
        .find(|number| chains.find(*number).is_none());
    stray.map_or(Ok(chains), |number| Err(RecordFault::Stray(number)))
}

/// The end of the chain to go on with. One that cannot be proved is left to `verify` where this process can begin another
/// beside it; elsewhere it is a fault.
fn proved_end(
    table: &mut Table,
    reader: &Reader,
    ring: &KeyRing,
    own: &Arc<Chain>,
) -> Result<Option<Head>, RecordFault> {
    match prove_end(reader, ring, own) {
        Ok(head) => Ok(Some(head)),
        Err(cause @ RecordFault::Entry { .. }) if table.is_shared() => {
            tracing::error!(%cause, event = "record_chain_left", "a chain of the record of use cannot be gone on with; a new one is begun");
            table.forget(own.number)?;
            Ok(None)
        }
        Err(cause) => Err(cause),
    }
}

/// Proves the entries behind the last head in the list, and gives the last of them.
fn prove_end(reader: &Reader, ring: &KeyRing, own: &Arc<Chain>) -> Result<Head, RecordFault> {
    let listed = own.last_reached();
    let mut walk = Walk::behind(reader, ring, Arc::clone(own), listed.sequence)?;
    if walk.head() != listed {
        return Err(own.flawed(listed.sequence, Flaw::OtherHead));
    }
    walk.entries(&mut |_, _| Ok(ControlFlow::Continue(())))?;
    Ok(walk.head())
}

/// The banks that an answer lists, as the record keeps them.
pub type ListedBanks = Vec<OrganizationNumber>;
